"""Speed and memory of the metrics of the paper's section 5, compared with MMHuman3D's code."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
import types
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import Result
from mviper.body import axis_angle_to_matrix
from mviper.errors import MissingDataError
from mviper.evaluation import JointError, KeypointAccuracy, TemporalVariation, VertexError, functional
from mviper.registry import MODELS

FRAMES, JOINTS = 10_000, 24
#: Frames per sample for the registered metrics; vertices would take 16 MB on each side if kept.
SAMPLE = 200
#: Default place of MMHuman3D's wheel (0.5 MB, Apache-2.0); see ``--data``.
WHEEL = Path("work_dirs/mmhuman3d-0.11.0-py2.py3-none-any.whl")


def load_mmhuman3d(wheel: Path) -> types.ModuleType:
    """Loads ``mmhuman3d.core.evaluation.eval_utils`` from MMHuman3D's wheel, without the rest of the package.

    Raises:
        MissingDataError: There is no such wheel; the message says how to fetch it.
    """
    inside = "mmhuman3d/core/evaluation/"
    if not wheel.is_file() or not zipfile.is_zipfile(wheel):
        raise MissingDataError(
            f"{wheel}: no such wheel; fetch it with: pip download --no-deps mmhuman3d==0.11.0 -d {wheel.parent}"
        )
    package = types.ModuleType("mmhuman3d_evaluation")
    package.__path__ = [f"{wheel}/{inside}"]
    sys.modules[package.__name__] = package
    try:
        import trimesh  # noqa: F401  for a mesh distance that is not used here
    except ModuleNotFoundError:
        sys.modules["trimesh"] = types.ModuleType("trimesh")
        sys.modules["trimesh.proximity"] = types.SimpleNamespace(closest_point=None)
    return importlib.import_module(f"{package.__name__}.eval_utils")


def find_mmhuman3d(given: Path | None) -> types.ModuleType | None:
    """MMHuman3D's metrics, from the given wheel, else from the one in ``work_dirs``, which pip fetches if possible."""
    if given is None and not WHEEL.is_file():
        print(f"Fetching {WHEEL.name} (0.5 MB) to compare its metrics with ours")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "mmhuman3d==0.11.0"]
        if subprocess.run([*command, "-d", str(WHEEL.parent)]).returncode:
            print("The download failed: only our metrics are measured")
            return None
    return load_mmhuman3d(given or WHEEL)


def measure(arguments: argparse.Namespace) -> Result:
    """Computes every metric on 10,000 frames; ``--data`` takes MMHuman3D's wheel for comparison."""
    rng = np.random.default_rng(arguments.seed)
    target = rng.normal(scale=0.4, size=(FRAMES, JOINTS, 3))
    pred = target + rng.normal(scale=0.1, size=target.shape)
    rows: list[tuple[str, ...]] = [("measure", "frames per CPU-s", "MMHuman3D 0.11", "times as fast")]
    figures: dict[str, float] = {}
    targets: dict[str, list] = {}
    theirs = find_mmhuman3d(arguments.data[0] if arguments.data else None)
    _joint_measures(pred, target, theirs, rows, figures, targets)
    body = MODELS.build({"type": "mviper.SMPL"}).eval()
    _vertex_measures(body, rows, figures)
    _registered_metrics(body, rng, rows, figures)
    return rows, figures, targets


def _joint_measures(
    pred: np.ndarray, target: np.ndarray, theirs: types.ModuleType | None, rows: list, figures: dict, targets: dict
) -> None:
    ours_pred, ours_target = torch.from_numpy(pred), torch.from_numpy(target)
    every = np.ones(pred.shape[:2], bool)
    distances = functional.joint_distances(ours_pred, ours_target)
    measures: dict[str, tuple[Callable, Callable | None]] = {
        "MPJPE": (
            lambda: functional.joint_error(ours_pred, ours_target).mean(),
            theirs and (lambda: theirs.keypoint_mpjpe(pred, target, every)),
        ),
        "PA-MPJPE": (
            lambda: functional.pa_joint_error(ours_pred, ours_target).mean(),
            theirs and (lambda: theirs.keypoint_mpjpe(pred, target, every, "procrustes")),
        ),
        "PVE": (
            lambda: functional.mpvpe(ours_pred, ours_target, "mean") / 1000,
            theirs and (lambda: theirs.vertice_pve(pred, target)),
        ),
        "acceleration error": (
            lambda: functional.acceleration_error(ours_pred, ours_target).mean(),
            theirs and (lambda: theirs.keypoint_accel_error(target, pred).mean()),
        ),
        "3DPCK and AUC of errors": (
            lambda: functional.pck(distances) + functional.auc(distances),
            theirs
            and (lambda: theirs.keypoint_3d_pck(pred, target, every) + theirs.keypoint_3d_auc(pred, target, every)),
        ),
    }
    ours_total = theirs_total = worst = 0.0
    for name, (ours, other) in measures.items():
        seconds = _best(ours)
        cells = ["", ""]
        if other:
            their_seconds = _best(other, 3)
            cells = [f"{FRAMES / their_seconds:,.0f}", f"{their_seconds / seconds:.1f}"]
            if "PCK" not in name:  # there, shares of errors in mm
                ours_total, theirs_total = ours_total + seconds, theirs_total + their_seconds
                worst = max(worst, abs(float(ours()) - float(other())))
            if name == "PA-MPJPE":
                figures["pa_mpjpe_times_as_fast"] = their_seconds / seconds
        rows.append((f"{name}, {JOINTS} joints", f"{FRAMES / seconds:,.0f}", *cells))
        figures[f"{_key(name)}_frames_per_cpu_s"] = FRAMES / seconds
    if theirs:
        rows.append(("MPJPE, PA-MPJPE, PVE, acceleration together", f"{FRAMES / ours_total:,.0f}",
                     f"{FRAMES / theirs_total:,.0f}", f"{theirs_total / ours_total:.1f}"))  # fmt: skip
        figures["together_times_as_fast"] = theirs_total / ours_total
        figures["worst_difference_to_mmhuman3d_m"] = worst
        targets |= {"pa_mpjpe_times_as_fast": [">=", 8], "together_times_as_fast": [">=", 8]}
        targets["worst_difference_to_mmhuman3d_m"] = ["<=", 1e-6]


def _vertex_measures(body: torch.nn.Module, rows: list, figures: dict) -> None:
    """Only eq. 20 to 22, repeatedly on one sample's vertices."""
    count = 10 * SAMPLE
    generator = torch.Generator().manual_seed(0)
    vertices = torch.randn(SAMPLE, body.num_vertices, 3, generator=generator)
    other = vertices + 0.05
    betas = torch.randn(count, 10, generator=generator)
    measures = {
        "MPVPE": lambda: [functional.vertex_error(other, vertices) for _ in range(10)],
        "MRVPV1": lambda: [functional.vertex_variation(vertices, 1) for _ in range(10)],
        "MRVPV2": lambda: [functional.vertex_variation(vertices, 2) for _ in range(10)],
        "MRVPV2 (frame)": lambda: [functional.vertex_variation(vertices, 2, "frame") for _ in range(10)],
        "MRSV1": lambda: functional.shape_variation(betas, 1),
        "MRSV2": lambda: functional.shape_variation(betas, 2),
    }
    for name, run in measures.items():
        seconds = _best(run, 2)
        what = "10 betas" if "RSV" in name else f"{body.num_vertices} vertices"
        rows.append((f"{name}, {what}", f"{count / seconds:,.0f}", "", ""))
        figures[f"{_key(name)}_frames_per_cpu_s"] = count / seconds


def _registered_metrics(body: torch.nn.Module, rng: np.random.Generator, rows: list, figures: dict) -> None:
    """The metrics as run in a test, posing the bodies from theta and beta, with their additional memory."""
    metrics = {
        "JointError": JointError(),
        "KeypointAccuracy": KeypointAccuracy(),
        "VertexError": VertexError(body),
        "TemporalVariation": TemporalVariation(body),
    }
    memory = {}
    for name, metric in metrics.items():
        metric.process(None, [_sample(rng, 0)])  # allocates the permanent buffers
        metric.results.clear()
        before = _resident()
        start = time.process_time()
        peak = quarter = 0
        for number in range(FRAMES // SAMPLE):
            metric.process(None, [_sample(rng, number)])
            peak = max(peak, _resident() - before)
            quarter = peak if number < FRAMES // SAMPLE // 4 else quarter
        metric.compute_metrics(metric.results)
        seconds = time.process_time() - start
        peak = max(peak, _resident() - before)
        memory[name] = (quarter, peak)
        what = f" from theta and beta, {body.num_vertices} vertices" if hasattr(metric, "body") else ""
        rows.append((f"{name}{what}: {_megabytes(peak)} more memory ({_megabytes(quarter)} after a quarter)",
                     f"{FRAMES / seconds:,.0f}", "", ""))  # fmt: skip
        figures[f"{_key(name)}_frames_per_cpu_s"] = FRAMES / seconds
        figures[f"{_key(name)}_memory_mb"] = peak / 2**20
    whole = FRAMES * body.num_vertices * 3 * 4 / 2**20
    figures["memory_over_vertices_of_one_side"] = max(peak for _, peak in memory.values()) / 2**20 / whole
    print(f"The vertices of {FRAMES} frames would take {whole:.0f} MB per side in float32")


def _sample(rng: np.random.Generator, number: int) -> dict:
    """A sample with its prediction, without images."""
    poses = torch.from_numpy(rng.normal(scale=0.2, size=(SAMPLE, 24, 3))).float()
    joints = torch.from_numpy(rng.normal(scale=0.4, size=(SAMPLE, 44, 3))).float()
    betas = torch.from_numpy(rng.normal(size=(SAMPLE, 10))).float()
    return {
        "sequence": f"test/clip__{number:02d}/east",
        "frame_indices": np.arange(SAMPLE),
        "keypoints3d": torch.cat([joints, torch.ones(SAMPLE, 44, 1)], 2),
        "pred_keypoints3d": joints + 0.1 * torch.randn(SAMPLE, 44, 3),
        "smpl_rotmat": axis_angle_to_matrix(poses),
        "pred_rotmat": axis_angle_to_matrix(poses + 0.1),
        "betas": betas,
        "pred_betas": betas + 0.1,
    }


def _best(run: Callable, repeats: int = 5) -> float:
    """Minimum CPU seconds over repeated runs."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        spent.append(time.process_time() - start)
    return max(min(spent), 1e-9)


def _resident() -> int:
    """Resident memory of this process [bytes]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.0f} MB"


def _key(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_").replace("(", "").replace(")", "")
