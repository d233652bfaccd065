"""Cloth materials: named physical presets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mviper.errors import ConfigError

#: Edge length for which the presets hold [m].
REFERENCE_EDGE = 0.02


@dataclass(frozen=True)
class ClothMaterial:
    """How a cloth resists, in the units of Blender's cloth solver.

    Blender gives each vertex a mass and each mesh edge a spring, so that a finer mesh would be heavier and stiffer.
    The values here hold for a mesh of ``REFERENCE_EDGE``; :meth:`for_edge_length` turns them into another's.

    Attributes:
        tension: Stiffness against stretch, compression and shear.
        bending: Stiffness against bending (angular springs).
        mass: Mass of one vertex.
        damping: Damping of stretch.
        air: Viscosity of the air.
    """

    tension: float
    bending: float
    mass: float
    damping: float
    air: float = 1.0

    def for_edge_length(self, edge_length: float) -> ClothMaterial:
        """The same cloth on a mesh with edges of this length [m]: mass goes with area, tension with width."""
        scale = edge_length / REFERENCE_EDGE
        return replace(self, tension=self.tension * scale, mass=self.mass * scale**2)


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
