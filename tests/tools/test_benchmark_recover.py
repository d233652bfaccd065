"""tools/benchmark.py recover on a few frames: its stages, its long film, and a missing video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

pytest.importorskip("mediapipe")

from mviper.errors import MissingDataError
from mviper.graphics.video import read_video, write_video
from mviper.inference import MeshRecoverer, open_frames


def test_stages_and_long_film(repository, shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    from benchmarks import recover

    write_video(tmp_path / "video.mp4", read_video(shared_data / "videos/tfjs_pose_1.mp4", 4), 30)
    frames = list(recover.ToAndFro(open_frames(tmp_path / "video.mp4"), 6, 288))
    assert [frame.number for frame in frames] == list(range(6)) and frames[5].image.shape == (288, 288, 3)
    assert (frames[4].image == frames[2].image).all() and (frames[5].image == frames[1].image).all()
    assert (frames[4].image != frames[0].image).any()

    stages, rate, people = recover.stages_of(MeshRecoverer(refine=False), tmp_path / "video.mp4", tmp_path)
    assert people == 1 and rate > 0
    assert list(stages) == ["decode", "find people", "recover", "overlay", "encode video"]
    assert min(stages.values()) > 0
    with pytest.raises(MissingDataError, match="--data VIDEO"):
        recover.measure(argparse.Namespace(data=[Path("none.mp4")], seed=0))
