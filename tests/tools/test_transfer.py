"""tools/transfer.py from a real video to a rendered avatar; clothes are painted, which takes no time."""

from __future__ import annotations

import importlib
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("mediapipe")
pytest.importorskip("bpy")

from mviper.datasets.sequences import find_sequences
from mviper.errors import ConfigError, MissingDataError
from mviper.graphics.video import read_video, write_video
from mviper.structures import Motion


def test_a_video_becomes_an_avatar(run_tool, shared_data, tmp_path):
    write_video(tmp_path / "a dance.mp4", read_video(shared_data / "videos" / "tfjs_pose_1.mp4", 10), 30)
    result = run_tool(
        "transfer.py", tmp_path / "a dance.mp4", "--out", tmp_path / "out", "--start", 0.1,
        "--outfit", "shorts", "t-shirt", "--outfit", "dress", "--background", "forest", "night", "--no-refine",
        "--cfg-options", "simulator.type=PaintedCloth", "cameras.resolution=64", "renderer.samples=1",
        "lead_in.frames=6",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "out" / "a dance"
    assert len(Motion.load(folder / "motion" / "a dance.npz")) == 7  # without the first tenth of a second
    worn, places = [["shorts", "t_shirt"], ["dress"]], ["forest.exr", "night.exr"]
    for number, (garments, place) in enumerate(zip(worn, places), 1):
        (sequence,) = find_sequences(folder / f"avatar_{number}")
        assert [piece["name"] for piece in sequence.manifest["garments"]] == garments
        assert sequence.manifest["scene"]["background"]["file"] == place
        assert len(read_video(sequence.folder / "south.mp4")) == 7
    both, sheet = read_video(folder / "side_by_side.mp4"), cv2.imread(str(folder / "side_by_side.png"))
    assert len(both) == 7 and both.shape[1] == 576 and both.shape[2] > 3 * 570
    # Figure 10: the video and both avatars, six moments. A landscape's cells would be wider.
    assert sheet.shape == (3 * 360 + 4 * 6, 6 * 360 + 7 * 6, 3)
    assert np.abs(both[0, 100:, :570].astype(int) - both[-1, 100:, :570]).mean() > 1  # the video also moves


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--outfit", "trouser"], ConfigError, "did you mean Trousers"),
        (["--background", "forrest"], MissingDataError, "there is city.exr"),
        (["--background", __file__], MissingDataError, "neither a panorama"),
        (["--cfg-options", "cameras.view=north"], ConfigError, "did you mean views"),
        ([], MissingDataError, "no such file"),
    ],
)
def test_missing_inputs_are_reported_first(repository, monkeypatch, arguments, error, words):
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    monkeypatch.setattr(sys, "argv", ["transfer.py", "none.mp4", *arguments])
    tool = importlib.import_module("transfer")
    with pytest.raises(error, match=words):
        tool.main()
