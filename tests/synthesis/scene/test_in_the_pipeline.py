"""A sequence with a photo background, moving cameras and every pass: what is stored, and who reads it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mviper.config import load_config
from mviper.datasets import SyntheticHumanVideo
from mviper.errors import ConfigError
from mviper.files import load_npz
from mviper.motion.sources.smpl_files import SMPLMotion
from mviper.structures import Motion
from mviper.structures.human_data import HumanData
from mviper.structures.passes import PassFile
from mviper.synthesis import Factory, complete_config, list_jobs, pose_body

pytest.importorskip("bpy")

CONFIG = """
_base_ = ["{base}"]
source = dict(type="DeepMimicMotion", names=["walk"])
max_frames = 3
min_seconds = 0.1
outfit = []
appearance = dict(cuts=["long"])
cameras = dict(
    _delete_=True, type="MixedCameras",
    cameras=[dict(type="HandheldCameras", count=1, resolution=64), dict(type="WideAngleCameras", resolution=64)],
    weights=[1, 0],
)
background = dict(
    _delete_=True, type="MixedBackground",
    backgrounds=[dict(type="SphericalBackground"), dict(type="PhotoBackground", root="{photos}")], weights=[0, 1],
)
fabric = dict(
    _delete_=True, type="MixedFabric",
    fabrics=[dict(type="ProceduralFabric"), dict(type="PhotoFabric", root="{photos}", patterns=["*.png"])],
)
renderer = dict(samples=1, denoise=False, threads=1)
passes = ["segmentation", "depth", "normals", "flow", "garments", "vertices"]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, repository: Path) -> Path:
    """The sequence's folder."""
    root = tmp_path_factory.mktemp("scene")
    photo = np.random.default_rng(0).integers(0, 256, size=(40, 60, 3), dtype=np.uint8)
    (root / "photos").mkdir()
    cv2.imwrite(str(root / "photos" / "wall.png"), photo)
    path = root / "config.py"
    path.write_text(CONFIG.format(base=repository / "configs/synthesis/deepmimic.py", photos=root / "photos"))
    config = complete_config(load_config(path).to_dict())
    return Factory(config).make(list_jobs(config)[0], root / "data")


def test_the_folder_holds_what_was_asked_for(made: Path, body) -> None:
    manifest = json.loads((made / "manifest.json").read_text())
    assert {path.name for path in made.iterdir()} == {
        "manifest.json", "motion.npz", "garments.npz", "vertices.npz", "handheld_0.mp4", "handheld_0.npz",
        "handheld_0_passes.zip",
    }  # fmt: skip
    assert manifest["views"] == ["handheld_0"]
    assert manifest["passes"] == ["segmentation", "depth", "normals", "flow", "garments", "vertices"]
    assert manifest["scene"]["background"]["file"] == "wall.png" and manifest["scene"]["cameras"]["choice"] == 0
    vertices, keypoints = pose_body(body, Motion.load(made / "motion.npz"))
    assert np.abs(load_npz(made / "vertices.npz")["vertices"] - vertices).max() < 1e-6

    annotation = HumanData.load(made / "handheld_0.npz")
    stored = PassFile(made / "handheld_0_passes.zip")
    shoes = ["shoes"] * (manifest["scene"]["appearance"]["shoes"] is not None)  # some people are barefoot
    assert [*stored.labels] == ["background", "body", "hair", *shoes] and len(annotation) == stored.frames == 3
    camera = annotation.camera
    depths = camera.to_camera(keypoints)[..., 2]
    for frame in range(3):
        label, depth = stored.read("segmentation", frame), stored.read("depth", frame)
        left, top, width, height, _ = annotation.bbox_xywh[frame]
        rows, columns = np.nonzero(label)
        assert abs(columns.min() - left) <= 2.5 and abs(columns.max() - left - width) <= 2.5
        assert abs(rows.min() - top) <= 2.5 and abs(rows.max() - top - height) <= 2.5
        # Joints lie inside the body, behind the surface at their pixel.
        for x, y, z in zip(*annotation.keypoints2d[frame, :24, :2].T, depths[frame, :24]):
            seen = depth[round(float(y)), round(float(x))]
            assert seen < z + 0.05 or np.isinf(seen)
    # The person differs from the photo where the segmentation says so.
    assert 0.02 < (label > 0).mean() < 0.6 and set(np.unique(label)) <= {0, 1, 2, 3}


def test_data_sets_ignore_the_passes(made: Path) -> None:
    root = made.parents[1]
    dataset = SyntheticHumanVideo(str(root), made.parent.name, clip_length=2)
    assert len(dataset) >= 1 and dataset[0]["inputs"].shape[0] == 2 and not dataset.skipped
    assert {clip.name for clip in SMPLMotion(root).clips()} == {made.name, "handheld_0"}


def test_unknown_passes_stop_before_anything_is_made() -> None:
    with pytest.raises(ConfigError, match="passes is a list of segmentation"):
        complete_config(dict(source=dict(type="DeepMimicMotion"), passes=["depths"]))
