# Optical markers in .c3d files: shape and pose by MoSh (docs/motion.md).
_base_ = ["base.py"]

source = dict(
    type="C3DMotion",
    root="data/c3d",  # <subject>/<clip>.c3d
    body_model=None,  # the body to fit; set it like body_model below if that is a licensed one
    synonyms=None,  # e.g. dict(LHIP="LFWT"): unknown labels, see docs/motion.md
)
