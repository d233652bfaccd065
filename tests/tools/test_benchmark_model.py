"""tools/benchmark.py model on a few written frames: figures of the released network, and ratios to another."""

from __future__ import annotations

import argparse
import sys

import pytest

pytest.importorskip("mediapipe")

from mviper.engine import released_checkpoint
from mviper.shipped import NETWORK


def test_model(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), str(repository / "tests"), *sys.path])
    from benchmarks import model
    from sequence_files import write_sequences

    write_sequences(tmp_path, frames=4)
    arguments = argparse.Namespace(config=None, data=[tmp_path], network=None)
    rows, figures, targets = model.measure(arguments)
    assert [row[0] for row in rows] == ["model", NETWORK, "mean pose", "truth", "front", "wave"]
    assert figures["frames"] == 4 and 0 < figures["pa_mpjpe_mm"] < figures["mpjpe_mm"]
    assert set(targets) < set(figures) and "pa_mpjpe_hard_mm" not in targets  # no hard clip

    arguments.network = (f"{NETWORK}.py", released_checkpoint(NETWORK))
    rows, figures, targets = model.measure(arguments)
    assert [row[0] for row in rows] == ["model", NETWORK, "mean pose", "truth", "frame model", "front", "wave"]
    assert figures["pa_mpjpe_by_frame_models"] == figures["acceleration_by_frame_models"] == 1
