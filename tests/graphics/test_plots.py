"""Curves of training runs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.visualization import LocalVisBackend

from mviper.errors import FileFormatError
from mviper.graphics.plots import plot_curves, read_scalars


def log(work_dir: Path, stamp: str, records: list[dict]) -> Path:
    """Writes records like mmengine's own backend."""
    backend = LocalVisBackend(str(work_dir / stamp / "vis_data"))
    for record in records:
        backend.add_scalars({key: value for key, value in record.items() if key != "step"}, step=record["step"])
    return work_dir / stamp / "vis_data" / "scalars.json"


def train(step: int, loss: float) -> dict:
    return {"loss": loss, "loss_projection": loss / 2, "lr": 1e-4, "time": 0.5, "iter": step, "epoch": 1, "step": step}


def test_training_and_validation_are_told_apart(tmp_path):
    log(tmp_path, "20260101_000000", [train(10, 3.0), train(20, 2.0), {"MPJPE_mm": 300.0, "step": 20}, train(30, 1.5)])
    scalars = read_scalars(tmp_path)
    np.testing.assert_array_equal(scalars.train["loss"], [[10, 20, 30], [3.0, 2.0, 1.5]])
    np.testing.assert_array_equal(scalars.val["MPJPE_mm"], [[20], [300.0]])
    assert "iter" not in scalars.train and "loss" not in scalars.val


@pytest.mark.parametrize("step", [0, 1])
def test_validation_logged_by_epoch_stands_where_it_happened(tmp_path, step):
    log(tmp_path, "20260101_000000", [train(10, 3.0), {"MPJPE_mm": 300.0, "step": step}, train(20, 2.0)])
    np.testing.assert_array_equal(read_scalars(tmp_path).val["MPJPE_mm"], [[10], [300.0]])


def test_a_resumed_run_replaces_what_it_repeats(tmp_path):
    first = [train(10, 3.0), train(20, 2.0), {"MPJPE_mm": 300.0, "step": 20}, train(30, 9.0)]
    log(tmp_path, "20260101_000000", first)
    log(tmp_path, "20260102_000000", [train(30, 1.0), train(40, 0.5)])
    scalars = read_scalars(tmp_path)
    np.testing.assert_array_equal(scalars.train["loss"], [[10, 20, 30, 40], [3.0, 2.0, 1.0, 0.5]])
    assert len(scalars.val["MPJPE_mm"][0]) == 1


def test_a_cut_last_line_is_passed_over_and_a_bad_one_is_named(tmp_path):
    path = log(tmp_path, "20260101_000000", [train(10, 3.0)])
    path.write_text(path.read_text() + '{"loss": 2.')
    assert len(read_scalars(tmp_path).train["loss"][0]) == 1
    path.write_text("nonsense\n" + json.dumps(train(10, 3.0)) + "\n")
    with pytest.raises(FileFormatError, match=r"scalars\.json:1"):
        read_scalars(tmp_path)


def test_nothing_logged_is_no_error(tmp_path):
    assert not read_scalars(tmp_path).train


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_curves_are_drawn(tmp_path, theme):
    steps = np.arange(1, 200)
    plot_curves(
        tmp_path / "c.png", {"loss": (steps, 3 / steps)}, {"MPJPE_mm": (steps[::50], 300.0 - steps[::50])}, theme=theme
    )
    image = cv2.imread(str(tmp_path / "c.png"), cv2.IMREAD_UNCHANGED)
    assert image.shape[2] == 4 and 0.01 < (image[..., 3] > 0).mean() < 0.5  # lines on a transparent background
    plot_curves(tmp_path / "empty.png", {}, {}, theme=theme)
