"""tools/compare_cloth.py at the smallest size: one sequence painted and simulated, and what both have in common."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest

from mviper.files import load_npz
from mviper.graphics import read_video
from mviper.synthesis.simulation import QualityLimits

pytest.importorskip("bpy")

#: Small and quick; how good the cloth is does not matter here.
OPTIONS = [
    "max_frames=4", "min_seconds=0.1", "lead_in.frames=8", "lead_in.still=2", "betas.scale=0.5", "renderer.samples=1",
    "outfit.0.edge_length=0.04", "outfit.1.edge_length=0.04", "simulator.drape_frames=4", "simulator.solver_steps=[5]",
    "cameras.resolution=96", "renderer.denoise=False",
    *(f"simulator.limits.{limit.name}=1000" for limit in fields(QualityLimits) if limit.name != "seams_closed"),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(repository, run_tool, tmp_path_factory):
    out = tmp_path_factory.mktemp("compare")
    config = repository / "configs/synthesis/deepmimic.py"
    options = ("--clip", "walk", "--out", out, "--pictures", 3, "--cfg-options", *OPTIONS)
    done = run_tool("compare_cloth.py", config, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout


def test_video_and_picture_show_both(made) -> None:
    out, said = made
    import cv2

    video, strip = out / "walk__00_south.mp4", out / "walk__00_south.png"
    assert str(video) in said and str(strip) in said and "Next:" in said
    frames = read_video(video)
    assert frames.shape == (4, 96, 2 * 96 + 6, 3)
    left, right = frames[:, :, :96].astype(int), frames[:, :, -96:].astype(int)
    different = np.abs(left - right)[:, 20:]  # below the labels
    assert different[:, :, :15].mean() < 10 < 40 < different.max()  # the same scene (and noise) with other cloth
    picture = cv2.imread(str(strip))
    assert picture.shape[0] > 480 and picture.shape[1] > 200


def test_only_the_cloth_differs(made) -> None:
    out, said = made
    folders = [out / label / "train" / "walk__00" for label in ("painted", "simulated")]
    painted, simulated = (json.loads((folder / "manifest.json").read_text()) for folder in folders)
    assert painted["config"]["simulator"] == {"type": "PaintedCloth"}
    for key in ("betas", "garments", "scene", "frames", "seed", "views"):
        assert painted[key] == simulated[key], key
    for name in ("motion.npz", "south.npz"):
        one, other = (load_npz(folder / name) for folder in folders)
        same = set(one) - {"visibility", "config", "meta"}
        for key in same:
            if one[key].dtype != object:
                np.testing.assert_array_equal(one[key], other[key], err_msg=key)
    assert set(painted["quality"]) == {"trousers", "t_shirt"}
    # Cheap: the cloth follows the body in milliseconds.
    print(said)
    assert painted["timings"]["cloth_paint"] / (painted["frames"] + 8) < 0.05
    assert painted["timings"]["simulate"] < simulated["timings"]["simulate"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["configs/synthesis/painted.py"], ["nothing to compare", "PaintedCloth"]),
        (["configs/synthesis/deepmimic.py", "--clip", "wlak"], ["no such clip", "walk"]),
        (["configs/synthesis/deepmimic.py", "--view", "up"], ["expected views among", "up"]),
    ],
)
def test_bad_input_is_one_clear_error(run_tool, tmp_path, arguments, words) -> None:
    done = run_tool("compare_cloth.py", *arguments, "--out", tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert not list(tmp_path.iterdir())
