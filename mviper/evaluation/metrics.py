"""The registered metrics: they collect compactly sample by sample and compute per whole sequence.

A sample is the dict of a :class:`~mviper.structures.sample.BodySample` with its prediction. Frames that several
samples hold (a padded sampler, overlapping clips) count once; differences in time are taken only between frames that
follow one another in the same sequence. Names end in their form and unit: ``MPVPE_sum_m``, ``MPVPE_mean_mm``.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor, nn

from mviper.body.joints import KEYPOINTS, SMPL_JOINTS
from mviper.errors import ConfigError
from mviper.evaluation.functional import (
    MILLIMETRES,
    acceleration_error,
    joint_error,
    pa_joint_error,
    shape_variation,
    vertex_error,
    vertex_variation,
)
from mviper.registry import METRICS, MODELS

#: Frames that go through the body at once: 256 x 6890 vertices are 21 MB.
FRAMES_AT_ONCE = 256


class SequenceMetric(BaseMetric):
    """Keeps some fields of every sample and puts them together by sequence.

    Args:
        collect_device: As in mmengine's ``BaseMetric``.
        prefix: As in mmengine's ``BaseMetric``; none by default.
    """

    default_prefix = ""
    #: Fields of a sample with one row per frame that :meth:`compute_metrics` needs.
    fields: tuple[str, ...] = ()

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keeps the samples' needed fields, on the CPU."""
        for sample in data_samples:
            record = {name: sample[name].detach().cpu() for name in self.fields if name in sample}
            record |= self.per_frame(sample)
            flags = [float(sample.get(flag, 1.0)) for flag in ("has_keypoints3d", "has_smpl", "has_betas")]
            record["labels"] = torch.tensor(flags).bool().expand(len(sample["frame_indices"]), 3).clone()
            record["frames"] = torch.as_tensor(np.asarray(sample["frame_indices"]), dtype=torch.int64)
            record["sequence"] = sample["sequence"]
            self.results.append(record)

    def per_frame(self, sample: dict) -> dict[str, Tensor]:
        """Values that can be computed at once, one row per frame, so that less is kept."""
        return {}

    @staticmethod
    def by_sequence(results: list[dict]) -> dict[str, dict[str, Tensor]]:
        """Joins the samples of each sequence in the order of their frames, each frame once."""
        groups = defaultdict(list)
        for record in results:
            groups[record["sequence"]].append(record)
        sequences = {}
        for name, records in sorted(groups.items()):
            frames = torch.cat([record["frames"] for record in records])
            order = torch.from_numpy(np.unique(frames.numpy(), return_index=True)[1])
            keys = [key for key in records[0] if key != "sequence"]
            sequences[name] = {key: torch.cat([record[key] for record in records])[order] for key in keys}
        return sequences

    def warn_left_out(self, count: int, lacking: str) -> None:
        """Says how many frames a figure does not cover."""
        if count:
            print_log(
                f"{type(self).__name__}: {count} frames without {lacking} are left out", "current", logging.WARNING
            )


def runs(frames: Tensor) -> Iterator[slice]:
    """Stretches of sorted frame numbers that follow one another at the smallest step between any two."""
    gaps = frames.diff()
    breaks = (gaps != gaps.min()).nonzero().flatten().add(1).tolist() if len(gaps) else []
    for start, stop in zip([0, *breaks], [*breaks, len(frames)]):
        yield slice(start, stop)


def select_joints(names: Sequence[str]) -> list[int]:
    """Indices of joint names in ``KEYPOINTS``.

    Raises:
        ConfigError: An unknown name.
    """
    unknown = [name for name in names if name not in KEYPOINTS]
    if unknown:
        raise ConfigError(f"unknown joints {unknown}; known are {', '.join(KEYPOINTS)}")
    return [KEYPOINTS.index(name) for name in names]


def mean_or_nan(values: list[Tensor]) -> float:
    """Mean over all elements; NaN where there is none."""
    return float(torch.cat(values).double().mean()) if values else float("nan")


class _JointMetric(SequenceMetric):
    def __init__(
        self, joints: Sequence[str] = SMPL_JOINTS, root: Sequence[str] = ("pelvis",), **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.joints, self.root = select_joints(joints), select_joints(root)

    def aligned_joints(self, sample: dict) -> tuple[Tensor, Tensor, Tensor]:
        """Root-relative joints of prediction and truth (T, J, 3) and their validity (T, J)."""
        pred, target = sample["pred_keypoints3d"].detach().cpu().double(), sample["keypoints3d"].detach().cpu().double()
        pred = pred - pred[:, self.root].mean(dim=1, keepdim=True)
        joints = target[..., :3] - target[:, self.root, :3].mean(dim=1, keepdim=True)
        valid = (target[..., 3] > 0) & (target[:, self.root, 3] > 0).all(dim=1, keepdim=True)
        valid &= bool(sample.get("has_keypoints3d", 1.0))
        return pred[:, self.joints], joints[:, self.joints], valid[:, self.joints]


@METRICS.register_module()
class JointError(_JointMetric):
    """MPJPE and PA-MPJPE [mm], means over all frames (paper section 5; PA by one similarity per frame).

    Args:
        joints: Which of ``KEYPOINTS`` count; SMPL's 24 by default.
        root: Joint whose position is subtracted from both sides for MPJPE; of several, their mean.
        **kwargs: For :class:`SequenceMetric`.
    """

    def per_frame(self, sample: dict) -> dict[str, Tensor]:
        """Errors [m], shape (T,), and whether the frame has any labelled joint."""
        pred, target, valid = self.aligned_joints(sample)
        return {
            "mpjpe": joint_error(pred, target, valid),
            "pa_mpjpe": pa_joint_error(pred, target, valid),
            "labelled": valid.any(dim=1),
        }

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """``MPJPE_mm`` and ``PA-MPJPE_mm``."""
        sequences = self.by_sequence(results).values()
        self.warn_left_out(sum(int((~s["labelled"]).sum()) for s in sequences), "3D joints")
        return {
            "MPJPE_mm": MILLIMETRES * mean_or_nan([s["mpjpe"][s["labelled"]] for s in sequences]),
            "PA-MPJPE_mm": MILLIMETRES * mean_or_nan([s["pa_mpjpe"][s["labelled"]] for s in sequences]),
        }


@METRICS.register_module()
class AccelerationError(_JointMetric):
    """Mean distance of the joints' second differences [mm per frame^2], as the field prints it.

    Args:
        joints: As in :class:`JointError`.
        root: As in :class:`JointError`.
        **kwargs: For :class:`SequenceMetric`.
    """

    def per_frame(self, sample: dict) -> dict[str, Tensor]:
        """Root-relative joints (T, J, 3) [m] of both and their validity."""
        pred, target, valid = self.aligned_joints(sample)
        return {"pred": pred, "target": target, "valid": valid}

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """``acceleration_error_mm``."""
        errors = []
        for sequence in self.by_sequence(results).values():
            for run in runs(sequence["frames"]):
                pred, target, valid = (sequence[key][run] for key in ("pred", "target", "valid"))
                if len(pred) < 3:
                    continue
                counted = (valid[2:] & valid[1:-1] & valid[:-2]).any(dim=1)
                errors.append(acceleration_error(pred, target, valid)[counted])
        return {"acceleration_error_mm": MILLIMETRES * mean_or_nan(errors)}


class _VertexMetric(SequenceMetric):
    fields = ("pred_rotmat", "pred_betas", "smpl_rotmat", "betas")

    def __init__(self, body_model: dict | nn.Module, device: str | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        body = body_model if isinstance(body_model, nn.Module) else MODELS.build(body_model)
        self.body = body.to(self.device)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Checks that the betas belong to this metric's body, then computes the figures."""
        of_data = (self.dataset_meta or {}).get("body_model")
        if of_data and of_data != self.body.body_model_id:
            raise ConfigError(
                f"{type(self).__name__}: the data's betas belong to body {of_data}, "
                f"the metric's body_model is {self.body.body_model_id}"
            )
        return self.figures(self.by_sequence(results))

    @torch.no_grad()
    def vertices(self, rotmat: Tensor, betas: Tensor) -> Tensor:
        """(T, N, 3) [m], transl = 0, own joint 0 subtracted."""
        output = self.body(betas.to(self.device), rotmat.to(self.device))
        return output.vertices - output.joints[:, :1]


@METRICS.register_module()
class VertexError(_VertexMetric):
    """MPVPE (eq. 20): summed over vertices [m] as the paper prints it, and per vertex [mm] (today's PVE).

    Vertices are recomputed from (theta, beta). Frames whose truth lacks theta, or whose betas belong to another body,
    are left out and counted.

    Args:
        body_model: The model's own body: its config, or the body itself (then one serves several metrics).
        device: Where the body runs; CUDA if there is any.
        **kwargs: For :class:`SequenceMetric`.
    """

    def figures(self, sequences: dict[str, dict[str, Tensor]]) -> dict[str, float]:
        """``MPVPE_sum_m`` and ``MPVPE_mean_mm``."""
        errors, left_out = [], 0
        for sequence in sequences.values():
            labelled = sequence["labels"][:, 1:].all(dim=1)
            left_out += int((~labelled).sum())
            rows = [sequence[name][labelled] for name in self.fields]
            for pred_rotmat, pred_betas, rotmat, betas in zip(*(row.split(FRAMES_AT_ONCE) for row in rows)):
                if len(rotmat):
                    error = vertex_error(self.vertices(pred_rotmat, pred_betas), self.vertices(rotmat, betas))
                    errors.append(error.cpu())
        self.warn_left_out(left_out, "theta and beta of this body")
        total = mean_or_nan(errors)
        return {"MPVPE_sum_m": total, "MPVPE_mean_mm": total / self.body.num_vertices * MILLIMETRES}


@METRICS.register_module()
class TemporalVariation(_VertexMetric):
    """MRVPV (eq. 21) and MRSV (eq. 22) of the prediction, with the truth's own figures beside (``_truth``).

    A frozen body scores 0 in both, so they say something only beside the truth's and the errors. As printed, the sum
    over a sequence's M - 1 differences is divided by M; several sequences are averaged by their frames.

    Args:
        body_model: The model's own body: its config, or the body itself (then one serves several metrics).
        device: Where the body runs; CUDA if there is any.
        **kwargs: For :class:`SequenceMetric`.
    """

    #: (p, norm, reduction) of each MRVPV form that is printed.
    forms = {
        "MRVPV1_sum_m": (1, "vertex", "sum"),
        "MRVPV1_mean_mm": (1, "vertex", "mean"),
        "MRVPV2_sum_m": (2, "vertex", "sum"),
        "MRVPV2_mean_mm": (2, "vertex", "mean"),
        "MRVPV2_frame_sum_m": (2, "frame", "sum"),
        "MRVPV2_frame_mean_mm": (2, "frame", "mean"),
    }

    def figures(self, sequences: dict[str, dict[str, Tensor]]) -> dict[str, float]:
        """``MRVPV{1,2}_*``, ``MRSV{1,2}`` and the same with ``_truth``."""
        totals, frame_counts = defaultdict(float), {"": 0, "_truth": 0}
        for sequence in sequences.values():
            has_truth = bool(sequence["labels"][:, 1:].all())
            sides = [("", "pred_rotmat", "pred_betas"), ("_truth", "smpl_rotmat", "betas")][: 1 + has_truth]
            for suffix, rotmat, betas in sides:
                frame_counts[suffix] += len(sequence["frames"])
                for run in runs(sequence["frames"]):
                    for name, value in self.run_totals(sequence[rotmat][run], sequence[betas][run]).items():
                        totals[name + suffix] += value
        names = [*self.forms, "MRSV1", "MRSV2"]
        return {
            name + suffix: totals[name + suffix] / count if count else float("nan")
            for suffix, count in frame_counts.items()
            for name in names
        }

    def run_totals(self, rotmat: Tensor, betas: Tensor) -> dict[str, float]:
        """Sums of the terms of eq. 21 and 22 over one run of frames."""
        totals = {f"MRSV{p}": float(shape_variation(betas, p).sum()) for p in (1, 2)}
        totals |= dict.fromkeys(self.forms, 0.0)
        for start in range(0, len(rotmat) - 1, FRAMES_AT_ONCE):
            chunk = slice(start, start + FRAMES_AT_ONCE + 1)  # one frame of overlap: its difference is the next's
            vertices = self.vertices(rotmat[chunk], betas[chunk])
            for name, form in self.forms.items():
                totals[name] += float(vertex_variation(vertices, *form).sum())
        return totals
