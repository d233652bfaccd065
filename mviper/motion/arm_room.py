"""Keeps arms clear of the trunk and legs by the space that clothes need."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from mviper.body import Capsules, closest_on_segments
from mviper.motion.capsules import posed_ends
from mviper.motion.contact import forward_kinematics
from mviper.motion.target import TargetBody
from mviper.structures import SMPL_JOINTS, SMPL_PARENTS, Motion

_ARM = ("upper_arm", "forearm", "hand")

#: Duration over which an arm's correction is smoothed (standard deviation) [s].
_SMOOTH = 0.08

_ROUNDS = 8

#: Maximum correction of an arm [rad]; crossed arms stay crossed.
_FARTHEST = np.deg2rad(35)


def make_arm_room(motion: Motion, body: TargetBody, room: float) -> Motion:
    """Rotates arms outwards at the shoulders until they are clear of trunk and legs.

    On a body wider than the actor, captured arms intersect the hips and would trap the cloth that hangs there. A
    rotation at the shoulder, smoothed over neighbouring frames, moves each arm's deepest point outside; the rest of the
    motion is unchanged.

    Args:
        motion: Any motion.
        body: The motion's body.
        room: Minimum distance between an arm and trunk or legs [m]; smaller where it is smaller in the T-pose.

    Returns:
        The corrected motion; the same object if no arm is too close.
    """
    poses = motion.poses.copy()
    capsules = body.capsules
    sides = {side: _tested(capsules, side) for side in ("left", "right")}
    turned = {side: np.zeros((len(poses), 3)) for side in sides}
    for _ in range(_ROUNDS):
        joints, rotations = forward_kinematics(poses, motion.transl, body.rest_joints)
        ends = posed_ends(joints, rotations, body.rest_joints, capsules)
        for side, (pairs, allowed) in sides.items():
            shoulder = SMPL_JOINTS.index(f"{side}_shoulder")
            arm, other = ends[:, pairs[:, 0]], ends[:, pairs[:, 1]]
            s, t = (share.numpy()[..., None] for share in closest_on_segments(*map(torch.from_numpy, (arm, other))))
            at_arm, at_other = (
                (1 - share) * segment[:, :, 0] + share * segment[:, :, 1] for share, segment in ((s, arm), (t, other))
            )
            apart = at_arm - at_other
            distance = np.linalg.norm(apart, axis=2)
            depth = (capsules.radii[pairs].sum(axis=1) + room - allowed - distance).clip(0)
            worst = depth.argmax(axis=1)
            frame = np.arange(len(poses))
            push = (depth / distance.clip(1e-6))[frame, worst, None] * apart[frame, worst]
            lever = at_arm[frame, worst] - joints[:, shoulder]
            turn = np.cross(lever, push) / np.einsum("ti,ti->t", lever, lever).clip(1e-4)[:, None]
            turn = _spread(turn, _SMOOTH * motion.fps)
            total = turned[side] + turn
            total *= (_FARTHEST / np.linalg.norm(total, axis=1).clip(_FARTHEST))[:, None]
            turn, turned[side] = total - turned[side], total
            parent = Rotation.from_matrix(rotations[:, SMPL_PARENTS[shoulder]])
            globally = Rotation.from_rotvec(turn) * Rotation.from_matrix(rotations[:, shoulder])
            poses[:, shoulder] = (parent.inv() * globally).as_rotvec()
    if not any(turn.any() for turn in turned.values()):
        return motion
    return replace(motion, poses=poses)


def _tested(capsules: Capsules, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (P, 2) of an arm part and a part of trunk or legs, the arm first, with their allowed depths (P,)."""
    arm = {capsules.names.index(f"{side}_{part}") for part in _ARM}
    arms = {index for index, name in enumerate(capsules.names) if name.endswith(_ARM)}
    head = capsules.names.index("head")
    found, allowed = [], []
    for (a, b), depth in zip(capsules.pairs.tolist(), capsules.allowed):
        first, second = (a, b) if a in arm else (b, a)
        if first in arm and second not in arms and second != head:
            found.append((first, second))
            allowed.append(depth)
    return np.array(found), np.array(allowed)


def _spread(turn: np.ndarray, frames: float) -> np.ndarray:
    """Smooths rotation vectors (T, 3) over time without reducing the largest one."""
    smooth = gaussian_filter1d(turn, frames, axis=0, mode="nearest")
    peak, now = np.linalg.norm(turn, axis=1).max(), np.linalg.norm(smooth, axis=1).max()
    return smooth * (peak / now) if now > 1e-9 else smooth
