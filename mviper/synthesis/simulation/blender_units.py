"""Converts fabrics and time to the units of Blender's cloth solver.

The solver has its own units (``SIM_mass_spring.cpp`` of Blender 4.5): gravity is 9.81/1000 m per frame squared at any
frame rate, every vertex has the same mass, every edge is a spring of stiffness ``tension`` over the mean edge length
and every pair of triangles a hinge whose forces grow with the edge's length. So the same numbers mean another fabric on
another mesh, and another gravity at another frame rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mviper.synthesis.simulation.materials import ClothMaterial

#: The solver's unit of time [s]: in it, gravity is 9.81/1000.
TIME_UNIT = 1000**-0.5
#: The solver's unit of mass [kg]. Only ratios matter; with this one a vertex of cotton on 20 mm edges has about the
#: mass of Blender's own preset.
MASS_UNIT = 1.73e-4
#: Upper limit of membrane stiffness [N/m]. Woven cloth is stiffer, but a stiffer shirt does not yield when an arm
#: moves, and overpowers the solver's contacts: with 500 a T-shirt went 24 mm into the body on a walk, with 150 it stays
#: outside. A metre of hanging cotton stretches by 4 mm.
STIFFEST = 150.0
#: Default air drag per area and speed [N s/m3], isotropic, as the solver supports no other: that of a sheet moving at
#: 0.25 m/s perpendicular to its face.
AIR_DRAG = 0.16


@dataclass(frozen=True)
class BlenderMaterial:
    """Settings of Blender's cloth modifier.

    Attributes:
        mass: Of one vertex.
        tension: Stiffness against stretch, compression and shear.
        damping: Of stretch.
        bending: Stiffness of the angular bending springs.
        bending_damping: Of bending.
        air: Viscosity of the air.
    """

    mass: float
    tension: float
    damping: float
    bending: float
    bending_damping: float
    air: float


def blender_material(
    material: ClothMaterial, edge_length: float, vertex_area: float, air_drag: float = AIR_DRAG
) -> BlenderMaterial:
    """Solver settings with which a mesh behaves like a fabric.

    On an even triangle mesh, springs k along the edges are a sheet of tensile stiffness 2 k / sqrt(3), and hinges of
    energy h theta^2 / 2 one of bending rigidity sqrt(3) h / 2 (Seung, Nelson, "Defects in flexible membranes with
    crystalline order", Phys. Rev. A 38, 1988). The solver's k is ``tension / edge_length``; its hinges push the
    triangles with ``bending * edge_length * theta / 10``, that is with a lever of a third of the triangle's height.

    Such springs resist stretch and shear alike (shear stiffness = 3/8 of the tensile one), but woven cloth shears fifty
    times as easily as it stretches: the springs use the geometric mean, since both determine how cloth folds.

    Args:
        material: The fabric.
        edge_length: Mean edge length of the mesh [m].
        vertex_area: Its area over its number of vertices [m2].
        air_drag: Drag of the air per area and speed [N s/m3].
    """
    root3 = 3**0.5
    force = TIME_UNIT**2 / MASS_UNIT  # solver units of force (per metre) in one newton
    tension = root3 / 2 * min((material.stretch * 8 / 3 * material.shear) ** 0.5, STIFFEST) * edge_length * force
    hinge = 2 / root3 * material.bending * force
    bending = 10 * hinge / (edge_length * (root3 / 2 * edge_length / 3))
    return BlenderMaterial(
        mass=material.density * vertex_area / MASS_UNIT,
        tension=tension,
        damping=tension / (150 * edge_length),
        bending=bending,
        bending_damping=0.17 * bending,
        air=100 * air_drag * vertex_area * TIME_UNIT / MASS_UNIT,
    )


def time_scale(fps: float, steps: int) -> float:
    """The modifier's ``time_scale`` with which a frame lasts 1 / fps seconds.

    The solver adds up its steps in single precision until they reach the frame's end: if rounding leaves the sum just
    short of it, it takes one more step, and time runs up to 10 % too fast. The returned value is a few millionths
    smaller if necessary, so that the sum reaches the end.

    Args:
        fps: Frames per second.
        steps: Solver steps per frame.
    """
    scale = 1 / (fps * TIME_UNIT)
    while _steps_taken(scale, steps) > steps:
        scale *= 1 - 1e-6
    return scale


def _steps_taken(scale: float, steps: int) -> int:
    """Number of steps of the solver's loop in a frame."""
    end, step = np.float32(scale), np.float32(1) / np.float32(steps) * np.float32(scale)
    time, taken = np.float32(0), 0
    while time < end:
        time, taken = time + step, taken + 1
    return taken
