"""Retargets a captured skeleton's rotations to SMPL: rest poses are aligned once, then rotations carry over.

For every SMPL joint, a constant rotation A takes the body's T-pose to the source's rest pose: limbs along the source's
limbs, elbow and knee hinges along the source's hinges. A frame's global rotation is ``G A``, where G is the source's. A
limb that is one bone in both skeletons thus has exactly the source's direction and twist in every frame. As the body's
proportions differ from the captured skeleton's, arms and legs are then rotated slightly, within a bound, towards the
captured hands and feet.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.motion.contact import bend_toes, flesh_points, floor_height, foot_points, posed_points
from mviper.motion.rotations import Y_UP_TO_Z_UP, arctan2, swings
from mviper.motion.skeleton import SkeletonMotion
from mviper.structures import SMPL_JOINTS, SMPL_PARENTS, Motion

#: The far end of the limb of each SMPL joint that is aimed along a limb.
AIMS = {
    f"{side}_{joint}": f"{side}_{end}"
    for side in ("left", "right")
    for joint, end in (
        ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"), ("shoulder", "elbow"), ("elbow", "wrist"),
        ("wrist", "hand"),
    )
} | {"neck": "head"}  # fmt: skip

#: Axis about which SMPL's elbows and knees bend in the T-pose: forearms move forward, shins backward.
BODY_HINGES = {
    "left_knee": np.array([1.0, 0.0, 0.0]),
    "right_knee": np.array([1.0, 0.0, 0.0]),
    "left_elbow": np.array([0.0, -1.0, 0.0]),
    "right_elbow": np.array([0.0, 1.0, 0.0]),
}


#: Maximum rotation of arms and legs towards the captured wrists and ankles [rad], ...
MAX_LIMB_TURN = np.radians(2.5)

#: ... and of shoulder girdles towards the captured shoulders.
MAX_COLLAR_TURN = np.radians(10.0)


def _frame(direction: np.ndarray, hinge: np.ndarray) -> np.ndarray:
    """Right-handed axes (3, 3): first column the direction, second the hinge's component orthogonal to it."""
    first = direction / np.linalg.norm(direction)
    second = hinge - (hinge @ first) * first
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


def align_rest_poses(source: SkeletonMotion, rest_joints: np.ndarray) -> dict[str, Rotation]:
    """The rotations A that take the body's T-pose to the source's rest pose.

    Args:
        source: Its skeleton and joint map are used.
        rest_joints: SMPL's axes [m], shape (24, 3).

    Returns:
        Global rotation by SMPL joint name, for all 24.
    """
    joint_map = source.joint_map
    rest = dict(zip(SMPL_JOINTS, rest_joints))
    aligned: dict[str, Rotation] = {}
    for joint, parent in zip(SMPL_JOINTS, SMPL_PARENTS):
        if joint in joint_map.starts:
            aligned[joint] = Rotation.from_matrix(joint_map.starts[joint])
        elif joint.endswith(("knee", "elbow", "wrist", "hand")):
            aligned[joint] = aligned[SMPL_JOINTS[parent]]
        else:
            aligned[joint] = Rotation.identity()
        end = AIMS.get(joint)
        if end is None or joint not in joint_map.points or end not in joint_map.points:
            continue
        ours, theirs = rest[end] - rest[joint], source.rest_point(end) - source.rest_point(joint)
        if np.linalg.norm(theirs) < 1e-6:
            continue
        hinge = {"hip": "knee", "shoulder": "elbow"}.get(joint.split("_")[-1], joint.split("_")[-1])
        hinge = f"{joint.split('_')[0]}_{hinge}"
        if hinge in joint_map.hinges:
            target = _frame(theirs, joint_map.hinges[hinge]) @ _frame(ours, BODY_HINGES[hinge]).T
            aligned[joint] = Rotation.from_matrix(target)
        else:
            aligned[joint] = swings(aligned[joint].apply(ours), theirs) * aligned[joint]
    return aligned


def _along(direction: np.ndarray, fixed: np.ndarray, movable: np.ndarray) -> np.ndarray:
    """Rotates ``movable`` so that ``fixed + movable`` points in a direction; (T, 3) each."""
    along = (fixed * direction).sum(-1, keepdims=True)
    # |s direction - fixed| = |movable|: the larger root s of a quadratic; the nearest direction if there is none.
    square = along**2 + (movable**2 - fixed**2).sum(-1, keepdims=True)
    goal = (along + np.sqrt(np.maximum(square, 0.0))) * direction - fixed
    return goal / np.linalg.norm(goal, axis=-1, keepdims=True) * np.linalg.norm(movable, axis=-1, keepdims=True)


def _align_trunk(rotations: dict[str, Rotation], source: SkeletonMotion, rest_joints: np.ndarray) -> None:
    """Rotates spine_1 and spine_2 so that the line from the hips' midpoint to the shoulders' is as captured.

    Spine bones differ in length and place between skeletons; the line from hips to shoulders is what is visible. The
    chest keeps its captured rotation.
    """
    rest = dict(zip(SMPL_JOINTS, rest_joints))

    def segment(turning: str, start: str, end: str) -> np.ndarray:
        return rotations[turning].apply(rest[end] - rest[start])

    direction = _middle(source, "shoulder") - _middle(source, "hip")
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    hips = 0.5 * (segment("pelvis", "pelvis", "left_hip") + segment("pelvis", "pelvis", "right_hip"))
    collars = [
        segment("spine_3", "spine_3", f"{side}_collar")
        + segment(f"{side}_collar", f"{side}_collar", f"{side}_shoulder")
        for side in ("left", "right")
    ]
    fixed = segment("pelvis", "pelvis", "spine_1") - hips + 0.5 * (collars[0] + collars[1])
    spine = segment("spine_1", "spine_1", "spine_2") + segment("spine_2", "spine_2", "spine_3")
    turn = swings(spine, _along(direction, fixed, spine))
    rotations["spine_1"], rotations["spine_2"] = turn * rotations["spine_1"], turn * rotations["spine_2"]


def _middle(source: SkeletonMotion, joint: str) -> np.ndarray:
    """Midpoint of a left and a right joint over time, (T, 3)."""
    return 0.5 * (source.point(f"left_{joint}") + source.point(f"right_{joint}"))


def _relative_joints(rotations: dict[str, Rotation], rest_joints: np.ndarray) -> dict[str, np.ndarray]:
    """Joints relative to the pelvis, (T, 3) each, from global rotations."""
    joints = {SMPL_JOINTS[0]: np.zeros((len(rotations[SMPL_JOINTS[0]]), 3))}
    for k, parent in list(enumerate(SMPL_PARENTS))[1:]:
        above = SMPL_JOINTS[parent]
        joints[SMPL_JOINTS[k]] = joints[above] + rotations[above].apply(rest_joints[k] - rest_joints[parent])
    return joints


def _place(joints: dict[str, np.ndarray], targets: dict[str, np.ndarray]) -> np.ndarray:
    """Pelvis positions that bring the joints nearest to their targets on average, (T, 3)."""
    return np.mean([target - joints[name] for name, target in targets.items()], axis=0)


def _reach(rotations: dict[str, Rotation], rest_joints: np.ndarray, targets: dict[str, np.ndarray]) -> None:
    """Rotates collars, then whole arms and legs, towards captured shoulders, wrists and ankles, within bounds.

    Knees and elbows keep their angles, and hands and feet their global rotations.
    """
    reaches: list[list[tuple[str, tuple[str, ...], str, float]]] = [
        [("collar", ("collar",), "shoulder", MAX_COLLAR_TURN)],
        [("shoulder", ("shoulder", "elbow"), "wrist", MAX_LIMB_TURN), ("hip", ("hip", "knee"), "ankle", MAX_LIMB_TURN)],
    ]
    for together in reaches:
        joints = _relative_joints(rotations, rest_joints)
        pelvis = _place(joints, targets)
        for start, turning, end, bound in together:
            for side in ("left", "right"):
                origin, goal = joints[f"{side}_{start}"], targets[f"{side}_{end}"] - pelvis
                turn = swings(joints[f"{side}_{end}"] - origin, goal - origin).as_rotvec()
                angle = np.linalg.norm(turn, axis=1, keepdims=True)
                # tanh: a smooth bound, so that nothing jumps when it is reached.
                turn = Rotation.from_rotvec(turn * bound * np.tanh(angle / bound) / np.maximum(angle, 1e-9))
                for joint in turning:
                    rotations[f"{side}_{joint}"] = turn * rotations[f"{side}_{joint}"]


def _share_forearm_twist(rotations: dict[str, Rotation], rest_joints: np.ndarray) -> None:
    """Transfers half of the hand's twist to the forearm, as radius and ulna do.

    Otherwise SMPL's skin would collapse at the wrist. Directions do not change.
    """
    for side in ("left", "right"):
        elbow, wrist = f"{side}_elbow", f"{side}_wrist"
        axis = rest_joints[SMPL_JOINTS.index(wrist)] - rest_joints[SMPL_JOINTS.index(elbow)]
        axis /= np.linalg.norm(axis)
        quaternion = (rotations[elbow].inv() * rotations[wrist]).as_quat()
        twist: np.ndarray = 2 * arctan2(quaternion[:, :3] @ axis, quaternion[:, 3])
        twist = np.unwrap((twist + np.pi) % (2 * np.pi) - np.pi)
        twist -= 2 * np.pi * np.round(np.median(twist) / (2 * np.pi))
        rotations[elbow] = rotations[elbow] * Rotation.from_rotvec(0.5 * twist[:, None] * axis)


def _size_ratio(points: dict[str, np.ndarray], joints: dict[str, np.ndarray]) -> float:
    """The least-squares scale between joints and points, each frame centred."""
    theirs = np.stack(list(points.values()))
    ours = np.stack([joints[name] for name in points])
    theirs, ours = theirs - theirs.mean(axis=0), ours - ours.mean(axis=0)
    return float((theirs * ours).sum() / (theirs**2).sum())


def retarget(source: SkeletonMotion, rest_joints: np.ndarray, soles: np.ndarray | None = None) -> Motion:
    """Fits a captured motion to a body.

    Args:
        source: The captured skeleton in motion, body axes.
        rest_joints: The body's joints in the T-pose, SMPL's axes [m], shape (24, 3).
        soles: Points under its feet in the T-pose, shape (2, P, 3); ``None``: estimated.

    Returns:
        The motion in the world at the source's frame rate, feet on the floor; betas are zero.
    """
    rest_joints = np.asarray(rest_joints, np.float64)
    aligned = align_rest_poses(source, rest_joints)
    rotations: dict[str, Rotation] = {}
    for joint, parent in zip(SMPL_JOINTS, SMPL_PARENTS):
        if joint in source.joint_map.rotations:
            rotations[joint] = source.rotation(joint) * aligned[joint]
        else:
            above = SMPL_JOINTS[parent]
            rotations[joint] = rotations[above] * aligned[above].inv() * aligned[joint]
    _align_trunk(rotations, source, rest_joints)
    # The path follows the capture, at the scale at which both bodies agree best.
    points = {joint: source.point(joint) for joint in source.joint_map.points}
    scale = _size_ratio(points, _relative_joints(rotations, rest_joints))
    targets = {joint: scale * point for joint, point in points.items()}
    _reach(rotations, rest_joints, targets)
    _share_forearm_twist(rotations, rest_joints)

    poses = np.empty((len(source), 24, 3))
    poses[:, 0] = (Y_UP_TO_Z_UP * rotations["pelvis"]).as_rotvec()
    for k, parent in list(enumerate(SMPL_PARENTS))[1:]:
        poses[:, k] = (rotations[SMPL_JOINTS[parent]].inv() * rotations[SMPL_JOINTS[k]]).as_rotvec()

    pelvis = _place(_relative_joints(rotations, rest_joints), targets)
    transl = Y_UP_TO_Z_UP.apply(pelvis) - rest_joints[0]
    heels_and_balls = foot_points(rest_joints, soles)[::2]
    feet = posed_points(poses, transl, rest_joints, heels_and_balls)
    others = posed_points(poses, transl, rest_joints, flesh_points(rest_joints))
    transl[:, 2] -= floor_height(feet, others, source.fps, transl[:, :2])
    poses = bend_toes(poses, transl, rest_joints, soles)
    return Motion(poses, transl, np.zeros(10), source.fps, name=source.name, subject=source.subject)
