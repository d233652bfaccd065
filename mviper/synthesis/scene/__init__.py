"""What stands, shines and looks on around the person: seeded samplers of plain data (no ``bpy`` here)."""

from mviper.synthesis.scene.backgrounds import SphericalBackground
from mviper.synthesis.scene.cameras import CompassCameras, look_at
from mviper.synthesis.scene.fabrics import ProceduralFabric
from mviper.synthesis.scene.lights import AreaLights
from mviper.synthesis.scene.scene import Material, Scene, SceneMesh, Spot

__all__ = [
    "AreaLights", "CompassCameras", "Material", "ProceduralFabric", "Scene", "SceneMesh", "SphericalBackground",
    "Spot", "look_at",
]  # fmt: skip
