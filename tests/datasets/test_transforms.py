"""Augmentation changes pictures and annotation together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mviper.body.joints import KEYPOINTS, mirror_indices
from mviper.datasets import AugmentClip, CropClip, JitterClip, PackBodySample, SyntheticHumanVideo
from mviper.errors import ConfigError


def clip(root, *transforms, clip_length=6) -> dict:
    dataset = SyntheticHumanVideo(str(root), clip_length=clip_length)
    dataset.pipeline = [*transforms, PackBodySample()]
    return dataset[1]


class Fixed(AugmentClip):
    """An augmentation that draws what it is told."""

    def __init__(self, **drawn):
        self.drawn = {"rotation": 0.0, "scale": 1.0, "shift": np.zeros(2), "flip": False, **drawn}

    def __call__(self, results):
        results["augmentation"] = dict(self.drawn)
        return results


@pytest.mark.parametrize("rotation, flip", [(0.0, True), (0.5, False), (-0.9, True)])
def test_body_of_the_augmented_parameters_has_the_augmented_joints(sequences, body, rotation, flip):
    sample = clip(sequences, Fixed(rotation=rotation, flip=flip), CropClip(32))["data_sample"]
    plain = clip(sequences, CropClip(32))["data_sample"]
    with torch.no_grad():
        joints = body(sample.betas, sample.smpl_rotmat).joints
    joints = joints - joints[:, :1]
    # The open body is symmetric to within a few millimetres, which is what the mirror can be held to.
    torch.testing.assert_close(sample.keypoints3d[..., :3], joints, atol=5e-3 if flip else 1e-4, rtol=0)
    assert torch.allclose(torch.linalg.det(sample.smpl_rotmat), torch.ones(6, 24), atol=1e-5)
    if flip:
        assert (sample.keypoints2d[:, :, 2] == plain.keypoints2d[:, mirror_indices(), 2]).all()
    # The weak-perspective picture of the 3D joints fits the 2D ones as well as before augmentation.
    for item, limit in ((plain, 0.02), (sample, 0.02)):
        X, x = item.keypoints3d[..., :2], item.keypoints2d[..., :2]
        X, x = X - X.mean(1, keepdim=True), x - x.mean(1, keepdim=True)
        scale = (X * x).sum((1, 2)) / X.square().sum((1, 2))
        assert (x - scale[:, None, None] * X).abs().max() < limit


def test_all_annotation_moves_with_the_pixels(write_sequence, tmp_path):
    # Discs drawn at three joints, through the video codec, the crop and a fixed augmentation.
    dots = ("left_wrist", "right_ankle", "head")
    write_sequence(tmp_path, "dots", frames=8, seed=5, views=("east",), dots=dots)
    for drawn in ({}, {"rotation": 0.4, "flip": True, "scale": 1.1, "shift": np.array([0.05, -0.03])}):
        item = clip(tmp_path, Fixed(**drawn), CropClip(224), clip_length=4)
        flip = drawn.get("flip", False)
        for name in dots:
            partner = mirror_indices()[KEYPOINTS.index(name)] if flip else KEYPOINTS.index(name)
            for picture, keypoints in zip(item["inputs"].numpy(), item["data_sample"].keypoints2d.numpy()):
                u, v = ((keypoints[partner, :2] + 1) * 224 - 1) / 2
                y, x = np.mgrid[:224, :224]
                near = np.hypot(x - u, y - v) < 10
                weight = np.clip(picture.mean(0) - 60, 0, None) * near
                found = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
                np.testing.assert_allclose(found, [u, v], atol=0.1)


def test_scale_and_shift_move_the_box(sequences):
    plain = clip(sequences, CropClip(32))["data_sample"]
    moved = clip(sequences, Fixed(scale=1.25, shift=np.array([0.1, 0.0])), CropClip(32))["data_sample"]
    np.testing.assert_allclose(moved.crop[:, 2], 1.25 * plain.crop[:, 2])
    np.testing.assert_allclose(moved.crop[:, 0], plain.crop[:, 0] + 0.1 * plain.crop[:, 2])
    expected = (plain.keypoints2d[..., 0] - 0.2) / 1.25
    torch.testing.assert_close(moved.keypoints2d[..., 0], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(moved.smpl_rotmat, plain.smpl_rotmat, atol=0, rtol=0)


def test_joints_outside_the_crop_are_not_visible(sequences):
    sample = clip(sequences, Fixed(scale=0.5), CropClip(32))["data_sample"]
    outside = (sample.keypoints2d[..., :2].abs() > 1).any(-1)
    assert outside.any() and (sample.keypoints2d[..., 2][outside] == 0).all()


def test_jitter_is_the_same_for_all_frames_and_hides_joints(sequences):
    still = np.full((4, 32, 32, 3), (90, 120, 200), np.uint8)
    keypoints = np.dstack([np.random.default_rng(0).uniform(-1, 1, (4, 200, 2)), np.ones((4, 200))])
    results = {"frames": still, "keypoints2d": keypoints, "rng": np.random.default_rng(4)}
    out = JitterClip(hide=1.0, hide_size=(0.3, 0.4))(results)
    assert out["frames"].shape == still.shape and out["frames"].dtype == np.uint8
    for frame in out["frames"]:
        np.testing.assert_array_equal(frame, out["frames"][0])
    colours, counts = np.unique(out["frames"][0].reshape(-1, 3), axis=0, return_counts=True)
    assert len(colours) == 2
    share = counts.min() / counts.sum()
    assert abs((out["keypoints2d"][..., 2] == 0).mean() - share) < 0.05
    pixels = np.floor((keypoints[..., :2] + 1) * 16).astype(int).clip(0, 31)  # the pixel whose cell holds the joint
    hidden = (out["frames"][0][pixels[..., 1], pixels[..., 0]] == colours[counts.argmin()]).all(-1)
    np.testing.assert_array_equal(hidden, out["keypoints2d"][..., 2] == 0)


def test_jitter_without_strength_changes_nothing():
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    jitter = JitterClip(brightness=0, contrast=0, saturation=0, channel=0, hide=0)
    out = jitter({"frames": frames, "rng": np.random.default_rng(0)})
    np.testing.assert_array_equal(out["frames"], frames)


def test_order_of_the_pipeline_is_checked(sequences):
    with pytest.raises(ConfigError, match="before CropClip"):
        clip(sequences, CropClip(32), AugmentClip())
