"""A motion as a skinned mesh, for file formats with skeletons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mviper.body import SMPL
from mviper.structures import SMPL_PARENTS, Motion

#: Largest error of the blend shapes in place of the pose correctives [m].
_TOLERANCE = 2e-4
#: From the world (z up, facing south) to graphics axes (y up, facing +z).
Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
_CHUNK = 64


@dataclass
class SkinnedMotion:
    """A body's surface as linear blend skinning with blend shapes; y up, metres.

    SMPL's pose correctives are linear in 207 numbers of a pose; for one motion a few combinations suffice, which become
    blend shapes with weights over time.

    Attributes:
        rest: The shaped body in the T-pose minus ``rest_weights`` of the blend shapes, shape (V, 3).
        joints: Its joints, shape (24, 3).
        shapes: Blend shapes as offsets, shape (K, V, 3).
        shape_weights: Their weights, from 0 to 1, shape (T, K).
        rest_weights: Those of the T-pose, shape (K,).
        rotmat: Rotations relative to the parent, the root's in the world, shape (T, 24, 3, 3).
        pelvis: Position of joint 0, shape (T, 3).
    """

    rest: np.ndarray
    joints: np.ndarray
    shapes: np.ndarray
    shape_weights: np.ndarray
    rest_weights: np.ndarray
    rotmat: np.ndarray
    pelvis: np.ndarray

    @property
    def offsets(self) -> np.ndarray:
        """Each joint's offset from its parent in the T-pose (joint 0: its position), shape (24, 3)."""
        offsets = self.joints.copy()
        offsets[1:] -= self.joints[SMPL_PARENTS[1:]]
        return offsets


def skin_motion(motion: Motion, body: SMPL, correctives: bool = True) -> SkinnedMotion:
    """Decomposes a motion of a body.

    Args:
        motion: In the world, z up.
        body: The body that its betas belong to.
        correctives: Whether to compute the blend shapes.
    """
    betas = torch.as_tensor(_padded(motion.betas, body.num_betas), dtype=torch.float32)[None]
    with torch.no_grad():
        rest, joints = (part[0].double().numpy() for part in (body.rest_vertices(betas), body.rest_joints(betas)))
    rotmat = Rotation.from_rotvec(motion.poses.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    shapes, weights = np.zeros((0, len(rest), 3)), np.zeros((len(rotmat), 0))
    if correctives:
        features = (rotmat[:, 1:] - np.eye(3)).reshape(len(rotmat), -1)  # SMPL's correctives are linear in these
        shapes, weights = _corrective_shapes(body.layer.posedirs.double().numpy(), features)
    # Blender clamps weights to [0, 1]: rescale each to this range and move its minimum into the rest shape.
    low, high = (np.concatenate([weights, 0 * weights[:1]]).min(0), np.concatenate([weights, 0 * weights[:1]]).max(0))
    size = (high - low).clip(1e-9)
    start = rest + np.einsum("k,kvc->vc", low, shapes)
    pelvis = (joints[0] + motion.transl) @ Y_UP.T
    turned = rotmat.copy()
    turned[:, 0] = Y_UP @ rotmat[:, 0]
    return SkinnedMotion(
        start, joints, shapes * size[:, None, None], (weights - low) / size, -low / size, turned, pelvis
    )


def _padded(betas: np.ndarray, count: int) -> np.ndarray:
    return np.pad(betas, (0, max(0, count - len(betas))))[:count]


def _corrective_shapes(posedirs: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal shapes (K, V, 3) of the correctives (207, 3 V) for poses (T, 207), and weights (T, K)."""
    basis, triangle = np.linalg.qr(posedirs.T)  # (3 V, 207), orthonormal: norms of coefficients equal norms of offsets
    coefficients = features @ triangle.T
    _, _, directions = np.linalg.svd(coefficients[:: max(1, len(coefficients) // 1000)], full_matrices=True)
    weights = coefficients @ directions.T
    count = 0
    while count < weights.shape[1] and _left_out(basis, directions, weights, count) > _TOLERANCE:
        count += 4
    shapes = (basis @ directions[:count].T).T.reshape(-1, len(basis) // 3, 3)
    return shapes, weights[:, :count]


def _left_out(basis: np.ndarray, directions: np.ndarray, weights: np.ndarray, count: int) -> float:
    """Largest vertex offset [m] of the shapes beyond the first ``count``, in the frames where they are strongest."""
    rest = np.linalg.norm(weights[:, count:], axis=1)
    worst = np.argsort(rest)[-8:]
    offsets = weights[worst, count:] @ directions[count:] @ basis.T
    return float(np.linalg.norm(offsets.reshape(len(worst), -1, 3), axis=2).max(initial=0))


def strongest_weights(weights: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` strongest joints of each vertex and their weights, which sum to 1, each (V, count)."""
    joints = np.argsort(-weights, axis=1)[:, :count]
    kept = np.take_along_axis(weights, joints, axis=1)
    kept = kept / kept.sum(1, keepdims=True)
    return np.where(kept > 0, joints, 0), kept


@torch.no_grad()
def posed_vertices(motion: Motion, body: SMPL) -> Iterator[np.ndarray]:
    """The body model's surface in the world (z up), frame by frame [m], each (V, 3) float32."""
    betas = torch.as_tensor(_padded(motion.betas, body.num_betas), dtype=torch.float32)
    rotmat = Rotation.from_rotvec(motion.poses.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    for start in range(0, len(motion), _CHUNK):
        part = torch.as_tensor(rotmat[start : start + _CHUNK], dtype=torch.float32)
        transl = torch.as_tensor(motion.transl[start : start + _CHUNK], dtype=torch.float32)
        yield from body(betas.expand(len(part), -1), part, transl).vertices.numpy()
