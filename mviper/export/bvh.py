"""BVH: only the skeleton, in centimetres, y up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.body import SMPL
from mviper.export.skinning import skin_motion
from mviper.files import atomic_path
from mviper.structures import SMPL_JOINTS, SMPL_PARENTS, Motion

_CENTIMETRES = 100.0
#: Length of end bones [cm].
_TIP = 8.0


def write_bvh(path: str | Path, motions: Sequence[Motion], body: SMPL, starts: Sequence[int]) -> None:
    """Writes one person's skeleton and motion.

    The root has position and rotation, its offset is 0; rotation channels are Z, Y, X, as most readers expect.

    Args:
        path: Ends in ``.bvh``.
        motions: One motion, z up.
        body: The body it belongs to.
        starts: Where it begins; not stored, the format has no field for it.
    """
    (motion,) = motions
    skinned = skin_motion(motion, body, correctives=False)
    offsets = skinned.offsets * _CENTIMETRES
    offsets[0] = 0
    lines, order = ["HIERARCHY"], []

    def add(joint: int, depth: int) -> None:
        indent, order_of = "  " * depth, order.append
        order_of(joint)
        lines.append(f"{indent}{'JOINT' if depth else 'ROOT'} {SMPL_JOINTS[joint]}")
        lines.append(indent + "{")
        lines.append(f"{indent}  OFFSET {_numbers(offsets[joint])}")
        place = "" if depth else "Xposition Yposition Zposition "
        lines.append(f"{indent}  CHANNELS {3 if depth else 6} {place}Zrotation Yrotation Xrotation")
        children = np.flatnonzero(SMPL_PARENTS == joint)
        for child in children:
            add(int(child), depth + 1)
        if not len(children):
            along = offsets[joint] / max(np.linalg.norm(offsets[joint]), 1e-9)
            lines.extend([f"{indent}  End Site", indent + "  {", f"{indent}    OFFSET {_numbers(_TIP * along)}"])
            lines.append(indent + "  }")
        lines.append(indent + "}")

    add(0, 0)
    turns = Rotation.from_matrix(skinned.rotmat[:, order].reshape(-1, 3, 3)).as_euler("ZYX", degrees=True)
    rows = np.concatenate([skinned.pelvis * _CENTIMETRES, turns.reshape(len(motion), -1)], axis=1)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.9f}"]
    lines += [_numbers(row) for row in rows]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
