"""How well a motion fits what was captured, and whether a body can have moved so. Pure functions; angles in degrees.

Positions are compared in the world (z up) [m].
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.body.joints import SMPL_JOINTS
from mviper.structures import Motion
from mviper.synthesis.motion.contact import foot_points, forward_kinematics, lowest, posed_points
from mviper.synthesis.motion.retarget import AIMS, BODY_HINGES
from mviper.synthesis.motion.rotations import Y_UP_TO_Z_UP
from mviper.synthesis.motion.skeleton import SkeletonMotion

_SEGMENTS = {
    "hip": "thigh", "knee": "shin", "ankle": "foot", "shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand",
}  # fmt: skip

#: Limbs by name: SMPL joint where they begin, and where they end; without a side, the middle of left and right.
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
    """Angle between vectors, (..., 3) and (..., 3) -> (...) [degrees]; exact for small angles too."""
    a, b = _unit(a), _unit(b)
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


def limb_direction_errors(source: SkeletonMotion, motion: Motion, rest_joints: np.ndarray) -> dict[str, np.ndarray]:
    """Angle between each limb's captured and fitted direction.

    Args:
        source: What was captured.
        motion: The same frames, fitted.
        rest_joints: The fitted body's, SMPL's axes [m], shape (24, 3).

    Returns:
        [degrees] by limb, (T,) each; limbs whose ends the source lacks are left out.
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
        source: What was captured; in its rest pose all three face +z.
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
    """Angle between the captured axis in which an elbow or knee bends and the fitted limb's own hinge.

    The captured axis is the normal of its two limbs; the fitted one is the body's anatomical hinge, carried by the
    upper limb, so a limb that bends sideways at its joint is found out even where all directions are right.

    Args:
        source: What was captured.
        motion: The same frames, fitted.
        rest_joints: Shape (24, 3).
        bent: Frames count in which the joint is bent by more than this [degrees].

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
    """Distance between captured and fitted joints after one similarity for the whole clip (Umeyama, 1991).

    Args:
        source: What was captured.
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


def align_similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points moved, turned and scaled onto corresponding ones with least squares: (N, 3), (N, 3) -> (N, 3)."""
    centred, goal = points - points.mean(0), target - target.mean(0)
    u, values, vt = np.linalg.svd(goal.T @ centred)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (values * sign).sum() / (centred**2).sum()
    return scale * centred @ (u * sign @ vt).T + target.mean(0)


def frame_jumps(motion: Motion) -> np.ndarray:
    """Fastest turn of any joint between successive frames, (T - 1,) [degrees per frame]."""
    jumps = np.zeros(len(motion) - 1)
    for joint in range(24):
        rotations = Rotation.from_rotvec(motion.poses[:, joint])
        jumps = np.maximum(jumps, np.degrees((rotations[:-1].inv() * rotations[1:]).magnitude()))
    return jumps


def ground_penetration(motion: Motion, rest_joints: np.ndarray, soles: np.ndarray | None = None) -> np.ndarray:
    """Depth of each frame's lowest sole point under the floor, (T,) [m]; 0 where it is above."""
    points = foot_points(rest_joints, soles)
    return np.maximum(0.0, -lowest(posed_points(motion.poses, motion.transl, rest_joints, points)))
