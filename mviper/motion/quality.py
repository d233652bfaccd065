"""How well a motion fits its capture, and whether it is physically plausible. Pure functions; angles in degrees.

Positions are compared in the world (z up) [m].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.motion.capsules import self_intersection
from mviper.motion.contact import (
    body_points,
    forward_kinematics,
    lowest,
    posed_points,
)
from mviper.motion.joint_limits import limit_excess
from mviper.motion.retarget import AIMS, BODY_HINGES
from mviper.motion.rotations import Y_UP_TO_Z_UP
from mviper.motion.skeleton import SkeletonMotion
from mviper.motion.target import TargetBody
from mviper.structures import SMPL_JOINTS, Motion

_SEGMENTS = {
    "hip": "thigh", "knee": "shin", "ankle": "foot", "shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand",
}  # fmt: skip

#: Limbs by name: SMPL joints at their start and end; without a side, the midpoint of left and right.
LIMBS = {
    **{f"{start.split('_')[0]}_{_SEGMENTS[start.split('_')[1]]}": (start, end)
       for start, end in AIMS.items() if start != "neck"},
    "trunk": ("hip", "shoulder"),
    "neck": ("neck", "head"),
}  # fmt: skip

#: Segments that have a front.
FACINGS = {"pelvis": "pelvis", "chest": "spine_3", "head": "head"}


#: The joint above each hinge.
_ABOVE = {
    f"{side}_{joint}": f"{side}_{above}"
    for side in ("left", "right")
    for joint, above in (("knee", "hip"), ("elbow", "shoulder"))
}


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle between vectors, (..., 3) and (..., 3) -> (...) [degrees]; accurate for small angles too."""
    a, b = _unit(a), _unit(b)
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


def limb_direction_errors(source: SkeletonMotion, motion: Motion, rest_joints: np.ndarray) -> dict[str, np.ndarray]:
    """Angle between each limb's captured and fitted direction.

    Args:
        source: The capture.
        motion: The same frames, fitted.
        rest_joints: The fitted body's joints, SMPL's axes [m], shape (24, 3).

    Returns:
        [degrees] by limb, (T,) each; limbs whose ends the source lacks are omitted.
    """
    joints, _ = forward_kinematics(motion.poses, motion.transl, rest_joints)
    fitted = {name: joints[:, k] for k, name in enumerate(SMPL_JOINTS)}
    captured = {name: Y_UP_TO_Z_UP.apply(source.point(name)) for name in source.joint_map.points}
    for positions in (fitted, captured):
        for joint in ("hip", "shoulder"):
            positions[joint] = 0.5 * (positions[f"left_{joint}"] + positions[f"right_{joint}"])
    errors = {}
    for limb, (start, end) in LIMBS.items():
        if start in captured and end in captured:
            errors[limb] = angle_between(captured[end] - captured[start], fitted[end] - fitted[start])
    return errors


def facing_errors(source: SkeletonMotion, motion: Motion, rest_joints: np.ndarray) -> dict[str, np.ndarray]:
    """Angle between the captured and fitted forward direction of pelvis, chest and head.

    Args:
        source: The capture; in its rest pose all three face +z.
        motion: The same frames, fitted.
        rest_joints: Shape (24, 3).

    Returns:
        [degrees] by segment, (T,) each.
    """
    _, rotations = forward_kinematics(motion.poses, motion.transl, rest_joints)
    forward = np.array([0.0, 0.0, 1.0])
    return {
        segment: angle_between(
            Y_UP_TO_Z_UP.apply(source.rotation(joint).apply(forward)),
            rotations[:, SMPL_JOINTS.index(joint)] @ forward,
        )
        for segment, joint in FACINGS.items()
        if joint in source.joint_map.rotations
    }


def hinge_errors(
    source: SkeletonMotion, motion: Motion, rest_joints: np.ndarray, bent: float = 20.0
) -> dict[str, np.ndarray]:
    """Angle between the captured bending axis of an elbow or knee and the fitted limb's hinge axis.

    The captured axis is the normal of the two limb segments; the fitted one is the body's anatomical hinge, rotated
    with the upper segment. A limb that bends sideways is thus detected even if all directions are right.

    Args:
        source: The capture.
        motion: The same frames, fitted.
        rest_joints: Shape (24, 3).
        bent: Only frames with a larger bend count [degrees].

    Returns:
        [degrees] by joint, over its bent frames (possibly none).
    """
    _, rotations = forward_kinematics(motion.poses, motion.transl, rest_joints)
    errors = {}
    for joint, hinge in BODY_HINGES.items():
        start, end = _ABOVE[joint], AIMS[joint]
        if not {start, joint, end} <= source.joint_map.points.keys():
            continue
        upper = Y_UP_TO_Z_UP.apply(source.point(joint) - source.point(start))
        lower = Y_UP_TO_Z_UP.apply(source.point(end) - source.point(joint))
        frames = angle_between(upper, lower) > bent
        captured = np.cross(upper, lower)[frames]
        fitted = (rotations[:, SMPL_JOINTS.index(start)] @ hinge)[frames]
        errors[joint] = angle_between(captured, fitted)
    return errors


def joint_position_errors(source: SkeletonMotion, motion: Motion, rest_joints: np.ndarray) -> dict[str, np.ndarray]:
    """Distance between captured and fitted joints after one similarity alignment of the whole clip (Umeyama, 1991).

    Args:
        source: The capture.
        motion: The same frames, fitted.
        rest_joints: Shape (24, 3).

    Returns:
        [m] by SMPL joint, (T,) each.
    """
    names = [name for name in SMPL_JOINTS if name in source.joint_map.points]
    joints, _ = forward_kinematics(motion.poses, motion.transl, rest_joints)
    fitted = joints[:, [SMPL_JOINTS.index(name) for name in names]]
    captured = Y_UP_TO_Z_UP.apply(np.stack([source.point(name) for name in names], 1).reshape(-1, 3)).reshape(
        fitted.shape
    )
    aligned = align_similarity(captured.reshape(-1, 3), fitted.reshape(-1, 3)).reshape(fitted.shape)
    distance = np.linalg.norm(aligned - fitted, axis=-1)
    return {name: distance[:, k] for k, name in enumerate(names)}


def motion_difference(one: Motion, other: Motion, rest_joints: np.ndarray) -> dict[str, np.ndarray]:
    """Compares two motions of one body, e.g. a clip fitted to markers and the same clip retargeted.

    Args:
        one: A motion.
        other: Another at the same rate; the longer one is truncated.
        rest_joints: The body's joints in the T-pose, SMPL's axes [m], shape (24, 3).

    Returns:
        ``joints``: distance of each joint relative to the pelvis [m], shape (T, 24); ``rotations``: angle between the
        joints' global rotations [degrees], shape (T, 24).
    """
    count = min(len(one), len(other))
    (a, turned_a), (b, turned_b) = (
        forward_kinematics(motion.poses[:count], motion.transl[:count], rest_joints) for motion in (one, other)
    )
    apart = np.einsum("tkji,tkjl->tkil", turned_a, turned_b)  # R_a^T R_b
    angles = Rotation.from_matrix(apart.reshape(-1, 3, 3)).magnitude().reshape(count, -1)
    return {
        "joints": np.linalg.norm((a - a[:, :1]) - (b - b[:, :1]), axis=-1),
        "rotations": np.degrees(angles),
    }


def align_similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Aligns points to corresponding ones by a least-squares similarity: (N, 3), (N, 3) -> (N, 3)."""
    centred, goal = points - points.mean(0), target - target.mean(0)
    u, values, vt = np.linalg.svd(goal.T @ centred)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (values * sign).sum() / (centred**2).sum()
    return scale * centred @ (u * sign @ vt).T + target.mean(0)


#: Joints whose rotations are ignored: captures are noisy there, by up to 40 degrees between two frames.
_NOISY = [SMPL_JOINTS.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("hand", "foot")]


def frame_jumps(motion: Motion) -> np.ndarray:
    """Largest rotation of any joint except hands and toes between successive frames, (T - 1,) [degrees per frame]."""
    jumps = np.zeros(len(motion) - 1)
    for joint in range(24):
        if joint not in _NOISY:
            rotations = Rotation.from_rotvec(motion.poses[:, joint])
            jumps = np.maximum(jumps, np.degrees((rotations[:-1].inv() * rotations[1:]).magnitude()))
    return jumps


#: A sole point below this height stands on the floor [m], unless another part of the body lies there too.
_CONTACT_HEIGHT = 0.02

#: Number of :func:`body_points` under the feet.
_SOLE_POINTS = 8


def foot_skating(motion: Motion, rest_joints: np.ndarray, soles: np.ndarray | None = None) -> np.ndarray:
    """Speed at which standing feet slide over the floor.

    Of all points of both soles that are on the floor in two successive frames, the slowest counts: a foot swinging just
    above the floor does not stand on it, and a foot pivoting on its ball does not slide. Bodies that lie, sit or stand
    on their hands do not stand on their feet.

    Args:
        motion: T frames.
        rest_joints: Shape (24, 3).
        soles: Points under the feet in the T-pose, shape (2, 4, 3); ``None``: estimated.

    Returns:
        [m/s], shape (T - 1,); NaN if no foot stands.
    """
    points = posed_points(motion.poses, motion.transl, rest_joints, body_points(rest_joints, soles))
    down = points[..., 2] < _CONTACT_HEIGHT
    points, down = points[:, :_SOLE_POINTS], down[:, :_SOLE_POINTS] & ~down[:, _SOLE_POINTS:].any(axis=1, keepdims=True)
    speed = np.linalg.norm(np.diff(points[..., :2], axis=0), axis=-1) * motion.fps
    slowest = np.where(down[1:] & down[:-1], speed, np.inf).min(axis=1)
    return np.where(np.isfinite(slowest), slowest, np.nan)


@dataclass(frozen=True)
class MotionQuality:
    """A motion's quality figures; smaller is better in all of them.

    Attributes:
        limb_error: 95th percentile, over limbs and frames, of the angle to the captured limb [degrees]; ``None``
            without a captured skeleton.
        skating: Median sliding speed of standing feet, see :func:`foot_skating` [m/s]; 0 if none ever stands.
        penetration: 95th percentile over frames of the depth of the body's lowest point below the floor [m].
        limit_excess: Largest angle by which a joint exceeds its range [degrees].
        intersection: Largest penetration of two body parts, as a fraction of the sum of their radii: 1 if their axes
            cross.
        turn_speed: Largest angular speed of a joint between two frames, except hands and toes [degrees/s].
        joint_speed: Largest speed of a joint between two frames [m/s].
    """

    limb_error: float | None
    skating: float
    penetration: float
    limit_excess: float
    intersection: float
    turn_speed: float
    joint_speed: float

    def problems(self, limits: MotionQuality) -> list[str]:
        """Describes figures beyond their limits, each with figure and limit; a limit of ``None`` is never exceeded."""
        found = []
        for name, limit in asdict(limits).items():
            value = getattr(self, name)
            if limit is not None and value is not None and not value <= limit:  # NaN exceeds any limit
                found.append(f"{_WORDS[name].format(value)}, limit {limit:g}")
        return found


#: Wording of each figure in a reason.
_WORDS = {
    "limb_error": "limbs deviate by {:.1f} degrees from the captured ones",
    "skating": "standing feet slide at {:.2f} m/s",
    "penetration": "the body is {:.3f} m under the floor",
    "limit_excess": "a joint is {:.0f} degrees beyond its range",
    "intersection": "body parts penetrate each other by {:.2f} of their radii",
    "turn_speed": "a joint turns at {:.0f} degrees/s",
    "joint_speed": "a joint moves at {:.1f} m/s",
}

#: Maximum number of frames in which limb directions are compared: their errors hardly change from frame to frame.
_COMPARED_FRAMES = 500


def fit_error(captured: SkeletonMotion, motion: Motion, rest_joints: np.ndarray) -> float:
    """95th percentile of :func:`limb_direction_errors` over limbs and frames [degrees]."""
    every = slice(None, None, max(1, len(motion) // _COMPARED_FRAMES))
    some = replace(captured, rotations=captured.rotations[every], positions=captured.positions[every])
    errors = limb_direction_errors(some, motion[every], rest_joints)
    return float(np.percentile(np.stack(list(errors.values())), 95))


def measure_motion(motion: Motion, body: TargetBody, limb_error: float | None = None) -> MotionQuality:
    """Measures all figures that need no capture.

    Args:
        motion: At least two frames, at the final frame rate.
        body: The motion's body.
        limb_error: From :func:`fit_error`, if there is a capture.
    """
    rest_joints = body.rest_joints
    joints, _ = forward_kinematics(motion.poses, motion.transl, rest_joints)
    points = posed_points(motion.poses, motion.transl, rest_joints, body_points(rest_joints, body.soles))
    skating = foot_skating(motion, rest_joints, body.soles)
    return MotionQuality(
        limb_error=limb_error,
        skating=float(np.nanmedian(skating)) if np.isfinite(skating).any() else 0.0,
        penetration=float(np.percentile(np.maximum(-lowest(points), 0.0), 95)),
        limit_excess=float(limit_excess(motion).max()),
        intersection=float(self_intersection(motion, rest_joints, body.capsules).max()),
        turn_speed=float(frame_jumps(motion).max() * motion.fps),
        joint_speed=float(np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() * motion.fps),
    )
