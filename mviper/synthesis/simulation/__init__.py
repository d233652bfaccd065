"""Cloth simulation: sewing, draping and motion, with quality figures."""

from mviper.synthesis.simulation.blender_cloth import BlenderCloth
from mviper.synthesis.simulation.dressing import (
    Attempt,
    ClothRejected,
    ClothSimulator,
    SewnGarment,
    SimulationResult,
)
from mviper.synthesis.simulation.follow import follow_surface
from mviper.synthesis.simulation.materials import MATERIALS, ClothMaterial, cloth_material
from mviper.synthesis.simulation.meshes import edges_of
from mviper.synthesis.simulation.painted import PaintedCloth
from mviper.synthesis.simulation.probes import SurfaceProbe
from mviper.synthesis.simulation.quality import QualityLimits, upper_limits

__all__ = [
    "MATERIALS",
    "Attempt",
    "BlenderCloth",
    "ClothMaterial",
    "ClothRejected",
    "ClothSimulator",
    "PaintedCloth",
    "QualityLimits",
    "SewnGarment",
    "SimulationResult",
    "SurfaceProbe",
    "cloth_material",
    "edges_of",
    "follow_surface",
    "upper_limits",
]
