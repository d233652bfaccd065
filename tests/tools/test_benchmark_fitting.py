"""tools/benchmark.py fitting on a few frames of clips held out from the pose prior."""

from __future__ import annotations

import argparse
import sys

import pytest

from mviper.errors import MissingDataError


def test_fitting(repository, shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    from benchmarks import fitting

    monkeypatch.setattr(fitting, "FRAMES", 6)
    monkeypatch.setattr(fitting, "ONE_BY_ONE", 1)
    rows, figures, targets = fitting.measure(argparse.Namespace(data=[shared_data / "mocap/deepmimic"], seed=0))
    assert [row[0] for row in rows[1:]] == ["spinkick"] and figures["frames"] == 6
    assert targets.keys() <= figures.keys() and figures["alone_2d_median_px"] < 5
    with pytest.raises(MissingDataError, match="none of the clips dance_b"):
        fitting.measure(argparse.Namespace(data=[shared_data / "mocap/asf_amc/07"], seed=0))
