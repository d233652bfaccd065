"""A scene as plain data: moving meshes, materials, lamps, surroundings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mviper.structures import MeshSequence


@dataclass
class Spot:
    """An ellipsoid in the rest pose within which a surface has another colour (an eye, lips, a sole).

    Painting by position in the rest pose works for every body, with or without a texture map, and is sharper than
    vertex colours.

    Attributes:
        centre: In the rest pose [m], shape (3,).
        radii: Along the rest pose's axes [m], shape (3,).
        colour: sRGB in [0, 1], shape (3,).
        strength: Opacity of the colour at the centre, in [0, 1].
        softness: Share of the radius over which it fades out, in (0, 1].
    """

    centre: np.ndarray
    radii: np.ndarray
    colour: np.ndarray
    strength: float = 1.0
    softness: float = 0.15


@dataclass
class Region:
    """A part of a surface with another colour, where a vertex value is above 0.

    Attributes:
        value: Shape (V,); its zero line is the region's border, sharper than vertex colours.
        colour: sRGB in [0, 1], shape (3,).
    """

    value: np.ndarray
    colour: np.ndarray


@dataclass
class Material:
    """Appearance of a surface.

    Attributes:
        colour: sRGB in [0, 1], shape (3,).
        roughness: Roughness of the specular reflection, in [0, 1].
        image: sRGB picture of one repeat, uint8 (S, S, 3), mapped by the mesh's uv; replaces ``colour``.
        metres: Side of one repeat, in the units of the mesh's uv (metres for garments).
        surface: Roughness and specular level (Blender's, 0.5 for skin and plastic) in [0, 255], mapped like ``image``,
            uint8 (S, S, 3), the last channel unused; replaces ``roughness``.
        rest: Position of each vertex in the rest pose [m], shape (V, 3); needed for ``spots``.
        spots: Painted in order.
        regions: Painted over the spots.
        emission: Glows with ``colour`` at this strength instead of reflecting, if above 0.
    """

    colour: np.ndarray
    roughness: float = 0.6
    image: np.ndarray | None = None
    metres: float = 1.0
    surface: np.ndarray | None = None
    rest: np.ndarray | None = None
    spots: list[Spot] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    emission: float = 0.0


@dataclass
class SceneMesh:
    """A moving mesh and its material.

    Attributes:
        mesh: Its vertices over all frames.
        material: Its material.
        parts: Body part (SMPL joint index) of each vertex, shape (V,); ``None`` for garments and long hair, which cover
            the currently nearest part.
        person: Number of the person it belongs to.
        garment: Whether it is a garment, which a sequence stores.
    """

    mesh: MeshSequence
    material: Material
    parts: np.ndarray | None = None
    person: int = 0
    garment: bool = False


@dataclass
class Scene:
    """Everything that the cameras see, over T frames.

    Attributes:
        meshes: Body, hair, shoes, garments, person by person.
        lamps: From :meth:`mviper.synthesis.scene.AreaLights.place`.
        background: From :meth:`mviper.synthesis.scene.SphericalBackground.load`; ``None`` for black.
        floor: Whether a floor at z = 0 catches people's shadows.
    """

    meshes: list[SceneMesh]
    lamps: list[dict] = field(default_factory=list)
    background: dict | None = None
    floor: bool = True

    def __len__(self) -> int:
        return len(self.meshes[0].mesh)

    def ground(self) -> tuple[np.ndarray, float]:
        """Centre (2,) and radius of a circle on the floor within which all people stay [m]."""
        step = max(1, len(self) // 20)
        places = np.concatenate([part.mesh.vertices[::step, :, :2].reshape(-1, 2) for part in self.meshes])
        low, high = places.min(0), places.max(0)
        return (low + high) / 2, float(np.linalg.norm(high - low) / 2)


def floor_light(scene: Scene) -> np.ndarray:
    """Colour of a white, unshadowed floor below the person in the scene's light: linear RGB (3,), 1 is white."""
    image = scene.background["light_image"]
    height = len(image)
    elevation = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    falling = np.cos(elevation) * np.sin(elevation).clip(0)
    light = (image.mean(1) * falling[:, None]).sum(0) * 2 * np.pi / height
    for lamp in scene.lamps:
        away = np.asarray(lamp["position"]) - lamp["target"]
        drop = lamp["position"][2]
        distance = np.linalg.norm([*away[:2], drop])
        # An area lamp shines with the cosine of its own tilt too.
        facing = (away / np.linalg.norm(away)) @ (np.array([*away[:2], drop]) / distance)
        light = light + lamp["colour"] * lamp["power"] / (np.pi * distance) ** 2 * facing * drop / distance
    return light
