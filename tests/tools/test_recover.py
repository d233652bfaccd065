"""tools/recover.py on good and bad input."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("mediapipe")

from mviper.datasets import HumanDataset
from mviper.errors import FileFormatError
from mviper.graphics.video import read_video, write_video
from mviper.structures import Motion
from mviper.structures.human_data import HumanData

#: Height of the bar below an overlay of one person [px].
BAR = 54


def test_good_and_bad_inputs_in_one_call(repository, shared_data, tmp_path):
    """In a separate process, to catch MediaPipe's output."""
    frames = read_video(shared_data / "videos" / "tfjs_pose_1.mp4", 10)
    write_video(tmp_path / "a b" / "one frame.mp4", frames[:1], 30)
    write_video(tmp_path / "odd.mp4", frames[:6, :575, 1:576], 30)
    write_video(tmp_path / "black.mp4", np.zeros((4, 64, 64, 3), np.uint8), 30)
    (tmp_path / "text.mp4").write_text("no video")
    large = np.full((2, 2160, 3840, 3), 90, np.uint8)
    large[:, 200:1928, 1000:2728] = frames[:2].repeat(3, 1).repeat(3, 2)
    write_video(tmp_path / "4k.mp4", large, 30, preset="veryfast")
    (tmp_path / "pictures").mkdir()
    for path in (tmp_path / "a b" / "odd.jpg", tmp_path / "pictures" / "1.png", tmp_path / "pictures" / "2.png"):
        cv2.imwrite(str(path), frames[2, ..., ::-1])
    out = tmp_path / "out put"
    inputs = ("black.mp4", "a b/one frame.mp4", "text.mp4", "odd.mp4", "a b/odd.jpg", "pictures", "4k.mp4")
    command = [sys.executable, "tools/recover.py", *(tmp_path / name for name in inputs), "webcam:front"]
    command += ["--out", out, "--export", "amass", "human_data", "bvh", "--no-tta"]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert result.returncode == 1
    assert "3 of 8 inputs had problems" in result.stderr and "expected webcam:NUMBER" in result.stderr
    assert "black.mp4: no person found in 4 frames" in result.stderr and "--box" in result.stderr
    assert "text.mp4: not a readable video" in result.stderr
    assert "Traceback" not in result.stderr
    assert not any(word in result.stderr for word in ("W0000", "I0000", "absl", "XNNPACK"))  # MediaPipe prints nothing
    assert read_video(out / "one frame" / "overlay.mp4").shape[:2] == (1, 576 + BAR)
    assert len(Motion.load(out / "odd" / "odd.npz")) == 6
    assert (out / "odd" / "odd.bvh").is_file() and (out / "odd" / "odd_human_data.npz").is_file()
    overlay = read_video(out / "odd" / "overlay.mp4")
    assert len(overlay) == 6 and overlay.shape[2] > 576
    assert cv2.imread(str(out / "odd_2" / "overlay.png")).shape == (
        576 + BAR,
        576 + 432,
        3,
    )  # another kind of input: a photo
    assert len(Motion.load(out / "odd_2" / "odd.npz")) == 1
    assert len(read_video(out / "pictures" / "overlay.mp4")) == len(Motion.load(out / "pictures" / "pictures.npz")) == 2
    assert read_video(out / "4k" / "overlay.mp4").shape == (2, 720 + BAR, 1280 + 540, 3)
    small, big = (HumanData.load(out / name / f"{name}_human_data.npz") for name in ("pictures", "4k"))
    assert np.abs(small.keypoints2d[0, :24, :2] * 3 + [1001, 201] - big.keypoints2d[0, :24, :2]).mean() < 30
    data_set = HumanDataset(str(out / "odd"), "odd_human_data.npz", str(tmp_path), clip_length=None)  # docs/recover.md
    assert len(data_set) == 6 and data_set[5]["data_sample"].has_smpl and data_set[5]["inputs"].float().std() > 10


def test_a_list_is_walked_and_resumed(repository, shared_data, tmp_path, monkeypatch, capsys):
    """UCF101's list: a good video, one without people, an invalid one; then only changed inputs are processed."""
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    tool = importlib.import_module("recover")
    frames = read_video(shared_data / "videos" / "tfjs_pose_1.mp4", 3)
    write_video(tmp_path / "set" / "a" / "v_dance_g01_c01.avi.mp4", frames, 30)
    write_video(tmp_path / "set" / "b" / "empty.mp4", np.zeros((3, 64, 64, 3), np.uint8), 30)
    (tmp_path / "set" / "b" / "text.avi").write_text("no video")
    names = ["a/v_dance_g01_c01.avi.mp4", "b/empty.mp4", "b/text.avi"]
    (tmp_path / "set" / "videos.json").write_text(json.dumps([{"video": name, "action": "x"} for name in names]))
    assert tool.listed([str(tmp_path / "set" / "videos.json")]) == [str(tmp_path / "set" / name) for name in names]
    assert tool.listed([str(tmp_path / "set")]) == [
        str(tmp_path / "set" / name) for name in names
    ]  # searched recursively

    def run(*options: str) -> tuple[int, str]:
        out = ["--out", str(tmp_path / "out"), "--no-tta", "--no-refine", "--no-video", "--resume"]
        monkeypatch.setattr(sys, "argv", ["recover.py", str(tmp_path / "set" / "videos.json"), *out, *options])
        return tool.main(), capsys.readouterr().out

    code, said = run()
    assert code == 1 and "1 of 3: " in said and "before" not in said
    record = json.loads((tmp_path / "out" / "v_dance_g01_c01.avi" / "recovery.json").read_text())
    assert record["problems"] == [] and record["people"][0]["frames_seen"] == 3
    code, said = run()
    assert code == 0 and said == "3 of 3 inputs were done before (--resume)\n"
    write_video(tmp_path / "set" / "b" / "empty.mp4", frames[:2], 30)  # it is another video now
    code, said = run()
    assert code == 0 and "2 of 3 inputs were done before" in said and "found in 2" in said
    code, said = run("--smooth", "savgol")  # other settings
    assert code == 1 and "before" not in said


@pytest.mark.parametrize("content", ["{", "{}", "[]", "[1]", '[{"file": "a.mp4"}]'])
def test_a_list_that_is_none_is_refused(repository, tmp_path, monkeypatch, content):
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    (tmp_path / "list.json").write_text(content)
    with pytest.raises(FileFormatError, match=r"list\.json.*(not JSON|not a list of videos)"):
        importlib.import_module("recover").listed([str(tmp_path / "list.json")])


def test_where_nothing_can_be_written_it_says_so_first(run_tool, tmp_path):
    (tmp_path / "file").touch()
    result = run_tool("recover.py", "none.mp4", "--out", tmp_path / "file" / "out")
    assert result.returncode == 1
    assert "cannot be written to" in result.stderr and "Traceback" not in result.stderr


def test_two_results_stand_side_by_side(repository, shared_data, tmp_path, monkeypatch):
    """``--versus``, here with two recoverers that need no weights."""
    from mviper.inference import MeshRecoverer

    write_video(tmp_path / "dance.mp4", read_video(shared_data / "videos" / "tfjs_pose_1.mp4", 2), 30)
    rivals = ["--versus", "configs/demo/frame.py", "frame.pth", "--no-video", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    monkeypatch.setattr(sys, "argv", ["recover.py", str(tmp_path / "dance.mp4"), *rivals])
    tool = importlib.import_module("recover")
    recoverer = MeshRecoverer(refine=False)
    source, folder = str(tmp_path / "dance.mp4"), tmp_path / "dance"
    assert tool.recover(recoverer, source, folder, tool.parse_arguments(), recoverer) == []
    comparison = read_video(folder / "comparison.mp4")
    assert len(comparison) == 2 and comparison.shape[2] > 4 * 432  # twice the frame and the side view
    assert (folder / "comparison.png").is_file()

    # If the second recoverer finds nobody, the first result is kept.
    rival = MeshRecoverer(refine=False, confidence=1.0)
    (problem,) = tool.recover(recoverer, source, tmp_path / "alone", tool.parse_arguments(), rival)
    assert "no person found" in problem and [path.name for path in (tmp_path / "alone").iterdir()] == ["dance.npz"]


def test_every_input_has_a_folder_of_its_own(repository, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    inputs = ["a/dance.mp4", "dance_2.mov", "b/dance.mp4", "dance.jpg", "webcam:0"]
    names = importlib.import_module("recover").folder_names(inputs)
    assert names == ["dance", "dance_2", "dance_3", "dance_4", "webcam_0"]
