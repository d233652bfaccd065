"""The baseline in every table: a body that never moves (phi_0, the mean of the training split)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from mmengine.evaluator import BaseMetric, Evaluator
from torch import Tensor, nn

from mviper.body import rotation_6d_to_matrix
from mviper.registry import METRICS
from mviper.sample import BodySample


@torch.no_grad()
def predict_constant(sample: BodySample, phi: Tensor, body: nn.Module) -> BodySample:
    """Gives every frame of a sample the same prediction.

    Args:
        sample: Any sample with T frames.
        phi: 24 x 6 rotations, betas, camera (s, tx, ty), shape (157,).
        body: The body model that the betas belong to.

    Returns:
        A copy with the five ``pred_*`` fields (see ``docs/architecture.md``).
    """
    frames = len(sample.frame_indices)
    phi = phi.detach().cpu().float()
    rotmat = rotation_6d_to_matrix(phi[:144].reshape(24, 6))
    betas, camera = phi[144:-3], phi[-3:]
    device = next(iter([*body.parameters(), *body.buffers()])).device
    joints = body(betas[None].to(device), rotmat[None].to(device)).joints[0].cpu()
    joints = joints - joints[:1]
    prediction = {
        "pred_rotmat": rotmat,
        "pred_betas": betas,
        "pred_camera": camera,
        "pred_keypoints3d": joints,
        "pred_keypoints2d": camera[0] * joints[:, :2] + camera[1:],
    }
    sample = sample.clone()
    for name, value in prediction.items():
        sample.set_field(value.expand(frames, *value.shape), name)
    return sample


def mean_pose_figures(
    samples: Iterable[BodySample],
    phi: Tensor,
    body: nn.Module,
    metrics: Sequence[dict | BaseMetric],
    dataset_meta: dict | None = None,
) -> dict[str, float]:
    """All metrics of the constant prediction ``phi``, without decoding images or running a network.

    Args:
        samples: Annotation, e.g. ``dataset.annotation_samples()``.
        phi: Shape (157,), usually the head's ``mean_phi``.
        body: The model's body.
        metrics: The metrics that the model is tested with, as configs or built.
        dataset_meta: The data set's ``metainfo``.

    Returns:
        The figures by name.
    """
    evaluator = Evaluator([metric if isinstance(metric, BaseMetric) else METRICS.build(metric) for metric in metrics])
    evaluator.dataset_meta = dataset_meta or {}
    count = 0
    for sample in samples:
        evaluator.process([predict_constant(sample, phi, body)])
        count += 1
    return evaluator.evaluate(count)
