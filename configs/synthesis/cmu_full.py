# All of CMU's library, as in the paper: 2,500 clips as .asf and .amc (http://mocap.cs.cmu.edu, all_asfamc.zip), each
# with several bodies, outfits and scenes. All clips are made with their first body, then all with their second, so that
# a run that is stopped early has covered every motion.
# CMU's descriptions: B. Hahne's cmu-mocap-index-text.txt, next to the clips. To use a part of the library:
#   --cfg-options source.actions="['walk','run']"  or  source.names="['49_*']"
_base_ = ["outfits.py"]

source = dict(type="CMUMotion", root="data/cmu", index="data/cmu/cmu-mocap-index-text.txt")
variants = 3  # several betas and outfits for each motion: 2,500 clips, 7,500 sequences
betas = dict(scale=1.0, limit=2.5)
# By subject, so that nobody is in two splits; every n-th one, since styles change along the numbers.
splits = dict(
    val=[f"{subject:02d}_*" for subject in (8, 22, 37, 56, 78, 90, 111, 127, 140)],
    test=[f"{subject:02d}_*" for subject in (5, 15, 31, 49, 64, 86, 105, 120, 135, 143)],
)
