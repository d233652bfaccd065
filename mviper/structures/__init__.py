"""MVIPER's data structures: typed, documented records without torch modules or ``bpy``."""

from mviper.structures.camera import Camera, is_rotation
from mviper.structures.human_data import HumanData
from mviper.structures.joints import KEYPOINTS, SMPL_JOINTS, SMPL_PARENTS, SURFACE_JOINTS, mirror_indices
from mviper.structures.manifest import PersonView, people_of, person_file, person_views
from mviper.structures.mesh import Garment, MeshSequence
from mviper.structures.motion import Motion, are_degrees
from mviper.structures.passes import IMAGE_PASSES, PassFile, PassWriter

__all__ = [
    "IMAGE_PASSES",
    "KEYPOINTS",
    "SMPL_JOINTS",
    "SMPL_PARENTS",
    "SURFACE_JOINTS",
    "Camera",
    "Garment",
    "HumanData",
    "MeshSequence",
    "Motion",
    "PassFile",
    "PassWriter",
    "PersonView",
    "are_degrees",
    "is_rotation",
    "mirror_indices",
    "people_of",
    "person_file",
    "person_views",
]
