"""Joint limits, and how far a motion exceeds them.

A joint's rotation is decomposed into a swing of its bone and a twist about it. The ranges are based on normal ones
(Boone and Azen, Normal range of motion of joints in male subjects, J Bone Joint Surg 61, 1979), widened as SMPL's
joints need: its collar and shoulder share a shoulder's rotation, and trained people kick, split and tumble. Hands and
toes are excluded, as captures are noisy there.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.motion.retarget import BODY_HINGES
from mviper.motion.rotations import arctan2
from mviper.structures import SMPL_JOINTS, Motion

#: By joint without its side: the bone in the T-pose, the centre of its range of directions (left side, SMPL's axes),
#: the range's radius [degrees], and the maximum twist [degrees].
SWINGS = {
    "hip": ((0.0, -1.0, 0.0), (0.3, -0.7, 0.65), 100.0, 75.0),
    "shoulder": ((1.0, 0.0, 0.0), (0.6, 0.0, 0.8), 125.0, 120.0),
    "collar": ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), 60.0, 60.0),
    "ankle": ((0.0, 0.0, 1.0), (0.0, 0.0, 1.0), 80.0, 60.0),
    "wrist": ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), 100.0, 90.0),
    "spine_1": ((0.0, 1.0, 0.0), (0.0, 1.0, 0.0), 60.0, 45.0),
    "spine_2": ((0.0, 1.0, 0.0), (0.0, 1.0, 0.0), 60.0, 45.0),
    "spine_3": ((0.0, 1.0, 0.0), (0.0, 1.0, 0.0), 60.0, 45.0),
    "neck": ((0.0, 1.0, 0.0), (0.0, 1.0, 0.0), 70.0, 80.0),
    "head": ((0.0, 1.0, 0.0), (0.0, 1.0, 0.0), 70.0, 80.0),
}

#: Elbows and knees: minimum and maximum bend, and limit of the remaining rotation (including the forearm's twist)
#: [degrees].
HINGES = {"elbow": (-20.0, 165.0, 110.0), "knee": (-20.0, 165.0, 60.0)}


def limit_excess(motion: Motion) -> np.ndarray:
    """How far each joint exceeds its range.

    Args:
        motion: T frames.

    Returns:
        [degrees], shape (T, 24); 0 within the range and for hands, toes and the root.
    """
    excess = np.zeros((len(motion), 24))
    for joint, name in enumerate(SMPL_JOINTS):
        sided, mirror = name.removeprefix("left_").removeprefix("right_"), -1.0 if name.startswith("right_") else 1.0
        local = Rotation.from_rotvec(motion.poses[:, joint])
        if sided in HINGES:
            least, largest, rest = HINGES[sided]
            bend = twist_angle(local, BODY_HINGES[name])
            beside = (Rotation.from_rotvec(-bend[:, None] * BODY_HINGES[name]) * local).magnitude()
            bend = np.degrees(bend)
            excess[:, joint] = np.maximum.reduce([least - bend, bend - largest, np.degrees(beside) - rest])
        elif sided in SWINGS:
            *directions, reach, twist = SWINGS[sided]
            bone, middle = (np.array(vector) * [mirror, 1, 1] for vector in directions)
            cosine = local.apply(bone) @ (middle / np.linalg.norm(middle))
            swung = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
            # The twist is undefined if the bone is reversed.
            turned = np.degrees(np.abs(twist_angle(local, bone))) * (local.apply(bone) @ bone > -0.5)
            excess[:, joint] = np.maximum(swung - reach, turned - twist)
    return np.maximum(excess, 0.0)


def twist_angle(rotations: Rotation, axis: np.ndarray) -> np.ndarray:
    """Angle about an axis of the swing-twist decomposition.

    Args:
        rotations: T rotations.
        axis: Unit vector, shape (3,).

    Returns:
        [rad] in (-pi, pi], shape (T,).
    """
    quaternion = rotations.as_quat()
    angle = 2 * arctan2(quaternion[:, :3] @ axis, quaternion[:, 3])
    return (angle + np.pi) % (2 * np.pi) - np.pi
