"""Initial pose from MediaPipe's 3D landmarks: every bone is rotated into its direction."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mviper.body import SMPL, to_keypoints
from mviper.structures import KEYPOINTS, SMPL_JOINTS, SMPL_PARENTS

#: Limb joints and the keypoint that their bone points to, from the trunk outwards.
_BONES = (
    *((f"{side}_{joint}", f"{side}_{end}")
      for side in ("left", "right")
      for joint, end in (("hip", "knee"), ("knee", "ankle"), ("ankle", "bigtoe"),
                         ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "hand"))),
)  # fmt: skip


def pose_from_landmarks(world: np.ndarray, body: SMPL) -> np.ndarray:
    """Poses that orient trunk, limbs and head like the landmarks; twists about the limbs are those of the rest pose.

    Args:
        world: MediaPipe's landmarks in camera axes [m], NaN where nothing was seen, shape (T, 33, 3).
        body: The body model.

    Returns:
        Relative rotations, the root's in camera axes, shape (T, 24, 3, 3). Frames without landmarks copy the nearest
        frame with landmarks; without any landmarks, the rest pose, upright and facing the camera.
    """
    count = len(world)
    rotmat = np.tile(np.eye(3), (count, 24, 1, 1))
    rotmat[:, 0] = np.diag([1.0, -1.0, -1.0])
    known = np.isfinite(world).all((1, 2))
    if not known.any():
        return rotmat
    target = _points(world[known])
    rest = body(torch.zeros(1, body.num_betas), torch.eye(3).expand(1, 24, 3, 3)).joints[0].numpy()
    place = {name: rest[KEYPOINTS.index(name)] for name in KEYPOINTS}
    for middle, joint in (("neck_extra", "shoulder"), ("pelvis_extra", "hip")):  # as MediaPipe defines its landmarks
        place[middle] = (place[f"left_{joint}"] + place[f"right_{joint}"]) / 2

    turned = {name: None for name in SMPL_JOINTS}  # global rotations
    turned["pelvis"] = _frame(target["left_hip"] - target["right_hip"], target["neck"] - target["pelvis"]) @ (
        _frame((place["left_hip"] - place["right_hip"])[None], (place["neck_extra"] - place["pelvis_extra"])[None])
    ).transpose(0, 2, 1)
    shoulders = _frame(target["left_shoulder"] - target["right_shoulder"], target["neck"] - target["pelvis"]) @ (
        _frame(
            (place["left_shoulder"] - place["right_shoulder"])[None],
            (place["neck_extra"] - place["pelvis_extra"])[None],
        )
    ).transpose(0, 2, 1)
    # The trunk's twist is distributed over the spine.
    twist = Rotation.from_matrix(turned["pelvis"].transpose(0, 2, 1) @ shoulders).as_rotvec()
    for share, name in zip((1 / 3, 2 / 3, 1.0), ("spine_1", "spine_2", "spine_3")):
        turned[name] = turned["pelvis"] @ Rotation.from_rotvec(share * twist).as_matrix()
    ends = dict(_BONES)
    for joint, name in enumerate(SMPL_JOINTS):
        if turned[name] is not None:
            continue
        above = turned[SMPL_JOINTS[SMPL_PARENTS[joint]]]
        if name not in ends:
            turned[name] = above
            continue
        bone = above @ (place[ends[name]] - place[name])
        turned[name] = _swing(bone, target[ends[name]] - target[name]) @ above
    face = _frame(target["left_ear"] - target["right_ear"], _unit(target["ears"] - target["nose"]), second_axis=2)
    level = _frame(
        (place["left_ear"] - place["right_ear"])[None],
        ((place["left_ear"] + place["right_ear"]) / 2 - place["nose"])[None],
        second_axis=2,
    )
    turned["head"] = face @ level.transpose(0, 2, 1)

    relative = np.stack(
        [
            turned[name] if parent < 0 else turned[SMPL_JOINTS[parent]].transpose(0, 2, 1) @ turned[name]
            for name, parent in zip(SMPL_JOINTS, SMPL_PARENTS)
        ],
        axis=1,
    )
    nearest = np.abs(np.arange(count)[:, None] - np.flatnonzero(known)).argmin(1)
    return relative[nearest]


def _points(world: np.ndarray) -> dict[str, np.ndarray]:
    """Keypoint positions by name, (T, 3) each."""
    keypoints = to_keypoints(np.concatenate([world, np.ones_like(world[..., :1])], -1))[..., :3]
    points = {name: keypoints[:, k] for k, name in enumerate(KEYPOINTS)}
    points["neck"], points["pelvis"] = points["neck_extra"], points["pelvis_extra"]
    points["ears"] = (points["left_ear"] + points["right_ear"]) / 2
    return points


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-9)


def _frame(first: np.ndarray, second: np.ndarray, second_axis: int = 1) -> np.ndarray:
    """Rotations whose x axis is ``first`` and whose y (or z) axis is as near to ``second`` as it can, (T, 3, 3)."""
    x = _unit(first)
    other = _unit(second - (second * x).sum(-1, keepdims=True) * x)
    third = np.cross(x, other)
    axes = (x, other, third) if second_axis == 1 else (x, -third, other)
    return np.stack(axes, axis=-1)


def _swing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotations between directions, (T, 3, 3)."""
    start, end = _unit(start), _unit(end)
    axis = np.cross(start, end)
    sine, cosine = np.linalg.norm(axis, axis=-1), (start * end).sum(-1)
    return Rotation.from_rotvec(_unit(axis) * np.arctan2(sine, cosine)[:, None]).as_matrix()
