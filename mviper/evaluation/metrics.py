"""The registered metrics: they collect compact data per sample and compute over whole sequences.

A sample is the dict of a :class:`~mviper.sample.BodySample` with its prediction. Frames in several samples (from a
padded sampler or overlapping clips) count once; temporal differences are taken only between consecutive frames of the
same sequence. Names end in their form and unit: ``MPVPE_sum_m``, ``MPVPE_mean_mm``.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor, nn

from mviper.body import SMPL, same_body
from mviper.errors import ConfigError
from mviper.evaluation.functional import (
    MILLIMETRES,
    acceleration_error,
    correct_keypoints,
    joint_distances,
    mean_over_valid,
    shape_variation,
    similarity_align,
    vertex_error,
    vertex_variation,
)
from mviper.registry import METRICS, MODELS
from mviper.structures import KEYPOINTS, SMPL_JOINTS

#: Frames per pass through the body model: 64 x 6890 vertices are 5 MB.
FRAMES_AT_ONCE = 64

#: Joint sets by name, for the metrics' ``joints=``. MPI-INF-3DHP and, since HMR, Human3.6M and 3DPW are evaluated on
#: LSP's 14; the hips are the annotators', not SMPL's.
JOINT_SETS = {
    "smpl24": SMPL_JOINTS,
    "lsp14": (
        "right_ankle", "right_knee", "right_hip_extra", "left_hip_extra", "left_knee", "left_ankle", "right_wrist",
        "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck_extra", "headtop",
    ),
    "h36m17": (
        "pelvis_extra", "left_hip_extra", "left_knee", "left_ankle", "right_hip_extra", "right_knee", "right_ankle",
        "spine_extra", "neck_extra", "head_extra", "headtop", "left_shoulder", "left_elbow", "left_wrist",
        "right_shoulder", "right_elbow", "right_wrist",
    ),
}  # fmt: skip


#: Suffix of a sample that is a single frame of a sequence or set: its row number.
_STILL = re.compile(r"/\d{6}$")
#: A Human3.6M video: ``S9_Directions 1.60457274`` is subject 9's second take from the frontal camera.
_HUMAN36M = re.compile(r"(?:^|/)S\d+_(.+?)(?:[ _]\d+)?\.(\w+)$")


def camera_of(sample: dict) -> str:
    """The sample's ``camera``, or else the camera in its ``sequence``.

    ``test/run__00/east`` -> east; ``h36m/test/S9_Directions 1.60457274`` -> 60457274.
    """
    name = _STILL.sub("", sample["sequence"])
    human36m = _HUMAN36M.search(name)
    return str(sample.get("camera") or (human36m[2] if human36m else name.rpartition("/")[2]))


def action_of(sample: dict) -> str:
    """The sample's ``action``, or else the action in its ``sequence``.

    ``test/run__00/east`` (the factory's clip ``run``, variant 0) -> run; ``h36m/test/S9_Directions 1.60457274`` ->
    Directions.
    """
    name = _STILL.sub("", sample["sequence"])
    human36m = _HUMAN36M.search(name)
    folder = name.split("/")[-2] if "/" in name else name
    return str(sample.get("action") or (human36m[1] if human36m else re.sub(r"__\d+$", "", folder)))


class SequenceMetric(BaseMetric):
    """Collects some fields of every sample and joins them by sequence.

    Args:
        cameras: Count only samples of these cameras (:func:`camera_of`). Human3.6M's protocol 2 uses only the frontal
            camera, ``['60457274']``. All by default.
        collect_device: As in mmengine's ``BaseMetric``.
        prefix: As in mmengine's ``BaseMetric``; none by default.
    """

    default_prefix = ""
    #: Per-frame fields of a sample that :meth:`compute_metrics` needs.
    fields: tuple[str, ...] = ()

    def __init__(
        self, cameras: Sequence[str] | None = None, collect_device: str = "cpu", prefix: str | None = None
    ) -> None:
        super().__init__(collect_device, prefix)
        self.cameras = None if cameras is None else {str(camera) for camera in cameras}
        #: After :meth:`evaluate`, for plots and worst cases: ``sequence -> name -> one row per frame``, with
        #: ``frames``.
        self.frame_values: dict[str, dict[str, Tensor]] = {}
        #: After :meth:`evaluate`: each sequence's action (:func:`action_of`).
        self.actions: dict[str, str] = {}

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Collects the fields needed, on the CPU."""
        for sample in data_samples:
            if self.cameras is not None and camera_of(sample) not in self.cameras:
                continue
            record = {name: sample[name].detach().cpu() for name in self.fields if name in sample}
            record |= self.per_frame(sample)
            flags = [float(sample.get(flag, 1.0)) for flag in ("has_keypoints3d", "has_smpl", "has_betas")]
            record["labels"] = torch.tensor(flags).bool().expand(len(sample["frame_indices"]), 3).clone()
            record["frames"] = torch.as_tensor(np.asarray(sample["frame_indices"]), dtype=torch.int64)
            record["sequence"], record["action"] = sample["sequence"], action_of(sample)
            self.results.append(record)

    def per_frame(self, sample: dict) -> dict[str, Tensor]:
        """Values computed immediately, one row per frame, so that less is stored."""
        return {}

    def by_sequence(self, results: list[dict]) -> dict[str, dict[str, Tensor]]:
        """Joins the samples of each sequence in frame order, each frame once."""
        if not results:
            raise ConfigError(
                f"{type(self).__name__}: no sample to measure"
                + (f" of cameras {', '.join(sorted(self.cameras))}" if self.cameras else "")
            )
        groups = defaultdict(list)
        for record in results:
            groups[record["sequence"]].append(record)
        sequences = {}
        for name, records in sorted(groups.items()):
            frames = torch.cat([record["frames"] for record in records])
            # The last of repeated frames counts: a still repeated as a clip is judged after the recurrent state has
            # settled.
            order = len(frames) - 1 - torch.from_numpy(np.unique(frames.flip(0).numpy(), return_index=True)[1])
            keys = [key for key in records[0] if key not in ("sequence", "action")]
            self.actions[name] = records[0]["action"]
            sequences[name] = {key: torch.cat([record[key] for record in records])[order] for key in keys}
        return sequences

    def warn_left_out(self, count: int, lacking: str) -> None:
        """Warns how many frames a figure does not cover."""
        if count:
            print_log(
                f"{type(self).__name__}: {count} frames without {lacking} are left out", "current", logging.WARNING
            )


def runs(frames: Tensor) -> Iterator[slice]:
    """Runs of sorted frame numbers whose step is the smallest between any two."""
    gaps = frames.diff()
    breaks = (gaps != gaps.min()).nonzero().flatten().add(1).tolist() if len(gaps) else []
    for start, stop in zip([0, *breaks], [*breaks, len(frames)]):
        yield slice(start, stop)


def select_joints(names: Sequence[str] | str) -> list[int]:
    """Indices of joint names, or of a set of ``JOINT_SETS``, in ``KEYPOINTS``.

    Raises:
        ConfigError: An unknown name.
    """
    if isinstance(names, str):
        if names not in JOINT_SETS:
            raise ConfigError(f"unknown joint set {names!r}; known are {', '.join(JOINT_SETS)}, or a list of joints")
        names = JOINT_SETS[names]
    unknown = [name for name in names if name not in KEYPOINTS]
    if unknown:
        raise ConfigError(f"unknown joints {unknown}; known are {', '.join(KEYPOINTS)}")
    return [KEYPOINTS.index(name) for name in names]


def facing(sample: dict) -> Tensor:
    """Cosine of the angle between the annotated body's front and the direction towards the camera, shape (T,).

    The front is SMPL's z axis, turned by the root's rotation. NaN without SMPL's annotation.
    """
    if "smpl_rotmat" not in sample or not float(sample.get("has_smpl", 1.0)):
        return torch.full((len(sample["frame_indices"]),), torch.nan)
    return -sample["smpl_rotmat"][:, 0, 2, 2].detach().cpu().float()


def mean_or_nan(values: list[Tensor]) -> float:
    """Mean over all elements; NaN if there is none."""
    return float(torch.cat(values).double().mean()) if values else float("nan")


class _JointMetric(SequenceMetric):
    def __init__(
        self, joints: Sequence[str] | str = "smpl24", root: Sequence[str] = ("pelvis",), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.joints, self.root = select_joints(joints), select_joints(root)

    @property
    def joint_names(self) -> list[str]:
        """Names of the measured joints, in order."""
        return [KEYPOINTS[index] for index in self.joints]

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
    """MPJPE and PA-MPJPE [mm] (paper section 5; PA by one similarity per frame).

    Args:
        joints: The joints to measure, as names from ``KEYPOINTS`` or one of ``JOINT_SETS``; SMPL's 24 by default.
        root: Joint subtracted from prediction and ground truth for MPJPE; of several, their mean.
        average: ``'frames'``: the mean over all frames; ``'actions'``: the mean of the actions' means, as in
            Human3.6M's tables (the means in the paper's Table 1 are those of its 15 columns).
        **kwargs: For :class:`SequenceMetric`.
    """

    def __init__(
        self,
        joints: Sequence[str] | str = "smpl24",
        root: Sequence[str] = ("pelvis",),
        average: str = "frames",
        **kwargs: Any,
    ) -> None:
        super().__init__(joints, root, **kwargs)
        if average not in ("frames", "actions"):
            raise ConfigError(f"JointError: average={average!r}, expected 'frames' or 'actions'")
        self.average = average

    def per_frame(self, sample: dict) -> dict[str, Tensor]:
        """Errors [m] (T,), those of each joint (T, J), whether any joint is labelled, :func:`facing` the camera."""
        pred, target, valid = self.aligned_joints(sample)
        distances = joint_distances(pred, target)
        pa_distances = joint_distances(similarity_align(pred, target, valid), target)
        return {
            "mpjpe": mean_over_valid(distances, valid),
            "pa_mpjpe": mean_over_valid(pa_distances, valid),
            "joints": torch.where(valid, distances, torch.nan).float(),
            "pa_joints": torch.where(valid, pa_distances, torch.nan).float(),
            "labelled": valid.any(dim=1),
            "facing": facing(sample),
        }

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """``MPJPE_mm`` and ``PA-MPJPE_mm``."""
        sequences = self.by_sequence(results)
        self.warn_left_out(sum(int((~s["labelled"]).sum()) for s in sequences.values()), "3D joints")
        self.frame_values = {
            name: {
                "frames": values["frames"],
                **{
                    label: torch.where(values["labelled"], MILLIMETRES * values[key], torch.nan)
                    for label, key in (("MPJPE_mm", "mpjpe"), ("PA-MPJPE_mm", "pa_mpjpe"))
                },
                "facing": values["facing"],
                "joints_mm": MILLIMETRES * values["joints"],
                "pa_joints_mm": MILLIMETRES * values["pa_joints"],
            }
            for name, values in sequences.items()
        }
        figures = {}
        for label, key in (("MPJPE_mm", "mpjpe"), ("PA-MPJPE_mm", "pa_mpjpe")):
            groups = defaultdict(list)
            for name, values in sequences.items():
                if values["labelled"].any():
                    group = self.actions[name] if self.average == "actions" else ""
                    groups[group].append(values[key][values["labelled"]])
            means = [torch.tensor([mean_or_nan(values)]) for values in groups.values()]
            figures[label] = MILLIMETRES * mean_or_nan(means)
        return figures


@METRICS.register_module()
class KeypointAccuracy(_JointMetric):
    """3DPCK at 150 mm and its AUC over 0 to 150 mm [%], over all labelled joints of all frames (MPI-INF-3DHP).

    The benchmark uses 14 joints relative to the pelvis: ``joints='lsp14', root=['pelvis_extra']``.

    Args:
        joints: As in :class:`JointError`.
        root: As in :class:`JointError`.
        procrustes: Whether each frame is aligned by the best similarity first (PA-3DPCK).
        **kwargs: For :class:`SequenceMetric`.
    """

    def __init__(
        self,
        joints: Sequence[str] | str = "lsp14",
        root: Sequence[str] = ("pelvis",),
        procrustes: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(joints, root, **kwargs)
        self.procrustes = procrustes

    def per_frame(self, sample: dict) -> dict[str, Tensor]:
        """Per frame: correct joints at 150 mm, their mean over the thresholds, valid joints."""
        pred, target, valid = self.aligned_joints(sample)
        if self.procrustes:
            pred = similarity_align(pred, target, valid)
        correct, over_thresholds, count = correct_keypoints(joint_distances(pred, target), valid)
        return {"correct": correct, "over_thresholds": over_thresholds, "count": count}

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """``3DPCK_150mm`` and ``3DAUC`` [%], prefixed with ``PA-`` when aligned."""
        sequences = self.by_sequence(results).values()
        self.warn_left_out(sum(int((s["count"] == 0).sum()) for s in sequences), "3D joints")
        total = sum(s["count"].sum() for s in sequences)
        prefix = "PA-" if self.procrustes else ""
        return {
            f"{prefix}{name}": float(100 * sum(s[key].sum() for s in sequences) / total)
            for name, key in (("3DPCK_150mm", "correct"), ("3DAUC", "over_thresholds"))
        }


@METRICS.register_module()
class AccelerationError(_JointMetric):
    """Mean distance of the joints' second differences [mm per frame^2], the field's usual unit.

    Args:
        joints: As in :class:`JointError`.
        root: As in :class:`JointError`.
        **kwargs: For :class:`SequenceMetric`.
    """

    def per_frame(self, sample: dict) -> dict[str, Tensor]:
        """Root-relative joints (T, J, 3) [m] of prediction and ground truth, and their validity."""
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
    def __init__(self, body_model: dict | SMPL, device: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        body: SMPL = body_model if isinstance(body_model, nn.Module) else MODELS.build(body_model)
        self.body = body.to(self.device)

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Checks that the betas belong to this metric's body, then collects the fields needed."""
        of_data = (self.dataset_meta or {}).get("body_model")
        if of_data and not same_body(of_data, self.body.body_model_id):
            raise ConfigError(
                f"{type(self).__name__}: the data's betas belong to body {of_data}, "
                f"the metric's body_model is {self.body.body_model_id}"
            )
        super().process(data_batch, data_samples)

    @torch.no_grad()
    def vertices(self, rotmat: Tensor, betas: Tensor) -> Tensor:
        """(T, N, 3) [m], transl = 0, own joint 0 subtracted."""
        output = self.body(betas.to(self.device), rotmat.to(self.device))
        return output.vertices - output.joints[:, :1]


@METRICS.register_module()
class VertexError(_VertexMetric):
    """MPVPE (eq. 20): summed over vertices [m] as printed in the paper, and per vertex [mm] (today's PVE).

    Vertices are recomputed from (theta, beta), sample by sample; one number per frame is kept. Frames whose ground
    truth lacks theta, or whose betas belong to another body, are excluded and counted.

    Args:
        body_model: The model's own body: its config, or the body itself (then one serves several metrics).
        device: Where the body runs; CUDA if there is any.
        **kwargs: For :class:`SequenceMetric`.
    """

    def per_frame(self, sample: dict) -> dict[str, Tensor]:
        """Eq. 20's terms [m], shape (T,); NaN without theta and beta of this body."""
        sides = [sample[name] for name in ("pred_rotmat", "pred_betas", "smpl_rotmat", "betas")]
        if not (sample.get("has_smpl", 1.0) and sample.get("has_betas", 1.0)):
            return {"error": torch.full((len(sides[0]),), torch.nan, dtype=torch.float64)}
        errors = [
            vertex_error(self.vertices(pred_rotmat, pred_betas), self.vertices(rotmat, betas)).cpu()
            for pred_rotmat, pred_betas, rotmat, betas in zip(*(side.detach().split(FRAMES_AT_ONCE) for side in sides))
        ]
        return {"error": torch.cat(errors)}

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """``MPVPE_sum_m`` and ``MPVPE_mean_mm``."""
        sequences = self.by_sequence(results)
        per_vertex = MILLIMETRES / self.body.num_vertices
        self.frame_values = {
            name: {"frames": values["frames"], "MPVPE_mean_mm": values["error"] * per_vertex}
            for name, values in sequences.items()
        }
        labelled = {name: values["labels"][:, 1:].all(dim=1) for name, values in sequences.items()}
        self.warn_left_out(sum(int((~rows).sum()) for rows in labelled.values()), "theta and beta of this body")
        errors = [values["error"][labelled[name]] for name, values in sequences.items() if labelled[name].any()]
        total = mean_or_nan(errors)
        return {"MPVPE_sum_m": total, "MPVPE_mean_mm": total * per_vertex}


@METRICS.register_module()
class ShapeError(_VertexMetric):
    """Distance of the T-posed body's vertices from the true person's (PVE-T: Sengupta et al., BMVC 2020).

    Relative to joint 0, without scaling: a person's height counts. Frames without betas of this body are excluded and
    counted.

    Args:
        body_model: The model's own body: its config, or the body itself (then one serves several metrics).
        device: Where the body runs; CUDA if there is any.
        **kwargs: For :class:`SequenceMetric`.
    """

    fields = ("pred_betas", "betas")

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """``PVE-T_mm``."""
        sequences = self.by_sequence(results)
        labelled = {name: values["labels"][:, 2] for name, values in sequences.items()}
        self.warn_left_out(sum(int((~rows).sum()) for rows in labelled.values()), "betas of this body")
        errors = [
            self.error(*(values[name][labelled[sequence]] for name in self.fields))
            for sequence, values in sequences.items()
        ]
        return {"PVE-T_mm": mean_or_nan(errors)}

    @torch.no_grad()
    def error(self, pred_betas: Tensor, betas: Tensor) -> Tensor:
        """Mean over vertices [mm], shape (T,)."""
        sides = (side.to(self.device).split(FRAMES_AT_ONCE) for side in (pred_betas, betas))
        errors = [(self._at_rest(pred) - self._at_rest(true)).norm(dim=-1).mean(-1) for pred, true in zip(*sides)]
        return torch.cat([torch.empty(0), *(error.cpu() for error in errors)]) * MILLIMETRES

    def _at_rest(self, betas: Tensor) -> Tensor:
        return self.body.rest_vertices(betas) - self.body.rest_joints(betas)[:, :1]


@METRICS.register_module()
class TemporalVariation(_VertexMetric):
    """MRVPV (eq. 21) and MRSV (eq. 22) of the prediction, and of the ground truth (``_truth``).

    A frozen body scores 0 in both, so they are meaningful only together with the ground truth's figures and the errors.
    As printed, the sum over a sequence's M - 1 differences is divided by M; sequences are averaged weighted by their
    frames.

    Args:
        body_model: The model's own body: its config, or the body itself (then one serves several metrics).
        device: Where the body runs; CUDA if there is any.
        **kwargs: For :class:`SequenceMetric`.
    """

    fields = ("pred_rotmat", "pred_betas", "smpl_rotmat", "betas")
    #: (p, norm, reduction) of each reported MRVPV variant.
    forms = {
        "MRVPV1_sum_m": (1, "vertex", "sum"),
        "MRVPV1_mean_mm": (1, "vertex", "mean"),
        "MRVPV2_sum_m": (2, "vertex", "sum"),
        "MRVPV2_mean_mm": (2, "vertex", "mean"),
        "MRVPV2_frame_sum_m": (2, "frame", "sum"),
        "MRVPV2_frame_mean_mm": (2, "frame", "mean"),
    }

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """``MRVPV{1,2}_*``, ``MRSV{1,2}`` and the same with ``_truth``."""
        sequences = self.by_sequence(results)
        totals: defaultdict[str, float] = defaultdict(float)
        frame_counts = {"": 0, "_truth": 0}
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
            chunk = slice(start, start + FRAMES_AT_ONCE + 1)  # one frame of overlap, for the difference between chunks
            vertices = self.vertices(rotmat[chunk], betas[chunk])
            for name, form in self.forms.items():
                totals[name] += float(vertex_variation(vertices, *form).sum())
        return totals
