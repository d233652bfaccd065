"""Beyond averages: errors by joint, action, time and sequence, and the worst frames."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mviper.evaluation.metrics import JointError, VertexError
from mviper.graphics import turned
from mviper.sample import EncodedClip

#: Per-frame figures to break down, where measured.
FRAME_FIGURES = ("MPJPE_mm", "PA-MPJPE_mm", "MPVPE_mean_mm")
#: Views by the cosine of the angle at which the body faces the camera: front and back up to 45 degrees, side.
VIEWS = {"front": (0.5**0.5, 1.01), "side": (-(0.5**0.5), 0.5**0.5), "back": (-1.01, -(0.5**0.5))}
#: Quantile that represents the bad frames in a curve over time.
HIGH = 0.9


def break_down(metrics: Sequence[BaseMetric]) -> dict:
    """Breaks the figures of evaluated metrics down.

    Args:
        metrics: After ``evaluate``. The first :class:`JointError` and :class:`VertexError` over all cameras are used.

    Returns:
        Plain data, {} without a ``JointError``; errors in mm, None if nothing is labelled: ``joints``: joint -> figure;
        ``actions``: action -> figure, with ``frames`` and ``sequences``; ``sequences``: sequence -> figure, with
        ``frames`` (only those of more than one frame); ``views``: side of the body that is seen (``VIEWS``) -> figure,
        with ``frames`` (only views that occur); ``time``: figure -> ``mean`` and ``high`` (the 0.9 quantile)
        over sequences at each frame since the start, with their number ``count``; ``protocols``: prefix -> action ->
        figure, for every ``JointError`` with a prefix.
    """
    joint_metric = next((m for m in metrics if isinstance(m, JointError) and m.cameras is None), None)
    if joint_metric is None or not joint_metric.frame_values:
        return {}
    sequences = {name: dict(values) for name, values in joint_metric.frame_values.items()}
    vertex_metric = next((m for m in metrics if isinstance(m, VertexError) and m.cameras is None), None)
    for name, values in (vertex_metric.frame_values if vertex_metric else {}).items():
        if name in sequences:
            sequences[name]["MPVPE_mean_mm"] = values["MPVPE_mean_mm"]
    figures = [figure for figure in FRAME_FIGURES if all(figure in values for values in sequences.values())]

    by_action = defaultdict(list)
    for name, values in sequences.items():
        by_action[joint_metric.actions[name]].append(values)
    together = {key: torch.cat([v[key] for v in sequences.values()]) for key in ("joints_mm", "pa_joints_mm")}
    per_joint = {"MPJPE_mm": together["joints_mm"].nanmean(dim=0), "PA-MPJPE_mm": together["pa_joints_mm"].nanmean(0)}
    return {
        "joints": {
            joint: {figure: _plain(values[number]) for figure, values in per_joint.items()}
            for number, joint in enumerate(joint_metric.joint_names)
        },
        "actions": {
            action: {figure: _plain(torch.cat([v[figure] for v in group]).nanmean()) for figure in figures}
            | {"frames": sum(len(v["frames"]) for v in group), "sequences": len(group)}
            for action, group in sorted(by_action.items())
        },
        "sequences": {
            name: {figure: _plain(values[figure].nanmean()) for figure in figures} | {"frames": len(values["frames"])}
            for name, values in sequences.items()
            if len(values["frames"]) > 1
        },
        "views": _by_view(sequences.values(), figures),
        "time": {figure: _over_time([values[figure] for values in sequences.values()]) for figure in figures},
        "protocols": {m.prefix: _by_action(m) for m in metrics if isinstance(m, JointError) and m.prefix},
    }


def _by_view(sequences: Iterable[dict[str, Tensor]], figures: Sequence[str]) -> dict[str, dict[str, float | None]]:
    facing, *values = (torch.cat([frames[key] for frames in sequences]) for key in ("facing", *figures))
    groups = {view: (low <= facing) & (facing < high) for view, (low, high) in VIEWS.items()}
    return {
        view: {figure: _plain(value[group].nanmean()) for figure, value in zip(figures, values)}
        | {"frames": int(group.sum())}
        for view, group in groups.items()
        if group.any()
    }


def _by_action(metric: JointError) -> dict[str, dict[str, float | None]]:
    groups = defaultdict(list)
    for name, values in metric.frame_values.items():
        groups[metric.actions[name]].append(values)
    return {
        action: {figure: _plain(torch.cat([v[figure] for v in group]).nanmean()) for figure in FRAME_FIGURES[:2]}
        for action, group in sorted(groups.items())
    }


def _over_time(series: list[Tensor]) -> dict[str, list]:
    """Mean and high quantile over series of unequal length, frame by frame since the start."""
    table = torch.nn.utils.rnn.pad_sequence(series, batch_first=True, padding_value=math.nan)
    return {
        "mean": [_plain(value) for value in table.nanmean(dim=0)],
        "high": [_plain(value) for value in table.nanquantile(HIGH, dim=0)],
        "count": (~table.isnan()).sum(dim=0).tolist(),
    }


def _plain(value: Tensor) -> float | None:
    return float(value) if bool(value.isfinite()) else None


@dataclass
class WorstFrame:
    """A frame with a large error.

    Attributes:
        sequence: The sample's sequence.
        frame: Its number there.
        errors: ``MPJPE_mm`` and ``PA-MPJPE_mm``.
        picture: The model's input, (S, S, 3) uint8 RGB.
        sample: The frame's row of every field of the sample, tensors on the CPU.
    """

    sequence: str
    frame: int
    errors: dict[str, float]
    picture: np.ndarray
    sample: dict[str, Tensor]


class WorstFrames(BaseMetric):
    """Collects the frames with the largest errors, with their images, at most one per sample. Yields no figures.

    Args:
        figure: ``'MPJPE_mm'`` or ``'PA-MPJPE_mm'``.
        count: Number of frames.
        measure: Metric whose joints and root are used; SMPL's by default.
    """

    default_prefix = ""

    def __init__(self, figure: str = "MPJPE_mm", count: int = 4, measure: JointError | None = None) -> None:
        super().__init__()
        self.figure, self.count = figure, count
        self._measure = measure or JointError()
        #: The largest error first.
        self.worst: list[WorstFrame] = []

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Takes each sample's worst frame. Samples without joints or pictures (stored features) are skipped."""
        if isinstance(data_batch["inputs"], EncodedClip):
            return
        for pictures, sample in zip(data_batch["inputs"], data_samples):
            if not self.count or "pred_keypoints3d" not in sample or "keypoints3d" not in sample or pictures.ndim != 4:
                continue
            values = self._measure.per_frame(sample)
            errors = {"MPJPE_mm": 1000 * values["mpjpe"], "PA-MPJPE_mm": 1000 * values["pa_mpjpe"]}
            ranked = errors[self.figure].nan_to_num(-1.0)
            row = int(ranked.argmax())
            if ranked[row] < 0 or (len(self.worst) == self.count and ranked[row] <= self._least()):
                continue
            frames = len(ranked)
            picture = np.ascontiguousarray(pictures[row].permute(1, 2, 0).cpu().numpy())
            if "picture_rotation" in sample:  # an aligned crop, whose prediction has been rotated back
                picture = turned(picture, -sample["picture_rotation"][row])
            fields = {key: value for key, value in sample.items() if isinstance(value, Tensor)}
            frame = WorstFrame(
                sample["sequence"],
                int(np.asarray(sample["frame_indices"])[row]),
                {name: float(error[row]) for name, error in errors.items()},
                picture.copy(),
                {k: (v[row] if v.ndim and len(v) == frames else v).detach().cpu() for k, v in fields.items()},
            )
            self.worst = sorted([*self.worst, frame], key=lambda f: -f.errors[self.figure])[: self.count]

    def _least(self) -> float:
        return self.worst[-1].errors[self.figure]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Returns nothing."""
        return {}

    def evaluate(self, size: int) -> dict[str, float]:
        """Returns nothing; the frames stay in :attr:`worst`."""
        return {}
