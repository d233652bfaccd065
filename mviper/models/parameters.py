"""Layout of phi: 6D rotations, shape and weak-perspective camera (phi of docs/equations.md)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mviper.body import matrix_to_rotation_6d, rotation_6d_to_matrix
from mviper.structures import SMPL_JOINTS, mirror_indices

#: Length of phi's part before betas: 24 joints (the root first) x 6.
ROTATION_DIM = 6 * len(SMPL_JOINTS)

#: Length of phi's part after betas: scale and image shift (s, tx, ty) in crop units.
CAMERA_DIM = 3


#: How a rotation's six numbers are read: its first two columns interleaved, as in SPIN and MMHuman3D, or its first two
#: rows one after the other, as in PyTorch3D.
ROTATION_LAYOUTS = ("interleaved", "rows")


class BodyParameters(NamedTuple):
    """Phi, taken apart: ``rotmat`` (..., 24, 3, 3), ``betas`` (..., 10), ``camera`` (..., 3) = (s, tx, ty)."""

    rotmat: Tensor
    betas: Tensor
    camera: Tensor


def phi_dim(num_betas: int = 10) -> int:
    """Width of phi: 157 for SMPL's 10 betas."""
    return ROTATION_DIM + num_betas + CAMERA_DIM


def split_phi(phi: Tensor, layout: str = "interleaved") -> BodyParameters:
    """Splits phi and orthonormalises its rotations.

    Args:
        phi: (..., 157) = 24 x 6, betas (10), camera (3).
        layout: One of ``ROTATION_LAYOUTS``.
    """
    rotation_6d = phi[..., :ROTATION_DIM].unflatten(-1, (-1, 6))
    if layout == "rows":
        rotation_6d = rotation_6d.unflatten(-1, (2, 3)).mT.flatten(-2)
    rotmat = rotation_6d_to_matrix(rotation_6d)
    return BodyParameters(
        rotmat.mT if layout == "rows" else rotmat, phi[..., ROTATION_DIM:-CAMERA_DIM], phi[..., -CAMERA_DIM:]
    )


def mirrored_phi(phi: Tensor, layout: str = "interleaved") -> Tensor:
    """Phi of the mirror image: left and right exchanged.

    Args:
        phi: (..., 157).
        layout: One of ``ROTATION_LAYOUTS``.

    Returns:
        (..., 157).
    """
    flip = torch.tensor([-1.0, 1.0, 1.0]).to(phi)
    signs = torch.outer(flip, flip)[:2] if layout == "rows" else torch.outer(flip, flip)[:, :2]
    rotations = phi[..., :ROTATION_DIM].unflatten(-1, (-1, 6))[..., mirror_indices(SMPL_JOINTS), :] * signs.flatten()
    betas, (scale, x, y) = phi[..., ROTATION_DIM:-CAMERA_DIM], phi[..., -CAMERA_DIM:].unbind(-1)
    return torch.cat([rotations.flatten(-2), betas, torch.stack([scale, -x, y], -1)], -1)


def project(joints: Tensor, camera: Tensor) -> Tensor:
    """Weak-perspective projection (eq. 6): ``s * X[:, :2] + t``, scale first, then shift.

    Args:
        joints: (..., J, 3) [m], camera axes, the root rotation applied, SMPL joint 0 subtracted.
        camera: (..., 3) = (s, tx, ty) in crop units per metre and crop units.

    Returns:
        (..., J, 2), x and y in crop units: [-1, 1] over the square crop.
    """
    return camera[..., None, :1] * joints[..., :2] + camera[..., None, 1:]


def default_phi(num_betas: int = 10) -> Tensor:
    """Phi of the rest pose upright before an OpenCV camera (root = rotation by pi about x), mean shape, s = 0.9.

    Returns:
        (157,).
    """
    rotmat = torch.eye(3).repeat(len(SMPL_JOINTS), 1, 1)
    rotmat[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    return join_phi(rotmat, torch.zeros(num_betas), torch.tensor([0.9, 0.0, 0.0]))


def join_phi(rotmat: Tensor, betas: Tensor, camera: Tensor, layout: str = "interleaved") -> Tensor:
    """Inverse of :func:`split_phi`.

    Args:
        rotmat: (..., 24, 3, 3).
        betas: (..., 10).
        camera: (..., 3).
        layout: One of ``ROTATION_LAYOUTS``.

    Returns:
        (..., 157).
    """
    rotation_6d = rotmat[..., :2, :].flatten(-2) if layout == "rows" else matrix_to_rotation_6d(rotmat)
    return torch.cat([rotation_6d.flatten(-2), betas, camera], -1)
