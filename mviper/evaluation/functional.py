"""The figures of the paper's section 5 and the field's usual ones, as pure functions on batches.

All of them compute in float64 on the tensors' own device and return one value per frame (or per difference of two or
three frames), so that callers average over sequences of any length. Lengths go in and come out in metres unless a
name says otherwise. Non-finite input gives NaN for its frame: an average can not hide it.
"""

from __future__ import annotations

import torch
from torch import Tensor

MILLIMETRES = 1000.0


def joint_error(pred: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """MPJPE of each frame: mean distance of the valid joints.

    Args:
        pred: Joints [m], already aligned as the protocol says (usually root subtracted), shape (..., J, 3).
        target: Same shape.
        valid: Which joints count, shape (..., J); default all.

    Returns:
        (...) [m]; NaN where no joint is valid.
    """
    distance = (pred.double() - target.double()).norm(dim=-1)
    if valid is None:
        return distance.mean(dim=-1)
    valid = valid.bool()
    return torch.where(valid, distance, 0.0).sum(dim=-1) / valid.sum(dim=-1)


def similarity_align(pred: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Moves ``pred`` onto ``target`` by the best scale, rotation and translation (Procrustes; Umeyama 1991).

    A reflection is never used. Points that all coincide align to the target's centroid with scale 0; for points on a
    line the rotation about it is free and the residual is the same for all choices.

    Args:
        pred: Points, shape (..., J, 3).
        target: Same shape.
        valid: Which points the fit sees, shape (..., J); all points are moved. Default all.

    Returns:
        (..., J, 3) float64; NaN for frames with non-finite valid points or no valid point.
    """
    pred, target = pred.double(), target.double()
    weight = torch.ones_like(pred[..., :1]) if valid is None else valid.double()[..., None]
    seen = weight > 0
    # The SVD refuses NaN: left-out points (which may hold anything) and unsound frames go through it as zeros.
    source, goal = torch.where(seen, pred, 0.0), torch.where(seen, target, 0.0)
    count = weight.sum(dim=-2, keepdim=True)
    sound = (source.isfinite() & goal.isfinite()).all(-1, keepdim=True).all(-2, keepdim=True) & (count > 0)
    source, goal = torch.where(sound, source, 0.0), torch.where(sound, goal, 0.0)
    count = count.clamp(min=1)

    source_mean, goal_mean = source.sum(-2, keepdim=True) / count, goal.sum(-2, keepdim=True) / count
    source_centred, goal_centred = (source - source_mean) * weight, (goal - goal_mean) * weight
    u, singular, vt = torch.linalg.svd(goal_centred.transpose(-1, -2) @ source_centred)
    sign = torch.ones_like(singular)
    sign[..., 2] = torch.sign(torch.linalg.det(u) * torch.linalg.det(vt))
    rotation = (u * sign[..., None, :]) @ vt
    variance = source_centred.square().sum(dim=(-1, -2))
    scale = torch.where(variance > 0, (singular * sign).sum(-1) / variance.clamp(min=1e-300), 0.0)

    aligned = scale[..., None, None] * ((pred - source_mean) @ rotation.transpose(-1, -2)) + goal_mean
    return torch.where(sound, aligned, torch.nan)


def pa_joint_error(pred: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """PA-MPJPE of each frame: :func:`joint_error` after :func:`similarity_align`; same arguments."""
    return joint_error(similarity_align(pred, target, valid), target, valid)


def vertex_error(pred: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """The frames' terms of eq. 20; their mean over frames is MPVPE.

    Args:
        pred: Vertices with transl = 0 and own joint 0 subtracted [m], shape (M, N, 3).
        target: Same shape.
        reduction: ``'sum'`` over vertices [m], as eq. 20 is printed, or ``'mean'`` per vertex [mm], the field's PVE.

    Returns:
        (M,).
    """
    return _reduce((pred.double() - target.double()).norm(dim=-1).sum(dim=-1), pred.shape[-2], reduction)


def mpvpe(pred: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """Eq. 20 for one sequence, shape (); arguments as in :func:`vertex_error`."""
    return vertex_error(pred, target, reduction).mean()


def vertex_variation(vertices: Tensor, p: int = 1, norm: str = "vertex", reduction: str = "sum") -> Tensor:
    """The terms of eq. 21 for the M - 1 successive pairs of a sequence.

    Args:
        vertices: Root-relative vertices of ONE sequence in order [m], shape (M, N, 3).
        p: 1 or 2.
        norm: ``'vertex'`` sums each vertex's p-norm (eq. 21 as printed); ``'frame'`` takes one p-norm over the whole
            displacement vector, which is what the paper's Table 3 must hold for p = 2. The same for p = 1.
        reduction: ``'sum'`` [m], or ``'mean'`` [mm] per vertex (for ``norm='frame'`` divided by N^(1/p): with p = 2
            the root mean square).

    Returns:
        (M - 1,).
    """
    step = vertices[1:].double() - vertices[:-1].double()
    count = vertices.shape[-2]
    if norm == "vertex":
        return _reduce(torch.linalg.vector_norm(step, ord=p, dim=-1).sum(dim=-1), count, reduction)
    if norm == "frame":
        return _reduce(torch.linalg.vector_norm(step.flatten(1), ord=p, dim=-1), count ** (1 / p), reduction)
    raise ValueError(f"norm is 'vertex' or 'frame', not {norm!r}")


def mrvpv(vertices: Tensor, p: int = 1, norm: str = "vertex", reduction: str = "sum") -> Tensor:
    """Eq. 21 for one sequence, shape (): M - 1 terms over M, as printed. Arguments as in :func:`vertex_variation`."""
    return vertex_variation(vertices, p, norm, reduction).sum() / len(vertices)


def shape_variation(betas: Tensor, p: int = 1) -> Tensor:
    """The terms of eq. 22: p-norms of successive differences of betas (M, B), shape (M - 1,)."""
    return torch.linalg.vector_norm(betas[1:].double() - betas[:-1].double(), ord=p, dim=-1)


def mrsv(betas: Tensor, p: int = 1) -> Tensor:
    """Eq. 22 for one sequence's betas (M, B), shape (): M - 1 terms over M, as printed."""
    return shape_variation(betas, p).sum() / len(betas)


def acceleration_error(pred: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Distance of the joints' second differences (Kanazawa et al. 2019), mean over joints.

    Args:
        pred: Joints of ONE sequence in order [m], shape (M, J, 3).
        target: Same shape.
        valid: (M, J); a joint counts where it is valid in all three frames. Default all.

    Returns:
        (M - 2,) [m per frame^2].
    """

    def second_difference(joints: Tensor) -> Tensor:
        joints = joints.double()
        return joints[2:] - 2 * joints[1:-1] + joints[:-2]

    if valid is not None:
        valid = valid.bool()
        valid = valid[2:] & valid[1:-1] & valid[:-2]
    return joint_error(second_difference(pred), second_difference(target), valid)


def _reduce(total: Tensor, count: float, reduction: str) -> Tensor:
    if reduction == "sum":
        return total
    if reduction == "mean":
        return total * (MILLIMETRES / count)
    raise ValueError(f"reduction is 'sum' [m] or 'mean' [mm per vertex], not {reduction!r}")
