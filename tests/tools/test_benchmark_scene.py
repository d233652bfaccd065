"""tools/benchmark.py scene on two frames: pieces cost what they should, and each can be switched."""

from __future__ import annotations

import argparse
import copy
import sys

import pytest

from mviper.config import load_config
from mviper.synthesis import complete_config

pytest.importorskip("bpy")


def test_pieces_cost(repository, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    from benchmarks import scene

    small = {"max_frames": 2, "min_seconds": 0.05, "variants": 1, "cameras.resolution": 64}
    monkeypatch.setattr(scene, "OPTIONS", scene.OPTIONS | small)
    monkeypatch.setattr(scene, "RENDERERS", {"z-buffer": scene.RENDERERS["z-buffer"]})
    monkeypatch.setattr(scene, "WITHOUT", {"hair and beard": scene.WITHOUT["hair and beard"]})
    monkeypatch.setattr(scene, "ADDED", {"a second person": scene.ADDED["a second person"]})
    rows, figures, targets = scene.measure(argparse.Namespace(seed=0))
    assert [row[0] for row in rows] == ["piece", "everything", "hair and beard", "a second person"] and not targets
    without, whole, two = (
        figures[f"z_buffer_{name}_cpu_ms"] for name in ("hair_and_beard", "everything", "a_second_person")
    )
    assert 0 < without < whole < two


def test_every_piece_is_a_setting(repository, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    from benchmarks import scene

    for change in (scene.WITHOUT | scene.ADDED).values():
        options = copy.deepcopy(scene.OPTIONS | change)
        complete_config(load_config("configs/synthesis/painted.py", options).to_dict())
