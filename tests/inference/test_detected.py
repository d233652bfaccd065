"""The cached detection transform: MediaPipe's joints in the crops, and SMPLify on them."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.datasets.transforms import CropClip
from mviper.errors import ConfigError
from mviper.inference.detected import DetectKeypoints
from mviper.structures import KEYPOINTS

SHOULDERS = [KEYPOINTS.index(f"{side}_shoulder") for side in ("left", "right")]


@pytest.fixture(scope="module")
def clip(dancer) -> dict:
    """Crops of three frames of a real person, one of them repeated, with an empty frame between them."""
    nobody = np.zeros_like(dancer[0])
    box = np.tile([[150.0, 40, 1], [420.0, 560, 1]], (5, 1, 1))  # two corners stand for the joints
    return dict(
        frames=[dancer[0], dancer[8], dancer[8], nobody, dancer[16]], video_path="dance.mp4",
        frame_indices=np.arange(5), keypoints2d=box, keypoints2d_valid=np.ones((5, 2), bool),
    )  # fmt: skip


def test_a_real_person_is_found_in_crop_units_and_found_again_in_the_cache(clip, tmp_path, monkeypatch) -> None:
    results = DetectKeypoints(tmp_path)(CropClip(256)(dict(clip)))
    found = results["detected_keypoints2d"]
    assert found.shape == (5, len(KEYPOINTS), 3) and found.dtype == np.float32 and np.isfinite(found).all()
    assert not found[3].any() and (found[2] == found[1]).all() and (found[4] != found[1]).any()
    seen = found[[0, 1, 4]]
    assert (seen[:, SHOULDERS, 2] > 0.8).all() and (np.abs(seen[seen[..., 2] > 0.5][:, :2]) < 1.1).all()
    assert (seen[:, SHOULDERS[0], 0] > seen[:, SHOULDERS[1], 0]).all()  # she faces the camera
    ankles = [KEYPOINTS.index(f"{side}_ankle") for side in ("left", "right")]
    assert (seen[:, ankles, 1].min(1) > seen[:, SHOULDERS, 1].max(1) + 0.25).all()
    # The same joints, detected in the whole image.
    crop = results["crop"][0]
    pixels = crop[:2] + seen[0, SHOULDERS, :2] * crop[2] / 2
    from mviper.body.landmarks import to_keypoints
    from mviper.inference import PoseDetector

    (pose,) = PoseDetector(1, follow=False)(clip["frames"][0])
    assert np.abs(pixels - to_keypoints(pose.points)[SHOULDERS, :2]).max() < 0.03 * crop[2]

    (stored,) = tmp_path.rglob("*.npz")
    monkeypatch.setattr(DetectKeypoints, "_detect", None)  # not detected again
    again = DetectKeypoints(tmp_path)(CropClip(256)(dict(clip)))
    np.testing.assert_array_equal(again["detected_keypoints2d"], found)
    assert stored.stat().st_size < 20_000


def test_it_stands_after_the_crop(clip) -> None:
    with pytest.raises(ConfigError, match="after CropClip"):
        DetectKeypoints()(dict(clip))
