"""What stands, shines and looks on around the person: seeded samplers of plain data (no ``bpy`` here)."""

from mviper.synthesis.scene.appearance import SkinHairShoes
from mviper.synthesis.scene.backgrounds import MixedBackground, PhotoBackground, SphericalBackground
from mviper.synthesis.scene.cameras import (
    CompassCameras,
    HandheldCameras,
    MixedCameras,
    OrbitCameras,
    WideAngleCameras,
    look_at,
)
from mviper.synthesis.scene.fabrics import MixedFabric, PhotoFabric, ProceduralFabric
from mviper.synthesis.scene.lights import AreaLights
from mviper.synthesis.scene.scene import Material, Region, Scene, SceneMesh, Spot

__all__ = [
    "AreaLights", "CompassCameras", "HandheldCameras", "Material", "MixedBackground", "MixedCameras", "MixedFabric",
    "OrbitCameras", "PhotoBackground", "PhotoFabric", "ProceduralFabric", "Region", "Scene", "SceneMesh",
    "SkinHairShoes", "SphericalBackground", "Spot", "WideAngleCameras", "look_at",
]  # fmt: skip
