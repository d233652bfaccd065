"""The released network on held-out clips: errors on all and on hard ones, coherence against a frame model."""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import Result
from mviper.config import load_config
from mviper.engine import Evaluation, released_checkpoint, use_test_set
from mviper.shipped import NETWORK

#: Targets of docs/benchmarks.md.
TARGETS = {
    "pa_mpjpe_mm": ["<=", 85.0],
    "pa_mpjpe_hard_mm": ["<=", 100.0],
    "mpjpe_mm": ["<=", 125.0],
    "variation_by_truths": ["<=", 1.25],
    "acceleration_by_frame_models": ["<=", 0.7],
    "shape_variation_by_frame_models": ["<=", 0.5],
    "pa_mpjpe_by_frame_models": ["<=", 1.0],
    "shape_error_by_mean_betas": ["<=", 0.95],
}


def measure(arguments: argparse.Namespace) -> Result:
    """Tests the networks on the test set of ``configs/test_sets/volume.py``, or of ``--config``."""
    torch.set_num_threads(1)
    test_set = load_config(arguments.config or "configs/test_sets/volume.py")
    if arguments.data:
        test_set.test_dataloader.dataset.data_root = str(arguments.data[0])
    networks = {NETWORK: (f"{NETWORK}.py", released_checkpoint(NETWORK))}
    if arguments.network:
        networks["frame model"] = arguments.network
    found = {name: _evaluate(*network, test_set) for name, network in networks.items()}
    rows = [("model", "PA-MPJPE", "hard", "MPJPE", "acceleration", "MRVPV1 mean", "MRSV1", "PVE-T")]
    for name, evaluation in found.items():
        for row, figures in evaluation.rows.items():
            if row == "model" or (row in ("mean pose", "truth") and name == NETWORK):
                label = name if row == "model" else row
                rows.append((label, *_cells(figures, _hard(evaluation) if row == "model" else None)))
    for part in ("views", "actions"):
        for name, of_part in found[NETWORK].details["model"][part].items():
            rows.append((name, f"{of_part['PA-MPJPE_mm']:.1f}", "", f"{of_part['MPJPE_mm']:.3g}", "", "", "", ""))
    video, mean_pose, truth = (found[NETWORK].rows[row] for row in ("model", "mean pose", "truth"))
    figures = {
        "frames": float(sum(action["frames"] for action in found[NETWORK].details["model"]["actions"].values())),
        "pa_mpjpe_mm": video["PA-MPJPE_mm"],
        "pa_mpjpe_hard_mm": _hard(found[NETWORK]),
        "mpjpe_mm": video["MPJPE_mm"],
        "mean_pose_pa_mpjpe_mm": mean_pose["PA-MPJPE_mm"],
        "variation_by_truths": video["MRVPV1_mean_mm"] / truth["MRVPV1_mean_mm"],
        "shape_error_by_mean_betas": video["PVE-T_mm"] / mean_pose["PVE-T_mm"],
    }
    if "frame model" in found:
        frame = found["frame model"].rows["model"]
        figures |= {
            "frame_pa_mpjpe_mm": frame["PA-MPJPE_mm"],
            "frame_mpjpe_mm": frame["MPJPE_mm"],
            "acceleration_by_frame_models": video["acceleration_error_mm"] / frame["acceleration_error_mm"],
            "shape_variation_by_frame_models": video["MRSV1"] / frame["MRSV1"],
            "pa_mpjpe_by_frame_models": video["PA-MPJPE_mm"] / frame["PA-MPJPE_mm"],
        }
    targets = {name: limit for name, limit in TARGETS.items() if name in figures and not np.isnan(figures[name])}
    return rows, figures, targets


def _evaluate(config_name: str | Path, checkpoint: Path, test_set) -> Evaluation:
    config = load_config(config_name)
    use_test_set(config, test_set)
    with tempfile.TemporaryDirectory() as folder:
        config.work_dir = folder
        return Evaluation.run(config, checkpoint, worst=0)


def _hard(evaluation: Evaluation) -> float:
    """PA-MPJPE over the frames of the hard clips [mm]; NaN if there are none."""
    names = load_config("configs/volume/test.py").hard_test
    hard = re.compile("|".join(f"{re.escape(name)}(_[0-9])?" for name in names))
    actions = [action for name, action in evaluation.details["model"]["actions"].items() if hard.fullmatch(name)]
    weights = [action["frames"] for action in actions]
    return float(np.average([a["PA-MPJPE_mm"] for a in actions], weights=weights)) if actions else float("nan")


def _cells(figures: dict[str, float], hard: float | None) -> list[str]:
    names = ("MPJPE_mm", "acceleration_error_mm", "MRVPV1_mean_mm", "MRSV1", "PVE-T_mm")
    first = [f"{figures['PA-MPJPE_mm']:.1f}", "" if hard is None else f"{hard:.1f}"]
    return first + [f"{figures[name]:.3g}" if name in figures else "" for name in names]
