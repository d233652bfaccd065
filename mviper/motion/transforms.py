"""Pure functions from motion to motion: frame rate, length, lead-in, and what they need of rotations.

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
    """A motion at another frame rate: rotations by slerp, translation linearly; frame 0 stays frame 0.

    Args:
        motion: Any motion.
        fps: The new rate [1/s].

    Returns:
        The motion from its start to the last frame of the new rate that lies within it.
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
    """A motion as a mirror shows it: left and right exchanged, east and west too.

    Exact for a body that is symmetric; otherwise joints lie where the mirrored body's would, to its asymmetry.
    """
    return replace(
        motion, poses=motion.poses[:, _OTHER_SIDE] * [1.0, -1.0, -1.0], transl=motion.transl * [-1.0, 1.0, 1.0]
    )


def busiest_start(motion: Motion, frames: int, rest_joints: np.ndarray) -> int:
    """First frame of the part of a motion, so many frames long, in which the joints go the longest way.

    Args:
        motion: The motion.
        frames: Length of the part; 0 is returned if the motion is not longer.
        rest_joints: The body's joints at rest [m], shape (24, 3).
    """
    joints = forward_kinematics(motion.poses, motion.transl, rest_joints)[0]
    way = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(joints, axis=0), axis=2).sum(axis=1)))
    return int(np.argmax(way[frames - 1 :] - way[: len(way) - frames + 1])) if len(motion) > frames else 0


def continuous(poses: np.ndarray) -> np.ndarray:
    """Axis-angles that do not jump from frame to frame where the rotation does not.

    A rotation has many axis-angles (turns of 2 pi along its axis, and the opposite axis). Each frame takes the one
    nearest to the frame before, so that interpolating linearly never spins a joint the long way round.

    Args:
        poses: Axis-angle over time [rad], shape (T, ..., 3).

    Returns:
        The same rotations, shape (T, ..., 3); the angle may exceed pi.
    """
    result = np.array(poses, np.float64)
    for frame in range(1, len(result)):
        before, now = result[frame - 1], result[frame]
        angle = np.linalg.norm(now, axis=-1, keepdims=True)
        still = angle < 1e-9  # the identity has any axis: keep the one it came with
        length = np.linalg.norm(before, axis=-1, keepdims=True)
        axis = np.where(still, before / np.maximum(length, 1e-9), now / np.maximum(angle, 1e-9))
        along = (before * axis).sum(-1, keepdims=True)
        turns = np.round((along - angle) / (2 * np.pi))
        result[frame] = axis * (angle + 2 * np.pi * turns)
    return result


def heading(root: np.ndarray) -> np.ndarray:
    """Which way bodies face: their turn about the vertical from south, counter-clockwise seen from above.

    It is the twist about z of the swing-twist decomposition, so it stays defined for a body that lies or bends; only
    exactly upside down it is not (0 then).

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


#: Fastest turn [rad/s] and shift [m/s] that a lead-in ends with. A faster first frame would make it swing back first.
_MAX_END_TURN, _MAX_END_SHIFT = 4.0, 2.0


def lead_in(
    motion: Motion,
    rest_joints: np.ndarray,
    frames: int,
    still: int = 5,
    pose: str = "t",
    soles: np.ndarray | None = None,
) -> Motion:
    """The paper's lead-in: frames from a T- or A-pose to the first captured one, since cloth is simulated from there.

    The body stands upright on the floor under its first place, facing as its first frame does; joints and root follow
    a quintic that starts at rest and arrives with the clip's own speed; its lowest point stays on the floor (a little
    above it where feet give way to knees, hands or head), or rises to where the first frame has it.

    Args:
        motion: The captured motion.
        rest_joints: Its body's joints in the T-pose, SMPL's axes [m], shape (24, 3).
        frames: Moving frames N before the first captured one.
        still: Frames before these that stand still, for cloth to settle.
        pose: ``"t"`` or ``"a"``.
        soles: Points under the feet in the rest pose, shape (2, P, 3); ``None`` guesses them.

    Returns:
        ``still + frames + len(motion)`` frames; the captured ones, unchanged, come last.
    """
    rest_joints = np.asarray(rest_joints, np.float64)
    start = rest_pose(pose)
    upright = Rotation.from_euler("z", heading(motion.poses[0, 0])) * Y_UP_TO_Z_UP
    # Root relative to the upright one, joints relative to the rest pose: small vectors to interpolate in.
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
    # Arms pick up their speed late: over the whole way those that are about to rise would first swing into the trunk.
    pick_up = np.where(np.isin(SMPL_JOINTS, _ARMS), min(seconds, _PICK_UP), seconds)
    turn = pick_up * _quintic((1 - (1 - phase[:, None]) * seconds / pick_up).clip(0, 1))[1]
    relative = position[:, None, None] * goal + turn[:, :, None] * speed
    poses = np.empty((frames, 24, 3))
    for joint in range(24):
        base = upright if joint == 0 else rest[joint]
        poses[:, joint] = (base * Rotation.from_rotvec(relative[:, joint])).as_rotvec()

    # The pelvis moves from above its first place; heights follow from the lowest point.
    transl = motion.transl[0] + (velocity * seconds)[:, None] * shift
    points = body_points(rest_joints, soles)
    standing = start.copy()
    standing[0] = upright.as_rotvec()
    floor_now = lowest(posed_points(standing[None], motion.transl[:1], rest_joints, points))[0]
    start_transl = motion.transl[0] - [0, 0, floor_now]
    clearance = max(0.0, lowest(posed_points(motion.poses[:1], motion.transl[:1], rest_joints, points))[0])
    softness = _SOFT_FLOOR * (4 * phase * (1 - phase)) ** 2  # none at either end, where feet are to stand
    transl[:, 2] += position * clearance - _soft_lowest(posed_points(poses, transl, rest_joints, points), softness)

    still_poses = np.repeat(standing[None], still, axis=0)
    still_transl = np.repeat(start_transl[None], still, axis=0)
    return replace(
        motion,
        poses=np.concatenate([still_poses, poses, motion.poses]),
        transl=np.concatenate([still_transl, transl, motion.transl]),
    )


#: How long the arms take from the T- to the A-pose [s].
_LOWERING = 0.5


def from_t_pose(motion: Motion, still: int = 5) -> Motion:
    """A lead-in from an A-pose with the T-pose before it, for which garments are cut: the arms are lowered in between.

    Args:
        motion: Of :func:`lead_in` with ``pose="a"``.
        still: Frames in the T-pose.

    Returns:
        ``still + ceil(0.5 s * fps)`` frames more; those of the motion, unchanged, come last.
    """
    count = int(np.ceil(_LOWERING * motion.fps))
    arms = motion.poses[0].copy()
    arms[0] = 0.0  # only the body's pose differs
    weight = np.concatenate([np.zeros(still), _quintic(np.arange(1, count + 1) / (count + 1))[0]])
    poses = motion.poses[0] - arms + weight[:, None, None] * arms
    transl = np.repeat(motion.transl[:1], len(poses), axis=0)
    return replace(motion, poses=np.concatenate([poses, motion.poses]), transl=np.concatenate([transl, motion.transl]))


#: How long before the first captured frame a lead-in's arms pick up their speed [s].
_PICK_UP = 0.4
_ARMS = [f"{side}_{joint}" for side in ("left", "right") for joint in ("collar", "shoulder", "elbow", "wrist")]

#: Where another part of the body comes to be the lowest, the body is caught over this height [m].
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
    """Hermite quintics on [0, 1], both at rest at 0: one goes to 1 and rests there, one to 0 and has slope 1 there."""
    position = t**3 * (10 - 15 * t + 6 * t**2)
    velocity = t**3 * (-4 + 7 * t - 3 * t**2)
    return position, velocity
