"""tools/benchmark.py factory and scale on a few small frames: every target has its figure."""

from __future__ import annotations

import argparse
import sys

import pytest


@pytest.fixture
def benchmarks(repository, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    from benchmarks import factory, scale

    return factory, scale


def test_factory_and_scale(benchmarks, monkeypatch, repository) -> None:
    factory, scale = benchmarks
    monkeypatch.chdir(repository)
    small = scale.OPTIONS | {"cameras.resolution": 64}
    monkeypatch.setattr(factory, "OPTIONS", small | {"variants": 2})
    monkeypatch.setattr(factory, "BARE_ROUNDS", 1)
    arguments = argparse.Namespace(minutes=0.0, seed=0)
    rows, figures, targets = factory.measure(arguments)
    assert figures["sequences"] == 1 and figures["rendered_frames"] == 16 and targets.keys() <= figures.keys()
    assert figures["bare_cycles_cpu_s_per_frame"] > 0 < figures["all_cpu_s_per_rendered_frame"]
    assert [row[0] for row in rows[-2:]] == ["all", "bare Cycles"]

    monkeypatch.setattr(scale, "OPTIONS", small | {"outfit": [], "renderer.samples": 1})
    monkeypatch.setattr(scale, "SEQUENCES", 3)
    monkeypatch.setattr(scale, "WARM", 1)
    monkeypatch.setattr(scale, "SHARED", 2)
    _, figures, targets = scale.measure(arguments)
    assert figures["sequences"] == 3 and targets.keys() <= figures.keys()
    assert figures["cpu_s_per_sequence"] > 0
