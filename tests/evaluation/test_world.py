"""Motion in the world: EMDB 2's metrics compared with the field's reference code.

The stored figures are those of WHAM's ``lib/eval/eval_utils.py`` (github.com/yohanshin/WHAM, MIT, commit 2b54f77; its
alignments are SLAHMR's) on :func:`arrays`, in float32.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mviper.evaluation.world import foot_sliding, jitter, root_translation_error, world_figures, world_joint_errors

#: By seed and number of frames.
WHAM = {
    (0, 250): {"W-MPJPE_mm": 246.564, "WA-MPJPE_mm": 82.8690, "RTE_percent": 4.03096, "jitter_10m_s3": 404.3329,
               "foot_sliding_mm": 8.26878},
    (1, 101): {"W-MPJPE_mm": 137.590, "WA-MPJPE_mm": 51.3285, "RTE_percent": 3.11360, "jitter_10m_s3": 408.7450,
               "foot_sliding_mm": 8.27497},
    (2, 60): {"W-MPJPE_mm": 72.9371, "WA-MPJPE_mm": 36.0480, "RTE_percent": 2.75843, "jitter_10m_s3": 403.4277,
              "foot_sliding_mm": 8.34230},
}  # fmt: skip


def arrays(seed: int, frames: int) -> list[torch.Tensor]:
    """A walking person, and a copy that drifts, is rotated, scaled, shifted and jittery; the feet of both."""
    rng = np.random.default_rng(seed)
    skeleton = rng.normal(0, 0.3, (24, 3))
    walk = np.cumsum(np.array([0.02, 0, 0.01]) + rng.normal(0, 0.01, (frames, 3)), axis=0)
    target = skeleton + walk[:, None] + np.cumsum(rng.normal(0, 0.004, (frames, 24, 3)), axis=0)
    angle = 0.3 + 0.002 * np.arange(frames)
    cos, sin, zero, one = np.cos(angle), np.sin(angle), 0 * angle, 1 + 0 * angle
    turn = np.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], -1).reshape(-1, 3, 3)
    pred = 1.1 * np.einsum("tij,tnj->tni", turn, target) + [1.0, -0.5, 2.0] + rng.normal(0, 0.02, target.shape)
    feet = np.cumsum(rng.normal(0, 0.006, (frames, 4, 3)), axis=0)
    pred_feet = feet + np.cumsum(rng.normal(0, 0.003, feet.shape), axis=0)
    return [torch.from_numpy(values) for values in (pred, target, pred_feet, feet)]


@pytest.mark.parametrize(("seed", "frames"), WHAM)
def test_figures_are_those_of_the_fields_code(seed: int, frames: int) -> None:
    assert world_figures(*arrays(seed, frames), 30.0) == pytest.approx(WHAM[seed, frames], rel=1e-4)


def test_errors_that_alignment_removes_do_not_count() -> None:
    pred, target, *_ = arrays(3, 130)
    turn = torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).normal(size=(3, 3))))[0]
    moved = 1.3 * target @ (turn * turn.det().sign()).T + torch.tensor([3.0, 1.0, -2.0])
    assert max(float(error.max()) for error in world_joint_errors(moved, target)) < 1e-9
    rigid = (moved - moved[0, 0]) / 1.3
    assert float(root_translation_error(rigid[:, 0], target[:, 0]).max()) < 1e-9
    over_all, from_start = world_joint_errors(pred, target)
    assert float(from_start.mean()) > float(over_all.mean()) > 0  # the drift is large at the end


def test_by_hand() -> None:
    time = torch.arange(10, dtype=torch.float64)
    cubic = torch.stack([(time / 30) ** 3, 0 * time, 0 * time], -1)[:, None]
    assert jitter(cubic, 30.0) == pytest.approx(np.full(7, 0.6))  # the third derivative is 6 m/s^3
    stands, walks = torch.zeros(10, 1, 3), 0.02 * time[:, None, None].expand(10, 1, 3).clone()
    slides = torch.stack([0.003 * time, 0 * time, 0 * time], -1)[:, None]
    assert foot_sliding(slides, stands) == pytest.approx(np.full(9, 0.003)) and not len(foot_sliding(slides, walks))
    line = torch.stack([time, 0 * time, 0 * time], -1)
    aside = line + torch.tensor([[0.0, 0.1, 0.0]]) * (-1.0) ** time[:, None]
    assert float(root_translation_error(aside, line).mean()) == pytest.approx(
        0.1 / 9, rel=0.05
    )  # it is slightly rotated


def test_nothing_is_measured_over_a_gap() -> None:
    pred, target, pred_feet, feet = arrays(4, 40)
    numbers = torch.cat([torch.arange(20), torch.arange(50, 70)])
    whole = world_figures(pred, target, pred_feet, feet, 30.0)
    jumps = [values.clone() for values in (pred, target, pred_feet, feet)]
    for values in jumps:
        values[20:] += 5.0
    parted = world_figures(*jumps, 30.0, numbers)
    assert parted["jitter_10m_s3"] == pytest.approx(whole["jitter_10m_s3"], rel=0.1)
    assert world_figures(*jumps, 30.0)["jitter_10m_s3"] > 5 * whole["jitter_10m_s3"]
