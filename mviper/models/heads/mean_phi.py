"""phi_0: the mean of a data set's parameters."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mviper.body import mean_rotation
from mviper.models.parameters import default_phi, join_phi, split_phi


def fit_camera(keypoints2d: Tensor, keypoints3d: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted least-squares weak-perspective camera of each frame: ``x2d ~ s X[:, :2] + t`` (eq. 6).

    Args:
        keypoints2d: (N, J, 2), crop units.
        keypoints3d: (N, J, 3) [m], camera axes, root-relative.
        weights: (N, J), 0 where a joint is not to be used.

    Returns:
        Cameras (N, 3) = (s, tx, ty), and (N,) bool: whether the frame determines one (two joints at different places in
        the picture, s > 0).
    """
    total = weights.sum(1).clamp_min(1e-12)
    weights = (weights / total[:, None])[..., None]
    image, plane = keypoints2d, keypoints3d[..., :2]
    image_mean, plane_mean = (weights * image).sum(1), (weights * plane).sum(1)
    image, plane = image - image_mean[:, None], plane - plane_mean[:, None]
    variance = (weights * plane * plane).sum((1, 2))
    determined = variance > 1e-6  # a millimetre of spread
    scale = (weights * image * plane).sum((1, 2)) / torch.where(determined, variance, torch.ones_like(variance))
    shift = image_mean - scale[:, None] * plane_mean
    return torch.cat([scale[:, None], shift], 1), determined & (scale > 0)


def compute_mean_phi(
    smpl_rotmat: ArrayLike,
    betas: ArrayLike,
    keypoints2d: ArrayLike,
    keypoints3d: ArrayLike,
    has_betas: ArrayLike | None = None,
) -> Tensor:
    """Phi_0 of the training split (docs/equations.md).

    Chordal mean rotation per joint, except the root: rotation by pi about x, a person upright before the camera (the
    mean over all headings would be arbitrary). Mean betas. Mean over frames of the least-squares camera. The three
    kinds of annotation may come from different frames, hence three counts; a kind that no frame has keeps the value of
    :func:`~mviper.models.parameters.default_phi`.

    Args:
        smpl_rotmat: (N, 24, 3, 3).
        betas: (M, 10).
        keypoints2d: (K, J, 3), crop units and chi.
        keypoints3d: (K, J, 4) [m], camera axes, root-relative, and valid.
        has_betas: (M,), which betas to use; None for all.

    Returns:
        (157,) float32.
    """
    smpl_rotmat, betas, keypoints2d, keypoints3d = (
        torch.as_tensor(array, dtype=torch.float64) for array in (smpl_rotmat, betas, keypoints2d, keypoints3d)
    )
    if has_betas is not None:
        betas = betas[torch.as_tensor(has_betas) > 0]
    rotmat, shape, camera = split_phi(default_phi(betas.shape[1]).double())
    if len(smpl_rotmat):
        rotmat = torch.cat([rotmat[:1], mean_rotation(smpl_rotmat)[1:]])
    if len(betas):
        shape = betas.mean(0)
    used = keypoints2d[..., 2] * keypoints3d[..., 3]
    # Positions of unlabelled joints may be anything, NaN included.
    image, space = (
        torch.where(used[..., None] > 0, keypoints, torch.zeros_like(keypoints))
        for keypoints in (keypoints2d[..., :2], keypoints3d[..., :3])
    )
    cameras, determined = fit_camera(image, space, used)
    if determined.any():
        camera = cameras[determined].mean(0)
    return join_phi(rotmat, shape, camera).float()
