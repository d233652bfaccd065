"""EMDB 2's metrics of motion in the world, between two trajectories in any placement.

Definitions: Ye et al., SLAHMR, CVPR 2023 (WA-MPJPE, W-MPJPE over 100 frames); Shin et al., WHAM, CVPR 2024 (RTE, foot
sliding); jitter is that of Yi et al., PIP, CVPR 2022. All take ONE sequence in order and compute in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mviper.evaluation.functional import MILLIMETRES, joint_distances, similarity_align
from mviper.evaluation.metrics import runs

#: Frames that are aligned together.
CHUNK = 100
#: A foot is planted if it moves less than this from frame to frame [m].
_STANDS = 0.01


def world_joint_errors(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The per-frame terms of WA-MPJPE and W-MPJPE.

    The sequence is split into chunks of :data:`CHUNK` frames. Each is aligned by one similarity: for WA-MPJPE over all
    its frames, for W-MPJPE over its first two, so that drift shows.

    Args:
        pred: Joints in the world [m], shape (T, J, 3).
        target: Same shape.

    Returns:
        Mean distance of each frame's joints [m], for WA-MPJPE and W-MPJPE, (T,) each.
    """
    over_all: list[Tensor] = []
    from_start: list[Tensor] = []
    for ours, truth in zip(pred.double().split(CHUNK), target.double().split(CHUNK)):
        points, goal = ours.flatten(0, 1)[None], truth.flatten(0, 1)[None]
        begun = torch.zeros(ours.shape[:2], dtype=torch.bool, device=ours.device)
        begun[:2] = True
        for found, valid in ((over_all, None), (from_start, begun.flatten()[None])):
            aligned = similarity_align(points, goal, valid)[0].unflatten(0, ours.shape[:2])
            found.append(joint_distances(aligned, truth).mean(-1))
    return torch.cat(over_all), torch.cat(from_start)


def root_translation_error(pred: Tensor, target: Tensor) -> Tensor:
    """RTE of each frame: the root's distance after rigid alignment, as a fraction of the ground truth's path length.

    Args:
        pred: The root in the world [m], shape (T, 3).
        target: Same shape.

    Returns:
        (T,); papers report it in percent.
    """
    pred, target = pred.double(), target.double()
    source, goal = pred - pred.mean(0), target - target.mean(0)
    u, _, vt = torch.linalg.svd(goal.T @ source)
    sign = torch.ones(3, dtype=torch.float64, device=pred.device)
    sign[2] = torch.det(u @ vt).sign()
    turned = source @ ((u * sign) @ vt).T
    return (turned - goal).norm(dim=-1) / target.diff(dim=0).norm(dim=-1).sum()


def jitter(joints: Tensor, fps: float) -> Tensor:
    """Mean magnitude of the joints' third time derivative.

    Args:
        joints: In the world [m], shape (T, J, 3).
        fps: Frames per second.

    Returns:
        (T - 3,) [10 m/s^3], the unit of the field's tables.
    """
    return joints.double().diff(n=3, dim=0).norm(dim=-1).mean(-1) * fps**3 / 10


def foot_sliding(pred: Tensor, target: Tensor) -> Tensor:
    """How far feet move from frame to frame while the true ones are planted.

    Args:
        pred: Points of the feet in the world [m], shape (T, P, 3). WHAM takes four vertices of SMPL's soles; any points
            work that correspond on both bodies.
        target: Same shape.

    Returns:
        The displacements of all planted points (true motion below 1 cm per frame) [m], shape (N,).
    """
    stands = target.double().diff(dim=0).norm(dim=-1) < _STANDS
    return pred.double().diff(dim=0).norm(dim=-1)[stands]


def world_figures(
    pred: Tensor, target: Tensor, pred_feet: Tensor, target_feet: Tensor, fps: float, frames: Tensor | None = None
) -> dict[str, float]:
    """All metrics, in the units of published tables.

    Args:
        pred: Joints in the world, the root first [m], shape (T, J, 3).
        target: Same shape.
        pred_feet: Points of the feet [m], shape (T, P, 3).
        target_feet: Same shape.
        fps: Frames per second.
        frames: Their numbers in the video, shape (T,); temporal differences are not taken over gaps. Default: no gaps.

    Returns:
        ``WA-MPJPE_mm``, ``W-MPJPE_mm``, ``RTE_percent``, ``jitter_10m_s3``, ``foot_sliding_mm`` (NaN if no foot is ever
        planted).
    """
    over_all, from_start = world_joint_errors(pred, target)
    parts = list(runs(torch.arange(len(pred)) if frames is None else frames))
    shakes = torch.cat([jitter(pred[part], fps) for part in parts if part.stop - part.start > 3] or [pred.new_zeros(0)])
    slides = torch.cat([foot_sliding(pred_feet[part], target_feet[part]) for part in parts])
    return {
        "WA-MPJPE_mm": MILLIMETRES * float(over_all.mean()),
        "W-MPJPE_mm": MILLIMETRES * float(from_start.mean()),
        "RTE_percent": 100 * float(root_translation_error(pred[:, 0], target[:, 0]).mean()),
        "jitter_10m_s3": float(shakes.mean()),
        "foot_sliding_mm": MILLIMETRES * float(slides.mean()),
    }
