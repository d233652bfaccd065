"""Contact of a body with the floor, from its joints and a few points under its feet.

No mesh is needed: soles are rigid with the feet, and other parts that can touch the floor (hands, knees, head, ...) are
modelled as balls around their joints.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.motion.rotations import arctan2
from mviper.structures import SMPL_JOINTS, SMPL_PARENTS

_ANKLES = (SMPL_JOINTS.index("left_ankle"), SMPL_JOINTS.index("right_ankle"))
_FEET = (SMPL_JOINTS.index("left_foot"), SMPL_JOINTS.index("right_foot"))

#: Radius of the flesh around joints that may touch the floor [m].
_RADII = {
    "pelvis": 0.09, "spine_2": 0.09, "left_knee": 0.055, "right_knee": 0.055, "left_shoulder": 0.06,
    "right_shoulder": 0.06, "left_elbow": 0.035, "right_elbow": 0.035, "left_hand": 0.015, "right_hand": 0.015,
    "head": 0.08,
}  # fmt: skip


def sole_points(rest_vertices: np.ndarray) -> np.ndarray:
    """Heel, toe tip, and outer and inner ball of each foot, from a body's rest mesh.

    Args:
        rest_vertices: The body in the T-pose, SMPL's axes [m], shape (V, 3).

    Returns:
        Points in the plane of the soles, left foot first, shape (2, 4, 3): heel, toe, outer, inner.
    """
    rest_vertices = np.asarray(rest_vertices, np.float64)
    bottom = rest_vertices[:, 1].min()
    soles = []
    for side in (1.0, -1.0):
        foot = rest_vertices[(rest_vertices[:, 1] < bottom + 0.025) & (rest_vertices[:, 0] * side > 0)]
        corners = (foot[:, 2].argmin(), foot[:, 2].argmax(), (foot[:, 0] * side).argmax(), (foot[:, 0] * side).argmin())
        points = foot[list(corners)]
        points[:, 1] = bottom
        soles.append(points)
    return np.array(soles)


def guess_soles(rest_joints: np.ndarray) -> np.ndarray:
    """Estimates sole points of an average foot from joints alone; see :func:`sole_points`.

    Args:
        rest_joints: SMPL's axes [m], shape (24, 3).

    Returns:
        Shape (2, 4, 3).
    """
    soles = []
    for ankle, foot in zip(_ANKLES, _FEET):
        length = np.linalg.norm((rest_joints[foot] - rest_joints[ankle])[[0, 2]])
        bottom = rest_joints[foot, 1] - 0.2 * length
        heel, toe, ball = rest_joints[ankle], rest_joints[foot], rest_joints[foot]
        side = np.sign(rest_joints[ankle, 0])
        soles.append([
            [heel[0], bottom, heel[2] - 0.4 * length], [toe[0], bottom, toe[2] + 0.5 * length],
            [ball[0] + side * 0.3 * length, bottom, ball[2]], [ball[0] - side * 0.3 * length, bottom, ball[2]],
        ])  # fmt: skip
    return np.array(soles)


def body_points(rest_joints: np.ndarray, soles: np.ndarray | None = None) -> list[tuple[int, np.ndarray, float]]:
    """Points that may touch the floor.

    Args:
        rest_joints: SMPL's axes [m], shape (24, 3).
        soles: From :func:`sole_points`, or ``None``.

    Returns:
        ``(joint, points (P, 3) in the rest pose, radius [m])``: the soles' four first.
    """
    return foot_points(rest_joints, soles) + flesh_points(rest_joints)


def flesh_points(rest_joints: np.ndarray) -> list[tuple[int, np.ndarray, float]]:
    """The part of :func:`body_points` without the feet: balls around joints."""
    named = ((SMPL_JOINTS.index(name), radius) for name, radius in _RADII.items())
    return [(joint, rest_joints[None, joint], radius) for joint, radius in named]


def foot_points(rest_joints: np.ndarray, soles: np.ndarray | None = None) -> list[tuple[int, np.ndarray, float]]:
    """The soles' part of :func:`body_points`: heels and balls turn with the ankle, toe tips with the toes."""
    rest_joints = np.asarray(rest_joints, np.float64)
    soles = guess_soles(rest_joints) if soles is None else np.asarray(soles, np.float64)
    points = []
    for sole, ankle, toes in zip(soles, _ANKLES, _FEET):
        points += [(ankle, sole[[0, 2, 3]], 0.0), (toes, sole[[1]], 0.0)]
    return points


def forward_kinematics(poses: np.ndarray, transl: np.ndarray, rest_joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SMPL's forward kinematics, without its mesh.

    Args:
        poses: Axis-angle [rad], shape (T, 24, 3).
        transl: [m], shape (T, 3).
        rest_joints: SMPL's axes [m], shape (24, 3).

    Returns:
        Joints in the motion's frame [m] (T, 24, 3), and global rotations (T, 24, 3, 3).
    """
    frames = len(poses)
    local = Rotation.from_rotvec(np.reshape(poses, (-1, 3))).as_matrix().reshape(frames, 24, 3, 3)
    rotations = np.empty_like(local)
    joints = np.empty((frames, 24, 3))
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent < 0:
            rotations[:, joint] = local[:, joint]
            joints[:, joint] = transl + rest_joints[joint]
        else:
            rotations[:, joint] = rotations[:, parent] @ local[:, joint]
            joints[:, joint] = joints[:, parent] + rotations[:, parent] @ (rest_joints[joint] - rest_joints[parent])
    return joints, rotations


def posed_points(
    poses: np.ndarray, transl: np.ndarray, rest_joints: np.ndarray, points: list[tuple[int, np.ndarray, float]]
) -> np.ndarray:
    """Contact points over time, each lowered by its radius, in the motion's frame (z up) [m], (T, N, 3)."""
    joints, rotations = forward_kinematics(poses, transl, rest_joints)
    posed = []
    for joint, rest, radius in points:
        offset = (rest - rest_joints[joint]) @ rotations[:, joint].transpose(0, 2, 1)
        posed.append(joints[:, None, joint] + offset - [0.0, 0.0, radius])
    return np.concatenate(posed, axis=1)


#: Maximum upward bend of the toes [rad].
_MAX_TOE_BEND = np.radians(60.0)


def bend_toes(
    poses: np.ndarray, transl: np.ndarray, rest_joints: np.ndarray, soles: np.ndarray | None = None
) -> np.ndarray:
    """Bends toes up where their tips would be below the floor, as happens when a heel is lifted.

    Args:
        poses: Axis-angle in the world (z up) [rad], shape (T, 24, 3).
        transl: [m], shape (T, 3).
        rest_joints: SMPL's axes [m], shape (24, 3).
        soles: From :func:`sole_points`, or ``None``.

    Returns:
        Poses with corrected toes, shape (T, 24, 3).
    """
    soles = guess_soles(rest_joints) if soles is None else np.asarray(soles, np.float64)
    joints, rotations = forward_kinematics(poses, transl, rest_joints)
    bent = poses.copy()
    for foot, sole in zip(_FEET, soles):
        axis = -rotations[:, foot, :, 0]  # rotation about the foot's own -x raises the toes
        tip = rotations[:, foot] @ (sole[1] - rest_joints[foot])
        # The tip's height as a function of the bend is c + p cos + q sin = c + r cos(bend - peak); the target is 0.
        p_along = (tip * axis).sum(1) * axis[:, 2]
        c, p, q = joints[:, foot, 2] + p_along, tip[:, 2] - p_along, np.cross(axis, tip)[:, 2]
        peak, r = arctan2(q, p), np.maximum(np.hypot(p, q), 1e-9)
        bend = np.clip(peak - np.arccos(np.clip(-c / r, -1, 1)), 0, _MAX_TOE_BEND)
        bend[c + p >= 0] = 0
        turn = Rotation.from_rotvec(-bend[:, None] * np.array([1.0, 0.0, 0.0]))
        bent[:, foot] = (Rotation.from_rotvec(poses[:, foot]) * turn).as_rotvec()
    return bent


def lowest(points: np.ndarray) -> np.ndarray:
    """Height of each frame's lowest point: (T, N, 3) -> (T,) [m]."""
    return points[..., 2].min(axis=1)


#: The floor is at this percentile of the lowest sole point over the frames in which it rests (over all frames if too
#: few rest, as in a run), and of the lowest other point: contact is far more frequent than bad frames.
FLOOR_PERCENTILE, FLESH_PERCENTILE = 15.0, 5.0

#: Maximum tilt of a captured floor (CMU's subject 07 climbs 2 % while walking); more is a real slope or a stair.
MAX_FLOOR_TILT = 0.03


#: Hands, knees or trunk may sink this far into the floor estimated from the feet before it is lowered for them [m].
FLESH_GIVES = 0.02


def floor_height(feet: np.ndarray, others: np.ndarray, fps: float, places: np.ndarray) -> np.ndarray:
    """Estimates the height of the floor in each frame, from the standing feet.

    Fits one plane to the whole clip instead of correcting each frame, so flight phases are preserved. The tilt comes
    from a robust ridge regression over feet at rest, so the plane stays level unless the clip travels far enough to
    show a tilt.

    Args:
        feet: Heels and balls of the feet over time (z up) [m], shape (T, N, 3). Toe tips would mislead: they dip when
            the heel is lifted, as captures do not bend the toes.
        others: Other points that may touch the floor, for crawling or lying bodies, shape (T, M, 3).
        fps: Frames per second.
        places: Query positions on the floor, x and y [m], shape (T, 2).

    Returns:
        [m], shape (T,).
    """
    frames = np.arange(len(feet))
    which = feet[..., 2].argmin(axis=1)
    low = feet[frames, which]
    tilt, centre = np.zeros(2), low[:, :2].mean(0)
    before = feet[np.maximum(frames - 1, 0), which]
    level = np.percentile(low[:, 2], FLOOR_PERCENTILE)
    resting = (np.linalg.norm(low - before, axis=1) * fps < 0.3) & (np.abs(low[:, 2] - level) < 0.15)
    resting[0] = False
    if resting.sum() >= 10:
        x, y = low[resting, :2] - centre, low[resting, 2]
        weight = np.ones(len(x))
        for _ in range(20):
            total = weight.sum()
            x0, y0 = weight @ x / total, weight @ y / total
            spread = (x - x0).T @ (weight[:, None] * (x - x0)) / total
            tilt = np.linalg.solve(spread + 0.05 * np.eye(2), (x - x0).T @ (weight * (y - y0)) / total)
            residual = y - y0 - (x - x0) @ tilt
            weight = 1 / np.maximum(1.0, np.abs(residual) / 0.01)
        if np.linalg.norm(tilt) > MAX_FLOOR_TILT:
            tilt = np.zeros(2)
    heights = low[:, 2] - (low[:, :2] - centre) @ tilt
    height = np.percentile(heights[resting] if resting.sum() >= 10 else heights, FLOOR_PERCENTILE)
    flesh = (others[..., 2] - (others[..., :2] - centre) @ tilt).min(axis=1)
    height = min(height, np.percentile(flesh, FLESH_PERCENTILE) + FLESH_GIVES)
    return height + (places - centre) @ tilt
