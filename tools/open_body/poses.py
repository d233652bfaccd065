"""Random poses within the joints' natural ranges, for fitting and testing the pose correctives."""

from __future__ import annotations

import numpy as np

from mviper.structures import SMPL_JOINTS

#: Range (lowest, highest) of each axis-angle component [degrees]: of left joints (the right ones mirror y and z) and of
#: those on the midline. Hips, shoulders and spine follow textbook ranges of motion, slightly reduced.
JOINT_RANGES = {
    "hip": ((-115, 35), (-35, 35), (-20, 45)),
    "knee": ((0, 140), (-8, 8), (-4, 4)),
    "ankle": ((-30, 35), (-15, 15), (-15, 15)),
    "foot": ((-35, 20), (0, 0), (0, 0)),
    "collar": ((-10, 10), (-20, 20), (-15, 25)),
    "shoulder": ((-70, 70), (-90, 40), (-90, 80)),
    "elbow": ((-70, 70), (-140, 5), (-5, 5)),
    "wrist": ((-50, 50), (-20, 20), (-70, 70)),
    "hand": ((-5, 5), (-5, 5), (-75, 10)),
    "spine_1": ((-15, 30), (-15, 15), (-15, 15)),
    "spine_2": ((-10, 20), (-15, 15), (-12, 12)),
    "spine_3": ((-10, 20), (-15, 15), (-12, 12)),
    "neck": ((-30, 35), (-45, 45), (-25, 25)),
    "head": ((-20, 25), (-30, 30), (-15, 15)),
}


def random_poses(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws poses; each component is triangular within its range with its peak at rest, and the root is not rotated.

    Args:
        count: Number of poses N.
        rng: Source of randomness.

    Returns:
        (N, 24, 3) axis-angle [rad].
    """
    poses = np.zeros((count, len(SMPL_JOINTS), 3))
    for joint, name in enumerate(SMPL_JOINTS):
        side, _, kind = name.partition("_")
        ranges = JOINT_RANGES.get(kind if side in ("left", "right") else name, ((0, 0),) * 3)
        for axis, (low, high) in enumerate(ranges):
            angle = rng.triangular(low - 1e-6, 0.0, high + 1e-6, count)
            poses[:, joint, axis] = np.deg2rad(-angle if side == "right" and axis > 0 else angle)
    return poses
