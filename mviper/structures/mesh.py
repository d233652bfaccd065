"""Meshes: a mesh over time, and a garment cut but not yet sewn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class MeshSequence:
    """A triangle mesh of fixed topology over time, in the world (z up).

    Attributes:
        vertices: [m], shape (T, V, 3).
        faces: Vertex indices, counter-clockwise seen from outside, shape (F, 3).
        uv: Per-corner texture coordinates, shape (F, 3, 2); for garments in metres of cloth.
        name: E.g. ``"body"``, ``"t_shirt"``.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None = None
    name: str = ""

    def __len__(self) -> int:
        return len(self.vertices)


@dataclass
class Garment:
    """A garment cut as panels and placed round the rest-pose body, not yet sewn.

    Attributes:
        name: Registered type in snake case, e.g. ``"t_shirt"``.
        vertices: All panels' vertices, placed round the body in the world [m], shape (V, 3).
        faces: Shape (F, 3), normals away from the body.
        uv: Position in the flat pattern [m], shape (V, 2); its edge lengths are the cloth's rest lengths.
        panel: Which panel each vertex belongs to, shape (V,) int.
        panel_names: Names by panel index.
        seams: Vertex pairs to be sewn together, shape (S, 2).
        pins: How strongly each vertex follows the body (waistband, straps), in [0, 1], shape (V,).
        kind: ``"top"``, ``"bottom"``, ``"skirt"`` or ``"dress"`` (layers and limits of cloth quality differ).
        parameters: The sampled design parameters (length, ease, ...) [m], for the manifest.
        material: Name of a preset in ``mviper.synthesis.simulation.materials``.
        fitted_to: The rest-pose surface that the panels are placed round [m], shape (B, 3); a simulator moves the
            panels with it to the body's position. None: they are already in position.
        covers: That body's vertices that the garment must keep covered, shape (B,) bool; legs, for example, may show
            from under a skirt. None: all that it covers at rest.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    panel: np.ndarray
    panel_names: tuple[str, ...]
    seams: np.ndarray
    pins: np.ndarray
    kind: str = "top"
    parameters: dict[str, float] = field(default_factory=dict)
    material: str = "cotton"
    fitted_to: np.ndarray | None = None
    covers: np.ndarray | None = None
