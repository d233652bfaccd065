"""The metrics of the paper's section 5 and the field's usual ones, as pure functions on batches.

All functions compute in float64 on the tensors' device and return one value per frame (or per difference of two or
three frames), so that callers can average over sequences of any length. Lengths are in metres unless a name says
otherwise. Non-finite input gives NaN for its frame, so averages cannot hide it. Long input is processed in chunks,
which need only a few MB beyond input and result.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

MILLIMETRES = 1000.0
#: Threshold of 3DPCK [mm] (Mehta et al. 2017), and the thresholds averaged in its AUC: 0, 5, ..., 150 mm.
PCK_THRESHOLD = 150.0
AUC_THRESHOLDS = tuple(5.0 * i for i in range(31))

#: Points per chunk: on the CPU few enough for the cache (1.5 MB), on other devices enough to keep them busy.
_POINTS_AT_ONCE = {"cpu": 1 << 16}
_POINTS_AT_ONCE_ELSEWHERE = 1 << 22


def joint_distances(pred: Tensor, target: Tensor) -> Tensor:
    """Euclidean distance of each point, (..., J, 3) and (..., J, 3) [m] -> (..., J) float64 [m]."""
    return torch.linalg.vector_norm(pred.double() - target.double(), dim=-1)


def mean_over_valid(distances: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean over the valid joints, (..., J) and (..., J) -> (...); NaN if there is none."""
    if valid is None:
        return distances.mean(dim=-1)
    valid = valid.bool()
    return torch.where(valid, distances, 0.0).sum(dim=-1) / valid.sum(dim=-1)


def joint_error(pred: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """MPJPE of each frame: mean distance of the valid joints.

    Args:
        pred: Joints [m], aligned as the protocol says (usually with the root subtracted), shape (..., J, 3).
        target: Same shape.
        valid: Which joints count, shape (..., J); default all.

    Returns:
        (...) [m]; NaN if no joint is valid.

    Example:
        >>> truth = torch.zeros(1, 2, 3)    # one frame, two joints
        >>> joint_error(truth + torch.tensor([0.0, 0.03, 0.04]), truth)    # both 5 cm off
        tensor([0.0500], dtype=torch.float64)
    """
    return mean_over_valid(joint_distances(pred, target), valid)


def similarity_align(pred: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Aligns ``pred`` to ``target`` by the best scale, rotation and translation (Procrustes; Umeyama 1991).

    Reflections are excluded. Points that all coincide are aligned to the target's centroid with scale 0; for collinear
    points the rotation about their line is arbitrary, without effect on the residual.

    Args:
        pred: Points, shape (..., J, 3).
        target: Same shape.
        valid: Points used in the fit, shape (..., J); all points are transformed. Default all.

    Returns:
        (..., J, 3) float64; NaN for frames with non-finite valid points or no valid point.

    Example:
        >>> triangle = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        >>> moved = 2 * triangle + 5
        >>> torch.allclose(similarity_align(moved, triangle), triangle.double())
        True
    """
    sets = [pred.reshape(-1, *pred.shape[-2:]), target.reshape(-1, *target.shape[-2:])]
    if valid is not None:
        sets.append(valid.reshape(-1, valid.shape[-1]).bool())
    return _in_pieces(_similarity_align, *sets).reshape(pred.shape)


def _similarity_align(pred: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """:func:`similarity_align` of (M, J, 3)."""
    pred, target = pred.double(), target.double()
    if valid is None:
        source_mean, goal_mean = pred.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
        moved = source = pred - source_mean
        goal = target - goal_mean
    else:  # invalid points may hold anything, so they must not even be multiplied by 0
        seen = valid[..., None]
        count = seen.sum(dim=1, keepdim=True)
        source_mean = torch.where(seen, pred, 0.0).sum(dim=1, keepdim=True) / count
        goal_mean = torch.where(seen, target, 0.0).sum(dim=1, keepdim=True) / count
        moved = pred - source_mean
        source, goal = torch.where(seen, moved, 0.0), torch.where(seen, target - goal_mean, 0.0)

    covariance = goal.transpose(1, 2) @ source
    # A non-finite point spoils its frame's covariance, for which the SVD would fail on all frames.
    sound = covariance.isfinite().flatten(1).all(dim=1)[:, None, None]
    u, singular, vt = torch.linalg.svd(torch.where(sound, covariance, 0.0))
    sign = torch.ones_like(singular)
    sign[:, 2] = _sign_of_determinant(u) * _sign_of_determinant(vt)
    variance = source.square().sum(dim=(1, 2))
    scale = torch.where(variance > 0, (singular * sign).sum(dim=1) / variance.clamp(min=1e-300), 0.0)
    turn = (u * (sign * scale[:, None])[:, None]) @ vt
    aligned = torch.baddbmm(goal_mean, moved, turn.transpose(1, 2))
    return torch.where(sound, aligned, torch.nan)


def _sign_of_determinant(matrix: Tensor) -> Tensor:
    """+1 or -1 of orthogonal (M, 3, 3): the triple product of the rows, (M,)."""
    return torch.linalg.vecdot(torch.linalg.cross(matrix[:, 0], matrix[:, 1]), matrix[:, 2]).sign()


def pa_joint_error(pred: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """PA-MPJPE of each frame: :func:`joint_error` after :func:`similarity_align`; same arguments."""
    return joint_error(similarity_align(pred, target, valid), target, valid)


def correct_keypoints(distances: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Per-frame counts for 3DPCK and its AUC (Mehta et al. 2017, MPI-INF-3DHP).

    A joint is correct when its error is strictly below the threshold, so at 0 mm none ever is: a perfect prediction has
    an AUC of 30/31. A joint that is not finite is wrong.

    Args:
        distances: Errors of the joints [m], shape (..., J).
        valid: Which joints count, shape (..., J); default all.

    Returns:
        Number of correct joints at 150 mm, its mean over the 31 thresholds, number of valid joints; (...).
    """
    valid = torch.ones_like(distances, dtype=torch.bool) if valid is None else valid.bool()
    millimetres = torch.where(valid, distances.double() * MILLIMETRES, torch.inf)
    at_threshold = (millimetres < PCK_THRESHOLD).sum(dim=-1).double()
    over_thresholds = torch.stack([(millimetres < threshold).sum(dim=-1) for threshold in AUC_THRESHOLDS]).sum(dim=0)
    return at_threshold, over_thresholds / len(AUC_THRESHOLDS), valid.sum(dim=-1).double()


def pck(distances: Tensor, valid: Tensor | None = None) -> Tensor:
    """3DPCK: the share [0, 1] of all valid joints with an error below 150 mm, shape (); see correct_keypoints."""
    correct, _, count = correct_keypoints(distances, valid)
    return correct.sum() / count.sum()


def auc(distances: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean of :func:`pck` over the thresholds 0, 5, ..., 150 mm, shape ()."""
    _, correct, count = correct_keypoints(distances, valid)
    return correct.sum() / count.sum()


def vertex_error(pred: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """The per-frame terms of eq. 20, whose mean is MPVPE.

    Args:
        pred: Vertices with transl = 0 and own joint 0 subtracted [m], shape (M, N, 3).
        target: Same shape.
        reduction: ``'sum'`` over vertices [m], as eq. 20 is printed, or ``'mean'`` per vertex [mm], the field's PVE.

    Returns:
        (M,).
    """
    total = _in_pieces(lambda a, b: joint_distances(a, b).sum(dim=-1), pred, target)
    return _reduce(total, pred.shape[-2], reduction)


def mpvpe(pred: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """Eq. 20 for one sequence, shape (); arguments as in :func:`vertex_error`."""
    return vertex_error(pred, target, reduction).mean()


def vertex_variation(vertices: Tensor, p: int = 1, norm: str = "vertex", reduction: str = "sum") -> Tensor:
    """The terms of eq. 21 for the M - 1 successive pairs of a sequence.

    Args:
        vertices: Root-relative vertices of ONE sequence in order [m], shape (M, N, 3).
        p: 1 or 2.
        norm: ``'vertex'`` sums each vertex's p-norm (eq. 21 as printed); ``'frame'`` takes one p-norm over the whole
            displacement vector, which must be what the paper's Table 3 shows for p = 2. The same for p = 1.
        reduction: ``'sum'`` [m], or ``'mean'`` [mm] per vertex (for ``norm='frame'`` divided by N^(1/p): with p = 2
            the root mean square).

    Returns:
        (M - 1,).
    """
    count = vertices.shape[-2]
    if norm not in ("vertex", "frame"):
        raise ValueError(f"norm is 'vertex' or 'frame', not {norm!r}")

    def of_vertices(after: Tensor, before: Tensor) -> Tensor:
        step = after.double() - before.double()
        return step.abs().sum(dim=(1, 2)) if p == 1 else torch.linalg.vector_norm(step, ord=p, dim=-1).sum(dim=-1)

    def of_frames(after: Tensor, before: Tensor) -> Tensor:
        return torch.linalg.vector_norm((after.double() - before.double()).flatten(1), ord=p, dim=-1)

    total = _in_pieces(of_vertices if norm == "vertex" else of_frames, vertices[1:], vertices[:-1])
    return _reduce(total, count if norm == "vertex" else count ** (1 / p), reduction)


def shape_variation(betas: Tensor, p: int = 1) -> Tensor:
    """The terms of eq. 22: p-norms of successive differences of betas (M, B), shape (M - 1,)."""
    return torch.linalg.vector_norm(betas[1:].double() - betas[:-1].double(), ord=p, dim=-1)


def acceleration_error(pred: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Distance of the joints' second differences, mean over joints (Kanazawa et al. 2019, as on 3DPW since).

    That paper gives the unit as mm/s^2, but it and its successors difference frames; multiply by fps^2 for an
    acceleration.

    Args:
        pred: Joints of ONE sequence in order [m], shape (M, J, 3).
        target: Same shape.
        valid: (M, J); a joint counts if it is valid in all three frames. Default all.

    Returns:
        (M - 2,) [m per frame^2].
    """

    def of_frames(*frames: Tensor) -> Tensor:  # linear: the errors' difference is the difference's error
        before, now, after = (p.double() - t.double() for p, t in zip(frames[:3], frames[3:6]))
        distances = torch.linalg.vector_norm(after - 2 * now + before, dim=-1)
        return mean_over_valid(distances, *frames[6:])

    triples = [joints[i : len(joints) - 2 + i] for joints in (pred, target) for i in range(3)]
    if valid is not None:
        valid = valid.bool()
        triples.append(valid[2:] & valid[1:-1] & valid[:-2])
    return _in_pieces(of_frames, *triples)


def _in_pieces(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """``function(*tensors)`` for a function of independent rows (M, N, ...), in chunks that fit the cache."""
    at_once = _POINTS_AT_ONCE.get(tensors[0].device.type, _POINTS_AT_ONCE_ELSEWHERE)
    rows = max(1, at_once // max(1, tensors[0].shape[1]))
    if len(tensors[0]) <= rows:
        return function(*tensors)
    return torch.cat([function(*pieces) for pieces in zip(*(tensor.split(rows) for tensor in tensors))])


def _reduce(total: Tensor, count: float, reduction: str) -> Tensor:
    if reduction == "sum":
        return total
    if reduction == "mean":
        return total * (MILLIMETRES / count)
    raise ValueError(f"reduction is 'sum' [m] or 'mean' [mm per vertex], not {reduction!r}")
