"""PC2: every vertex of every frame, with the mesh as a separate OBJ."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from mviper.body import SMPL
from mviper.export.skinning import Y_UP, posed_vertices
from mviper.files import atomic_path
from mviper.structures import Motion


def write_pc2(path: str | Path, motions: Sequence[Motion], body: SMPL, starts: Sequence[int]) -> None:
    """Writes a point cache (y up, metres) and, with ``.obj`` in place of ``.pc2``, the mesh that it moves.

    Args:
        path: Ends in ``.pc2``.
        motions: One motion, z up.
        body: The body it belongs to.
        starts: Frame at which it begins, for the header.
    """
    (motion,), (start,) = motions, starts
    path = Path(path)
    first = None
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<12siiffi", b"POINTCACHE2\0", 1, body.num_vertices, start, 1.0, len(motion)))
        for vertices in posed_vertices(motion, body):
            vertices = (vertices @ Y_UP.T).astype("<f4")
            first = vertices if first is None else first
            file.write(vertices.tobytes())
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in first]
    lines += [f"f {a} {b} {c}" for a, b, c in body.faces + 1]
    with atomic_path(path.with_suffix(".obj")) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
