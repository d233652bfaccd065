"""Keeps arms off the trunk and the legs by as much as clothes need."""

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

#: Over so many seconds an arm's correction is spread (standard deviation).
_SMOOTH = 0.08

_ROUNDS = 8

#: An arm is turned by at most this [rad]: who crosses the arms keeps them crossed.
_FARTHEST = np.deg2rad(35)


def make_arm_room(motion: Motion, body: TargetBody, room: float) -> Motion:
    """Turns arms outwards at the shoulders until they are free of trunk and legs.

    Captured arms lie inside the hips of a body that is wider than the actor, and cloth that hangs there would be caught
    by them. Each arm's deepest point is pushed out of what it lies in, by a turn at the shoulder that is spread over
    the frames around; everything else of the motion stays.

    Args:
        motion: Any motion.
        body: Whose it is.
        room: Least distance between an arm and trunk or legs [m]; less where the T-pose has less.

    Returns:
        The same motion if no arm is too near.
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
    """Pairs (P, 2) of a part of one arm and a part of trunk or legs, the arm first, and their allowed depths (P,)."""
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
    """Turns (T, 3) smoothed over time, none smaller than it was where it is largest."""
    smooth = gaussian_filter1d(turn, frames, axis=0, mode="nearest")
    peak, now = np.linalg.norm(turn, axis=1).max(), np.linalg.norm(smooth, axis=1).max()
    return smooth * (peak / now) if now > 1e-9 else smooth
