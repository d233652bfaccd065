# All of CMU's library, as the paper uses it: 2,500 clips as .asf and .amc (http://mocap.cs.cmu.edu, all_asfamc.zip),
# each shown with several bodies, outfits and scenes. One clip after the other comes with its first body, then all with
# their second: a run that is stopped early has seen every motion.
# CMU's descriptions: B. Hahne's cmu-mocap-index-text.txt, beside the clips. To take a part:
#   --cfg-options source.actions="['walk','run']"  or  source.names="['49_*']"
_base_ = ["outfits.py"]

source = dict(type="CMUMotion", root="data/cmu", index="data/cmu/cmu-mocap-index-text.txt")
variants = 3  # several betas and outfits for each motion: 2,500 clips, 7,500 sequences
betas = dict(scale=1.0, limit=2.5)
# By subject, so that nobody is in two splits: their styles run through the numbers, hence every so many.
splits = dict(
    val=[f"{subject:02d}_*" for subject in (8, 22, 37, 56, 78, 90, 111, 127, 140)],
    test=[f"{subject:02d}_*" for subject in (5, 15, 31, 49, 64, 86, 105, 120, 135, 143)],
)
