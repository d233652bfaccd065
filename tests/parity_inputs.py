"""Inputs for comparing our metrics with MMHuman3D's: random ones, and body-shaped ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

#: The original MMHuman3D's figures for them; written by ``tests/interop/metrics_with_mmhuman3d.py --write``.
FIGURES = Path(__file__).parent / "evaluation" / "mmhuman3d_figures.json"


def parity_inputs() -> dict[str, dict[str, np.ndarray]]:
    """``pred`` and ``target`` (M, J, 3) [m] and ``valid`` (M, J), ``frames_valid`` (M,) by name of the case."""
    rng = np.random.default_rng(7)
    target = rng.normal(size=(300, 24, 3))
    cases = {"random": (target + 0.3 * rng.normal(size=target.shape), target)}

    # A body with human bone lengths that swings its limbs, 4 m away, and a prediction with rotated bones, another size,
    # a lean, and some frames that face the wrong way.
    from mviper.structures.joints import SMPL_PARENTS

    lengths = rng.uniform(0.08, 0.42, 24)
    rest = rng.normal(size=(24, 3))
    rest /= np.linalg.norm(rest, axis=1, keepdims=True)
    time = np.linspace(0, 6, 300)[:, None, None]
    swing = rest + 0.5 * np.sin(time * rng.uniform(0.5, 3, (24, 1)) + rng.uniform(0, 6, (24, 3)))

    def joints(bones: np.ndarray, scale: float) -> np.ndarray:
        bones = bones / np.linalg.norm(bones, axis=2, keepdims=True) * lengths[:, None] * scale
        placed = np.zeros_like(bones)
        for joint, parent in enumerate(SMPL_PARENTS):
            if parent >= 0:
                placed[:, joint] = placed[:, parent] + bones[:, joint]
        return placed

    pred = joints(swing + 0.15 * rng.normal(size=swing.shape), 1.07)
    pred[200:230] *= [-1, 1, -1]
    cases["body"] = (pred, joints(swing, 1.0))
    return {
        name: {
            "pred": pred,
            "target": target,
            "valid": rng.random(pred.shape[:2]) > 0.2,
            "frames_valid": rng.random(len(pred)) > 0.05,
        }
        for name, (pred, target) in cases.items()
    }


def our_figures(case: dict[str, np.ndarray]) -> dict[str, float | list[float]]:
    """Our figures for one case, in metres, under MMHuman3D's names."""
    from mviper.evaluation import functional

    pred, target, valid = (torch.from_numpy(case[name]) for name in ("pred", "target", "valid"))
    frames_valid = torch.from_numpy(case["frames_valid"])
    distances = functional.joint_distances(pred, target)
    # MMHuman3D fits the similarity to all joints and then averages the masked ones.
    pa_distances = functional.joint_distances(functional.similarity_align(pred, target), target)
    acceleration = functional.acceleration_error(pred, target, frames_valid[:, None].expand(valid.shape))
    return {
        "mpjpe": float(distances[valid].mean()),
        "pa_mpjpe": float(pa_distances[valid].mean()),
        "pa_mpjpe_of_frames": functional.pa_joint_error(pred, target)[::30].tolist(),
        "pve": float(functional.mpvpe(pred, target, "mean") / 1000),
        "acceleration": functional.acceleration_error(pred, target)[::30].tolist(),
        "acceleration_of_valid_frames": float(acceleration[~acceleration.isnan()].mean()),
        "pck": float(functional.pck(distances / 5, valid)),
        "auc": float(functional.auc(distances / 5, valid)),
        "pa_pck": float(functional.pck(pa_distances / 5, valid)),
    }


def mmhuman3d_figures(case: dict[str, np.ndarray], eval_utils) -> dict[str, float | list[float]]:
    """The same figures from the original MMHuman3D's ``core/evaluation/eval_utils.py``."""
    pred, target, valid = case["pred"], case["target"], case["valid"]
    every = np.ones_like(valid)
    return {
        "mpjpe": float(eval_utils.keypoint_mpjpe(pred, target, valid)),
        "pa_mpjpe": float(eval_utils.keypoint_mpjpe(pred, target, valid, "procrustes")),
        "pa_mpjpe_of_frames": [
            float(eval_utils.keypoint_mpjpe(pred[i : i + 1], target[i : i + 1], every[i : i + 1], "procrustes"))
            for i in range(0, len(pred), 30)
        ],
        "pve": float(eval_utils.vertice_pve(pred, target)),
        "acceleration": eval_utils.keypoint_accel_error(target, pred)[::30].tolist(),
        "acceleration_of_valid_frames": float(
            eval_utils.keypoint_accel_error(target, pred, case["frames_valid"]).mean()
        ),
        # Its thresholds are in mm; a fifth of the errors, so that both outcomes are common.
        "pck": float(eval_utils.keypoint_3d_pck(200 * pred, 200 * target, valid)) / 100,
        "auc": float(eval_utils.keypoint_3d_auc(200 * pred, 200 * target, valid)) / 100,
        "pa_pck": float(eval_utils.keypoint_3d_pck(200 * pred, 200 * target, valid, "procrustes")) / 100,
    }
