"""Export of motions (AMASS, GLB, BVH, PC2, FBX, USD, Alembic) and networks (ONNX, OpenVINO)."""

from mviper.export.motions import WRITERS, export_motions
from mviper.export.network import NETWORK_SUFFIXES, export_model, largest_difference
from mviper.export.skinning import skin_motion, strongest_weights

__all__ = [
    "NETWORK_SUFFIXES",
    "WRITERS",
    "export_model",
    "export_motions",
    "largest_difference",
    "skin_motion",
    "strongest_weights",
]
