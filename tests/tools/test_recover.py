"""tools/recover.py on good and bad input, in one process each: starting costs more than the work."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

pytest.importorskip("mediapipe")

from mviper.structures import Motion
from mviper.visualization.video import read_video, write_video


def test_good_and_bad_inputs_in_one_call(run_tool, shared_data, tmp_path):
    frames = read_video(shared_data / "videos" / "tfjs_pose_1.mp4", 10)
    write_video(tmp_path / "a b" / "one frame.mp4", frames[:1], 30)
    write_video(tmp_path / "odd.mp4", frames[:6, :575, 1:576], 30)
    write_video(tmp_path / "black.mp4", np.zeros((4, 64, 64, 3), np.uint8), 30)
    (tmp_path / "text.mp4").write_text("no video")
    out = tmp_path / "out put"
    result = run_tool(
        "recover.py", tmp_path / "black.mp4", tmp_path / "a b" / "one frame.mp4", tmp_path / "text.mp4",
        tmp_path / "odd.mp4", "--out", out, "--export", "amass", "human_data", "bvh", "--one-look",
    )  # fmt: skip
    assert result.returncode == 1
    assert "black.mp4: no person found in 4 frames" in result.stderr and "--box" in result.stderr
    assert "text.mp4: not a readable video" in result.stderr
    assert "Traceback" not in result.stderr
    assert not any(word in result.stderr for word in ("W0000", "I0000", "absl", "XNNPACK"))  # MediaPipe is silent
    assert read_video(out / "one frame" / "overlay.mp4").shape[:2] == (1, 576)
    assert len(Motion.load(out / "odd" / "odd.npz")) == 6
    assert (out / "odd" / "odd.bvh").is_file() and (out / "odd" / "odd_human_data.npz").is_file()
    overlay = read_video(out / "odd" / "overlay.mp4")
    assert len(overlay) == 6 and overlay.shape[2] > 576


def test_where_nothing_can_be_written_it_says_so_first(run_tool, tmp_path):
    (tmp_path / "file").touch()
    result = run_tool("recover.py", "none.mp4", "--out", tmp_path / "file" / "out")
    assert result.returncode == 1
    assert "cannot be written to" in result.stderr and "Traceback" not in result.stderr


def test_two_results_stand_side_by_side(repository, shared_data, tmp_path, monkeypatch):
    """``--versus``, here with a recoverer that needs no weights on both sides."""
    from mviper.inference import MeshRecoverer

    write_video(tmp_path / "dance.mp4", read_video(shared_data / "videos" / "tfjs_pose_1.mp4", 2), 30)
    rivals = ["--versus", "configs/demo/frame.py", "frame.pth", "--no-video", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    monkeypatch.setattr(sys, "argv", ["recover.py", str(tmp_path / "dance.mp4"), *rivals])
    tool = importlib.import_module("recover")
    recoverer = MeshRecoverer(refine=False)
    assert tool.recover(recoverer, str(tmp_path / "dance.mp4"), tool.parse_arguments(), recoverer) == []
    comparison = read_video(tmp_path / "dance" / "comparison.mp4")
    assert len(comparison) == 2 and comparison.shape[2] > 4 * 432  # twice the frame and the turned view
