"""tools/benchmark.py scene on two frames: each piece that it leaves out or adds is left out or added."""

from __future__ import annotations

import argparse
import copy
import sys

import pytest

from mviper.config import load_config
from mviper.synthesis import Factory, complete_config

pytest.importorskip("bpy")


def test_pieces_are_left_out_and_added(repository, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    from benchmarks import scene

    small = {"max_frames": 2, "min_seconds": 0.05, "variants": 1, "cameras.resolution": 64, "appearance.cuts": ["crew"]}
    monkeypatch.setattr(scene, "OPTIONS", scene.OPTIONS | small)
    monkeypatch.setattr(scene, "RENDERERS", {"z-buffer": scene.RENDERERS["z-buffer"]})
    monkeypatch.setattr(scene, "WITHOUT", {name: scene.WITHOUT[name] for name in ("hair and beard", "floor")})
    monkeypatch.setattr(scene, "ADDED", {"a second person": scene.ADDED["a second person"]})
    drawn, render = [], Factory.render

    def kept(self, folder, take, clock):
        drawn.append(take.scene)
        render(self, folder, take, clock)

    monkeypatch.setattr(Factory, "render", kept)
    rows, figures, targets = scene.measure(argparse.Namespace(seed=0))
    assert [row[0] for row in rows] == ["piece", "everything", *scene.WITHOUT, "a second person"]
    assert len(figures) == len(rows) - 1 and min(figures.values()) > 0 and not targets
    _, whole, bald, floating, two = drawn
    names = [mesh.mesh.name for mesh in whole.meshes]
    assert [mesh.mesh.name for mesh in bald.meshes] == [name for name in names if name != "hair"] != names
    assert whole.floor and not floating.floor
    assert {mesh.person for mesh in two.meshes} == {0, 1}


def test_every_piece_is_a_setting(repository, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    from benchmarks import scene

    for change in (scene.WITHOUT | scene.ADDED).values():
        options = copy.deepcopy(scene.OPTIONS | change)
        complete_config(load_config("configs/synthesis/painted.py", options).to_dict())
