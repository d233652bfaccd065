# AMASS (https://amass.is.tue.mpg.de, registration needed): SMPL, SMPL-H or SMPL-X parameters of many capture libraries.
# Its poses are used; its betas are not, since they belong to SMPL's own bodies (docs/motion.md): bodies are drawn as
# usual. Each sequence draws an outfit from the whole wardrobe.
_base_ = ["outfits.py"]

source = dict(type="AMASSMotion", root="data/amass")
# Splits match clip names; these are CMU's subjects as in cmu_full.py.
splits = dict(
    val=[f"{subject:02d}_*" for subject in (8, 22, 37, 56, 78, 90, 111, 127, 140)],
    test=[f"{subject:02d}_*" for subject in (5, 15, 31, 49, 64, 86, 105, 120, 135, 143)],
)
