"""The body: SMPL's model, the open body that ships with the package, joint names, rotations, measurements."""

from mviper.body.smpl import SMPL, SMPLOutput
from mviper.structures.joints import KEYPOINTS, SMPL_JOINTS, SMPL_PARENTS, SURFACE_JOINTS, mirror_indices

__all__ = ["KEYPOINTS", "SMPL", "SMPL_JOINTS", "SMPL_PARENTS", "SURFACE_JOINTS", "SMPLOutput", "mirror_indices"]
