"""Fabrics and time in the units of Blender's cloth solver.

The solver has units of its own (``SIM_mass_spring.cpp`` of Blender 4.5): it moves vertices by 9.81/1000 m a frame
squared whatever the frame rate, gives every vertex the same mass, every edge a spring of stiffness ``tension`` over the
mean edge length and every pair of triangles a hinge whose forces grow with the edge's length. So the same numbers are
another fabric on another mesh, and another planet at another frame rate. This module does the conversion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mviper.synthesis.simulation.materials import ClothMaterial

#: The solver's unit of time [s]: in it, gravity is 9.81/1000.
TIME_UNIT = 1000**-0.5
#: What counts as mass 1 [kg]. Only ratios matter; with this one a vertex of cotton on 20 mm edges weighs about as much
#: as in Blender's own preset.
MASS_UNIT = 1.73e-4
#: Stiffest membrane [N/m] that the solver is given. Woven cloth is stiffer, but a stiffer shirt does not give when an
#: arm moves, and the solver's contacts lose: with 500 a T-shirt went 24 mm into the body on a walk, with 150 it stays
#: outside. A metre of cotton hangs 4 mm longer than it is.
STIFFEST = 150.0
#: Default drag of the air per area and speed [N s/m3], the same in all directions: the solver has no other. It is that
#: of a sheet that moves at 0.25 m/s across its face.
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
    """The settings that make Blender's solver move a mesh as a fabric.

    On an even triangle mesh, springs k along the edges are a sheet of tensile stiffness 2 k / sqrt(3), and hinges of
    energy h theta^2 / 2 one of bending rigidity sqrt(3) h / 2 (Seung, Nelson, "Defects in flexible membranes with
    crystalline order", Phys. Rev. A 38, 1988). The solver's k is ``tension / edge_length``; its hinges push the
    triangles with ``bending * edge_length * theta / 10``, that is with a third of the triangle's height as lever.

    Such springs resist stretch and shear alike (shear stiffness = 3/8 of the tensile one), woven cloth shears fifty
    times as easily as it stretches: the springs take the geometric mean, since both decide how cloth folds.

    Args:
        material: The fabric.
        edge_length: Mean edge length of the mesh [m].
        vertex_area: Its area over its number of vertices [m2].
        air_drag: Drag of the air per area and speed [N s/m3].
    """
    root3 = 3**0.5
    force = TIME_UNIT**2 / MASS_UNIT  # the solver's unit of force (per metre) in one newton
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

    The solver adds up its steps in single precision until they reach the frame's end: where rounding leaves the sum
    just short of it, it takes one step more, and time runs up to 10 % too fast. The value that comes back is a few
    millionths smaller if need be, so that the sum gets there.

    Args:
        fps: Frames per second.
        steps: Solver steps a frame.
    """
    scale = 1 / (fps * TIME_UNIT)
    while _steps_taken(scale, steps) > steps:
        scale *= 1 - 1e-6
    return scale


def _steps_taken(scale: float, steps: int) -> int:
    """How often the solver's loop runs in a frame."""
    end, step = np.float32(scale), np.float32(1) / np.float32(steps) * np.float32(scale)
    time, taken = np.float32(0), 0
    while time < end:
        time, taken = time + step, taken + 1
    return taken
