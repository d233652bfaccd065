"""What flows through MVIPER: typed, documented records without torch modules or ``bpy``."""

from mviper.structures.camera import Camera
from mviper.structures.mesh import Garment, MeshSequence
from mviper.structures.motion import Motion

__all__ = ["Camera", "Garment", "MeshSequence", "Motion"]
