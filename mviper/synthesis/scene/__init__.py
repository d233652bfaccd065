"""Surroundings, lamps and cameras round the person: seeded samplers of plain data (no ``bpy`` here)."""

from mviper.synthesis.scene.annotation import annotate, keypoint_parts, vertex_parts
from mviper.synthesis.scene.appearance import SkinHairShoes
from mviper.synthesis.scene.backdrop import (
    PANORAMA_HEIGHT,
    Backdrop,
    backdrop_places,
    ground_radii,
    place_backdrop,
    seen_on_ground,
)
from mviper.synthesis.scene.backgrounds import MixedBackground, PhotoBackground, SphericalBackground
from mviper.synthesis.scene.cameras import (
    CompassCameras,
    HandheldCameras,
    MixedCameras,
    OrbitCameras,
    PhoneCameras,
    TripodCameras,
    WideAngleCameras,
    look_at,
)
from mviper.synthesis.scene.fabrics import MixedFabric, PhotoFabric, ProceduralFabric
from mviper.synthesis.scene.lights import AreaLights, sun_lamps
from mviper.synthesis.scene.passes import IMAGE_PASSES, check_passes, write_passes
from mviper.synthesis.scene.scene import Material, Region, Scene, SceneMesh, Spot, floor_light

__all__ = [
    "IMAGE_PASSES", "PANORAMA_HEIGHT", "AreaLights", "Backdrop", "CompassCameras", "HandheldCameras", "Material",
    "MixedBackground", "MixedCameras", "MixedFabric", "OrbitCameras", "PhoneCameras", "PhotoBackground",
    "PhotoFabric", "ProceduralFabric", "Region", "Scene", "SceneMesh", "SkinHairShoes", "SphericalBackground", "Spot",
    "TripodCameras", "WideAngleCameras", "annotate", "backdrop_places", "check_passes", "floor_light", "ground_radii",
    "keypoint_parts", "look_at", "place_backdrop", "seen_on_ground", "sun_lamps", "vertex_parts", "write_passes",
]  # fmt: skip
