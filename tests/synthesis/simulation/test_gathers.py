"""A gathered seam, sewn by the real solver: the longer edge is gathered to the shorter one."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.structures import MeshSequence
from mviper.synthesis.garments import Draft, Edge, Panel, Pattern, Seam, cut_out
from mviper.synthesis.simulation import BlenderCloth
from mviper.synthesis.simulation.meshes import edges_of

bpy = pytest.importorskip("bpy")

GATHER, BAND, RADIUS = 1.6, 0.06, 0.115


def column() -> MeshSequence:
    """A still, closed column, 0.1 m thick and 0.8 m high."""
    around, up = 32, 17
    angle = 2 * np.pi * np.arange(around) / around
    rings = [
        np.column_stack([0.1 * np.cos(angle), 0.1 * np.sin(angle), np.full(around, z)]) for z in np.linspace(0, 0.8, up)
    ]
    vertices = np.concatenate([*rings, [[0, 0, 0]], [[0, 0, 0.8]]])
    faces = []
    for level in range(up - 1):
        for k in range(around):
            a, b = level * around + k, level * around + (k + 1) % around
            faces += [[a, b, b + around], [a, b + around, a + around]]
    bottom, top = len(vertices) - 2, len(vertices) - 1
    faces += [[bottom, (k + 1) % around, k] for k in range(around)]
    faces += [[top, (up - 1) * around + k, (up - 1) * around + (k + 1) % around] for k in range(around)]
    return MeshSequence(np.repeat(vertices[None], 4, axis=0), np.array(faces), name="column")


def gathered_skirt() -> Draft:
    """A pinned band of two halves, to each of which a wider panel is gathered."""
    half = np.pi * RADIUS
    panels, seams, placements, pins = [], [], {}, {}
    for name, start in (("front", np.pi), ("back", 0.0)):
        for part, width, height in (("band", half, BAND), ("skirt", GATHER * half, 0.3)):
            panel, z = f"{part}_{name}", 0.6 if part == "band" else 0.29
            corners = [("hem", (0.0, 0.0)), ("right", (width, 0.0)), ("top", (width, height)), ("left", (0.0, height))]
            panels.append(Panel(panel, tuple(Edge(*corner) for corner in corners)))
            radius = RADIUS if part == "band" else GATHER * RADIUS

            def place(flat: np.ndarray, start=start, width=width, radius=radius, z=z) -> np.ndarray:
                angle = start + np.pi * (0.02 + 0.96 * flat[:, 0] / width)
                return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), z + flat[:, 1]])

            placements[panel] = place
        pins[f"band_{name}"] = lambda flat: (flat[:, 1] > 0.04).astype(float)
        seams.append(Seam((f"skirt_{name}", "top"), (f"band_{name}", "hem"), gather=GATHER))
    for part in ("band", "skirt"):
        seams += [
            Seam((f"{part}_{a}", "right"), (f"{part}_{b}", "left")) for a, b in (("front", "back"), ("back", "front"))
        ]
    return Draft(Pattern(tuple(panels), tuple(seams)), placements, pins)


def test_gathered_seam_is_drawn_up_to_the_shorter_edge() -> None:
    garment = cut_out(gathered_skirt(), 0.025, "skirt", "skirt", "cotton")
    result = BlenderCloth(solver_steps=(8,), drape_frames=10)([garment], column(), 30.0)
    assert result.quality["skirt"]["seams_closed"] >= 99
    mesh = result.meshes[0]
    cloth = mesh.vertices[-1]
    # At the seam the cloth is as long as the band, not the skirt.
    seam = np.flatnonzero(np.abs(mesh.vertices[0][:, 2] - 0.6) < 0.012)
    edges = edges_of(mesh.faces)
    along = edges[np.isin(edges, seam).all(axis=1)]
    length = np.linalg.norm(cloth[along[:, 0]] - cloth[along[:, 1]], axis=1).sum()
    assert length == pytest.approx(2 * np.pi * RADIUS, rel=0.15)
    # Below, the cloth has its full width.
    sides = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    border, count = np.unique(sides, axis=0, return_counts=True)
    hem = border[(count == 1) & (cloth[border].max(axis=1)[:, 2] < 0.5)]
    length = np.linalg.norm(cloth[hem[:, 0]] - cloth[hem[:, 1]], axis=1).sum()
    assert length == pytest.approx(GATHER * 2 * np.pi * RADIUS, rel=0.05)
    figures = result.quality["skirt"]
    assert figures["stretch_p99"] < 1.3
