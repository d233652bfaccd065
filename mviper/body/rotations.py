"""Rotations in torch: axis-angle, matrices, the 6D representation, angles between rotations, and means.

All functions take leading batch dimensions ``...`` and keep dtype and device. Files hold axis-angle, networks output
6D. Numpy code uses ``scipy.spatial.transform.Rotation``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Rodrigues' formula, with exact limits and finite gradients at angle 0.

    Args:
        axis_angle: (..., 3), axis times angle [rad].

    Returns:
        (..., 3, 3).

    Example:
        >>> quarter_turn = torch.tensor([0.0, 0.0, torch.pi / 2])    # about z
        >>> (axis_angle_to_matrix(quarter_turn) @ torch.tensor([1.0, 0.0, 0.0])).round().tolist()
        [0.0, 1.0, 0.0]
    """
    squared = axis_angle.square().sum(-1, keepdim=True)[..., None]  # (..., 1, 1)
    small = squared < 1e-8
    # The square root has no gradient at 0, so small angles use the series.
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    first = torch.where(small, 1 - squared / 6, angle.sin() / angle)
    second = torch.where(small, 0.5 - squared / 24, (1 - angle.cos()) / safe)
    K = skew(axis_angle)
    return torch.eye(3, dtype=K.dtype, device=K.device) + first * K + second * (K @ K)


def skew(vector: Tensor) -> Tensor:
    """Matrix of the cross product, ``skew(a) @ b = a x b``.

    Args:
        vector: (..., 3).

    Returns:
        (..., 3, 3).
    """
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Unit quaternions of rotation matrices, accurate for every angle.

    Each row of the symmetric matrix ``4 q q^T`` is the quaternion up to scale; the row with the largest diagonal
    element is the well-conditioned one (Shepperd, "Quaternion from rotation matrix", 1978).

    Args:
        matrix: (..., 3, 3).

    Returns:
        (..., 4), real part first and never negative.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    outer = torch.stack(
        [
            1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01,
            m21 - m12, 1 + m00 - m11 - m22, m01 + m10, m02 + m20,
            m02 - m20, m01 + m10, 1 - m00 + m11 - m22, m12 + m21,
            m10 - m01, m02 + m20, m12 + m21, 1 - m00 - m11 + m22,
        ],
        -1,
    ).unflatten(-1, (4, 4))  # fmt: skip
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = outer.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    quaternion = normalize(row, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Inverse of :func:`axis_angle_to_matrix`, accurate at angles 0 and pi.

    Args:
        matrix: (..., 3, 3).

    Returns:
        (..., 3), angle in [0, pi]. At exactly pi the axis' sign is arbitrary.
    """
    quaternion = matrix_to_quaternion(matrix)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    squared = imaginary.square().sum(-1, keepdim=True)
    small = squared < 1e-10
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    factor = torch.where(small, 2 / real.clamp_min(0.5), 2 * torch.atan2(sine, real) / sine)
    return factor * imaginary


def rotation_6d_to_matrix(rotation_6d: Tensor) -> Tensor:
    """Gram-Schmidt of two columns (Zhou et al., "On the Continuity of Rotation Representations", CVPR 2019).

    The six numbers are interleaved as in MMHuman3D (and HMR, SPIN): ``reshape(..., 3, 2)`` gives the two columns.

    Args:
        rotation_6d: (..., 6), any numbers; the two columns must not be parallel.

    Returns:
        (..., 3, 3).
    """
    columns = rotation_6d.unflatten(-1, (3, 2))
    first = normalize(columns[..., 0], dim=-1)
    second = columns[..., 1] - (first * columns[..., 1]).sum(-1, keepdim=True) * first
    second = normalize(second, dim=-1)
    return torch.stack([first, second, torch.cross(first, second, dim=-1)], -1)


def matrix_to_rotation_6d(matrix: Tensor) -> Tensor:
    """First two columns, interleaved (see :func:`rotation_6d_to_matrix`).

    Args:
        matrix: (..., 3, 3).

    Returns:
        (..., 6).

    Example:
        >>> matrix_to_rotation_6d(torch.eye(3)).tolist()
        [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    """
    return matrix[..., :2].flatten(-2)


def geodesic_angle(first: Tensor, second: Tensor) -> Tensor:
    """Angle of the rotation between two rotations.

    Uses atan2 of sine and cosine, which stays accurate at 0 and pi, where the arc cosine does not.

    Args:
        first: (..., 3, 3).
        second: (..., 3, 3).

    Returns:
        (...), angle in [0, pi] [rad].
    """
    quaternion = matrix_to_quaternion(first.transpose(-1, -2) @ second)
    return 2 * torch.atan2(quaternion[..., 1:].norm(dim=-1), quaternion[..., 0])


def project_to_rotation(matrix: Tensor) -> Tensor:
    """Closest rotation in the Frobenius norm (orthogonal Procrustes).

    Args:
        matrix: (..., 3, 3), any matrix of rank 2 or more.

    Returns:
        (..., 3, 3), orthogonal with determinant +1.
    """
    U, _, Vh = torch.linalg.svd(matrix)
    sign = torch.ones_like(matrix[..., 0])
    sign[..., 2] = torch.linalg.det(U @ Vh).sign()
    return (U * sign[..., None, :]) @ Vh


def mean_rotation(matrices: Tensor, dim: int = 0) -> Tensor:
    """Chordal L2 mean: the rotation that minimises the sum of squared Frobenius distances (Hartley et al., IJCV 2013).

    Args:
        matrices: (..., 3, 3).
        dim: The dimension to average over (not one of the last two).

    Returns:
        The shape of ``matrices`` without ``dim``.
    """
    return project_to_rotation(matrices.mean(dim))
