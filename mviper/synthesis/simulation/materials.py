"""Cloth materials: named physical presets."""

from __future__ import annotations

from dataclasses import dataclass

from mviper.errors import ConfigError


@dataclass(frozen=True)
class ClothMaterial:
    """How a cloth resists, in the units of Blender's cloth solver.

    Attributes:
        tension: Stiffness against stretch, compression and shear [N/m].
        bending: Stiffness against bending (angular springs).
        mass: Mass of one vertex [kg], as Blender has it: it does not scale with the mesh's resolution.
        damping: Damping of stretch.
        air: Viscosity of the air.
    """

    tension: float
    bending: float
    mass: float
    damping: float
    air: float = 1.0


#: The presets that ship with Blender 4.5 (``scripts/presets/cloth``), jersey and wool set between them by eye.
MATERIALS = {
    "cotton": ClothMaterial(tension=15, bending=0.5, mass=0.3, damping=5),
    "jersey": ClothMaterial(tension=15, bending=0.2, mass=0.25, damping=5),
    "silk": ClothMaterial(tension=5, bending=0.05, mass=0.15, damping=0),
    "wool": ClothMaterial(tension=20, bending=1.5, mass=0.4, damping=10),
    "denim": ClothMaterial(tension=40, bending=10, mass=1.0, damping=25),
    "leather": ClothMaterial(tension=80, bending=150, mass=0.4, damping=25),
    "rubber": ClothMaterial(tension=15, bending=25, mass=3.0, damping=25),
}


def cloth_material(name: str) -> ClothMaterial:
    """The preset of that name.

    Raises:
        ConfigError: There is none; the message lists them.
    """
    if name not in MATERIALS:
        raise ConfigError(f"unknown cloth material {name!r}; there are {', '.join(MATERIALS)}")
    return MATERIALS[name]
