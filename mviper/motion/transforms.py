"""Pure functions from motion to motion: frame rate, length, lead-in, and rotation helpers.

Motions are in the world: z up, floor at z = 0 [m]; angles in radians.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.motion.contact import body_points, forward_kinematics, lowest, posed_points
from mviper.motion.rotations import Y_UP_TO_Z_UP, arctan2, resample_rotations
from mviper.structures import SMPL_JOINTS, Motion, mirror_indices


def resample(motion: Motion, fps: float) -> Motion:
    """Resamples a motion: rotations by slerp, translation linearly; frame 0 stays frame 0.

    Args:
        motion: Any motion.
        fps: The new rate [1/s].

    Returns:
        The motion from its start to the last frame at the new rate that lies within it.
    """
    if fps == motion.fps:
        return motion
    times = np.arange(len(motion)) / motion.fps
    sampled = np.arange(int(np.floor(times[-1] * fps + 1e-6)) + 1) / fps
    poses = np.empty((len(sampled), 24, 3))
    for joint in range(24):
        poses[:, joint] = resample_rotations(Rotation.from_rotvec(motion.poses[:, joint]), times, sampled).as_rotvec()
    transl = np.stack([np.interp(sampled, times, column) for column in motion.transl.T], axis=1)
    return replace(motion, poses=poses, transl=transl, fps=fps)


def crop(motion: Motion, max_frames: int, start: int = 0) -> Motion:
    """At most ``max_frames`` frames from ``start`` on."""
    return motion[start : start + max_frames]


#: Each joint's partner on the other side.
_OTHER_SIDE = mirror_indices(SMPL_JOINTS)


def mirrored(motion: Motion) -> Motion:
    """Mirrors a motion: swaps left and right, and east and west.

    Exact for a symmetric body; otherwise joints match the mirrored body's up to its asymmetry.
    """
    return replace(
        motion, poses=motion.poses[:, _OTHER_SIDE] * [1.0, -1.0, -1.0], transl=motion.transl * [-1.0, 1.0, 1.0]
    )


def busiest_start(motion: Motion, frames: int, rest_joints: np.ndarray) -> int:
    """First frame of the window of a motion with the longest total joint path.

    Args:
        motion: The motion.
        frames: Length of the window; the result is 0 if the motion is not longer.
        rest_joints: The body's joints at rest [m], shape (24, 3).
    """
    joints = forward_kinematics(motion.poses, motion.transl, rest_joints)[0]
    way = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(joints, axis=0), axis=2).sum(axis=1)))
    return int(np.argmax(way[frames - 1 :] - way[: len(way) - frames + 1])) if len(motion) > frames else 0


def continuous(poses: np.ndarray) -> np.ndarray:
    """Makes axis-angles continuous over time wherever the rotation is.

    A rotation has many axis-angles (multiples of 2 pi about its axis, and the opposite axis). Each frame takes the one
    nearest to the previous frame's, so that linear interpolation never rotates a joint the long way round.

    Args:
        poses: Axis-angle over time [rad], shape (T, ..., 3).

    Returns:
        The same rotations, shape (T, ..., 3); the angle may exceed pi.
    """
    result = np.array(poses, np.float64)
    for frame in range(1, len(result)):
        before, now = result[frame - 1], result[frame]
        angle = np.linalg.norm(now, axis=-1, keepdims=True)
        still = angle < 1e-9  # the identity's axis is arbitrary: keep the given one
        length = np.linalg.norm(before, axis=-1, keepdims=True)
        axis = np.where(still, before / np.maximum(length, 1e-9), now / np.maximum(angle, 1e-9))
        along = (before * axis).sum(-1, keepdims=True)
        turns = np.round((along - angle) / (2 * np.pi))
        result[frame] = axis * (angle + 2 * np.pi * turns)
    return result


def heading(root: np.ndarray) -> np.ndarray:
    """Heading of bodies: their rotation about the vertical from south, counter-clockwise seen from above.

    It is the twist about z of the swing-twist decomposition, so it is defined for lying or bending bodies too, except
    exactly upside down (0 then).

    Args:
        root: Root axis-angles in the world [rad], shape (..., 3).

    Returns:
        [rad] in (-pi, pi], shape (...); 0 faces south (-y), pi / 2 east (+x).
    """
    root = np.asarray(root, np.float64)
    quaternion = (Rotation.from_rotvec(root.reshape(-1, 3)) * Y_UP_TO_Z_UP.inv()).as_quat()
    turn = 2 * arctan2(quaternion[:, 2], quaternion[:, 3])
    return ((turn + np.pi) % (2 * np.pi) - np.pi).reshape(root.shape[:-1])


#: How far an A-pose lowers the arms from the T-pose [rad].
A_POSE_ARMS = np.radians(45.0)


def rest_pose(kind: str = "t") -> np.ndarray:
    """Body pose of the T- or A-pose, root in body axes.

    Args:
        kind: ``"t"`` or ``"a"`` (arms 45 degrees lower).

    Returns:
        Axis-angle [rad], shape (24, 3).
    """
    if kind not in ("t", "a"):
        raise ValueError(f"rest pose must be 't' or 'a', got {kind!r}")
    pose = np.zeros((24, 3))
    if kind == "a":
        pose[SMPL_JOINTS.index("left_shoulder"), 2] = -A_POSE_ARMS
        pose[SMPL_JOINTS.index("right_shoulder"), 2] = A_POSE_ARMS
    return pose


#: Maximum angular [rad/s] and linear speed [m/s] at the end of a lead-in. Higher speeds would make it swing back first.
_MAX_END_TURN, _MAX_END_SHIFT = 4.0, 2.0


def lead_in(
    motion: Motion,
    rest_joints: np.ndarray,
    frames: int,
    still: int = 5,
    pose: str = "t",
    soles: np.ndarray | None = None,
) -> Motion:
    """The paper's lead-in: frames from a T- or A-pose, where cloth simulation starts, to the first captured frame.

    The body stands upright on the floor at its first position, with the first frame's heading. Joints and root follow a
    quintic that starts at rest and ends with the clip's speed. The lowest point stays on the floor (slightly above it
    when support passes from feet to knees, hands or head), or rises to its height in the first frame.

    Args:
        motion: The captured motion.
        rest_joints: Its body's joints in the T-pose, SMPL's axes [m], shape (24, 3).
        frames: Moving frames N before the first captured one.
        still: Preceding frames at rest, for cloth to settle.
        pose: ``"t"`` or ``"a"``.
        soles: Points under the feet in the rest pose, shape (2, P, 3); ``None``: estimated.

    Returns:
        ``still + frames + len(motion)`` frames; the captured ones, unchanged, come last.
    """
    rest_joints = np.asarray(rest_joints, np.float64)
    start = rest_pose(pose)
    upright = Rotation.from_euler("z", heading(motion.poses[0, 0])) * Y_UP_TO_Z_UP
    # Root relative to the upright one, joints relative to the rest pose: small vectors to interpolate.
    rest = Rotation.from_rotvec(start)
    first = [_relative(motion.poses[k], upright, rest) for k in range(min(2, len(motion)))]
    goal = first[0]
    speed = continuous(np.stack(first))[-1] - goal if len(first) == 2 else np.zeros((24, 3))
    speed = _capped(speed * motion.fps, _MAX_END_TURN)
    shift = motion.transl[min(1, len(motion) - 1)] - motion.transl[0]
    shift = _capped(shift * motion.fps, _MAX_END_SHIFT)

    seconds = (frames + 1) / motion.fps
    phase = np.arange(1, frames + 1) / (frames + 1)
    position, velocity = _quintic(phase)
    # Arms accelerate late: over the whole lead-in, arms that are about to rise would first swing into the trunk.
    pick_up = np.where(np.isin(SMPL_JOINTS, _ARMS), min(seconds, _PICK_UP), seconds)
    turn = pick_up * _quintic((1 - (1 - phase[:, None]) * seconds / pick_up).clip(0, 1))[1]
    relative = position[:, None, None] * goal + turn[:, :, None] * speed
    poses = np.empty((frames, 24, 3))
    for joint in range(24):
        base = upright if joint == 0 else rest[joint]
        poses[:, joint] = (base * Rotation.from_rotvec(relative[:, joint])).as_rotvec()

    # The pelvis starts above its first position; heights follow from the lowest point.
    transl = motion.transl[0] + (velocity * seconds)[:, None] * shift
    points = body_points(rest_joints, soles)
    standing = start.copy()
    standing[0] = upright.as_rotvec()
    floor_now = lowest(posed_points(standing[None], motion.transl[:1], rest_joints, points))[0]
    start_transl = motion.transl[0] - [0, 0, floor_now]
    clearance = max(0.0, lowest(posed_points(motion.poses[:1], motion.transl[:1], rest_joints, points))[0])
    softness = _SOFT_FLOOR * (4 * phase * (1 - phase)) ** 2  # zero at both ends, where the feet stand
    transl[:, 2] += position * clearance - _soft_lowest(posed_points(poses, transl, rest_joints, points), softness)

    still_poses = np.repeat(standing[None], still, axis=0)
    still_transl = np.repeat(start_transl[None], still, axis=0)
    return replace(
        motion,
        poses=np.concatenate([still_poses, poses, motion.poses]),
        transl=np.concatenate([still_transl, transl, motion.transl]),
    )


#: Duration of the arms' motion from the T- to the A-pose [s].
_LOWERING = 0.5


def from_t_pose(motion: Motion, still: int = 5) -> Motion:
    """Prepends the T-pose, for which garments are cut, to a lead-in from an A-pose, lowering the arms in between.

    Args:
        motion: Result of :func:`lead_in` with ``pose="a"``.
        still: Frames at rest in the T-pose.

    Returns:
        ``still + ceil(0.5 s * fps)`` additional frames; those of the motion, unchanged, come last.
    """
    count = int(np.ceil(_LOWERING * motion.fps))
    arms = motion.poses[0].copy()
    arms[0] = 0.0  # only the body pose differs
    weight = np.concatenate([np.zeros(still), _quintic(np.arange(1, count + 1) / (count + 1))[0]])
    poses = motion.poses[0] - arms + weight[:, None, None] * arms
    transl = np.repeat(motion.transl[:1], len(poses), axis=0)
    return replace(motion, poses=np.concatenate([poses, motion.poses]), transl=np.concatenate([transl, motion.transl]))


#: Time before the first captured frame during which a lead-in's arms accelerate [s].
_PICK_UP = 0.4
_ARMS = [f"{side}_{joint}" for side in ("left", "right") for joint in ("collar", "shoulder", "elbow", "wrist")]

#: Height over which support blends when another part of the body becomes the lowest [m].
_SOFT_FLOOR = 0.03


def _soft_lowest(points: np.ndarray, softness: np.ndarray) -> np.ndarray:
    """A smooth lower bound of each frame's lowest height: (T, N, 3) and (T,) [m] -> (T,) [m]."""
    low = lowest(points)
    above = (points[..., 2] - low[:, None]) / np.maximum(softness, 1e-9)[:, None]
    return low - softness * np.log(np.exp(-above).sum(axis=1))


def _relative(pose: np.ndarray, upright: Rotation, rest: Rotation) -> np.ndarray:
    relative = (rest.inv() * Rotation.from_rotvec(pose)).as_rotvec()
    relative[0] = (upright.inv() * Rotation.from_rotvec(pose[0])).as_rotvec()
    return relative


def _capped(vectors: np.ndarray, limit: float) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors * np.minimum(1.0, limit / np.maximum(length, 1e-12))


def _quintic(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hermite quintics on [0, 1], both at rest at 0: one ends at 1 at rest, the other at 0 with slope 1."""
    position = t**3 * (10 - 15 * t + 6 * t**2)
    velocity = t**3 * (-4 + 7 * t - 3 * t**2)
    return position, velocity
