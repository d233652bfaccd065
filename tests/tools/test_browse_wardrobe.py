"""tools/browse.py wardrobe: one coarse garment, on a body and flat."""

from __future__ import annotations

import importlib.util
import sys

import cv2
import numpy as np
import pytest

from mviper.errors import ConfigError
from mviper.graphics.video import read_video


@pytest.fixture
def browse(repository, monkeypatch):
    def run(*arguments):
        spec = importlib.util.spec_from_file_location("browse_tool", repository / "tools" / "browse.py")
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        monkeypatch.setattr(sys, "argv", ["browse.py", "wardrobe", *map(str, arguments)])
        tool.main()

    return run


def test_wardrobe_sheet(browse, tmp_path, capsys):
    options = ("--motion", "arms_down", "--frames", 4, "--edge-length", 0.04)
    browse("--garments", "TShirt", *options, "--video", "--out", tmp_path)
    assert "TShirt: accepted" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "wardrobe.png")).shape[1] > 6 * 256
    assert cv2.imread(str(tmp_path / "patterns.png")).std() > 10
    video = read_video(tmp_path / "wardrobe.mp4")
    assert video.shape == (4, 384, 384, 3) and np.abs(video[0] - video[2].astype(float)).mean() > 2  # it rotates
    with pytest.raises(ConfigError, match=r"there is no TShrt; known are CircleSkirt"):
        browse("--garments", "TShrt", "--out", tmp_path)
    with pytest.raises(ConfigError, match="no motion 'fly'; there are"):
        browse("--garments", "TShirt", "--motion", "fly", "--out", tmp_path)


def test_motions_of_a_config(repository, tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("browse_tool", repository / "tools" / "browse.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    config = tmp_path / "poses.py"
    config.write_text("source = dict(type='KeyPoseMotion', names=['squat'])\n")
    monkeypatch.setitem(sys.modules, "viser", None)
    monkeypatch.setattr(sys, "argv", ["browse.py", "motion", str(config), "--pictures", "3", "--out", str(tmp_path)])
    tool.main()
    assert "squat.png: 2.6 s, within all limits" in capsys.readouterr().out
    config.write_text("fps = 30\n")
    with pytest.raises(ConfigError, match=r"poses\.py: not a synthesis config"):
        tool.main()
