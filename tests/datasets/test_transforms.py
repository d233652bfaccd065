"""Augmentation changes images and annotation consistently."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mviper.datasets import AugmentClip, CropClip, JitterClip, PackBodySample, SyntheticHumanVideo
from mviper.errors import ConfigError
from mviper.sample import turn_back, turn_sample_back
from mviper.structures.joints import KEYPOINTS, mirror_indices


def clip(root, *transforms, clip_length=6) -> dict:
    dataset = SyntheticHumanVideo(str(root), clip_length=clip_length)
    dataset.pipeline = [*transforms, PackBodySample()]
    return dataset[1]


class Fixed(AugmentClip):
    """An augmentation with fixed parameters."""

    def __init__(self, **drawn):
        self.drawn = {"rotation": 0.0, "scale": 1.0, "shift": np.zeros(2), "flip": False, **drawn}

    def __call__(self, results):
        results["augmentation"] = dict(self.drawn)
        return results


@pytest.mark.parametrize("alignment", [None, "torso"])
@pytest.mark.parametrize("rotation, flip", [(0.0, True), (0.5, False), (-0.9, True)])
def test_body_of_the_augmented_parameters_has_the_augmented_joints(sequences, body, rotation, flip, alignment):
    crop = CropClip(32, alignment=alignment)
    sample = clip(sequences, Fixed(rotation=rotation, flip=flip), crop)["data_sample"]
    plain = clip(sequences, crop)["data_sample"]
    with torch.no_grad():
        joints = body(sample.betas, sample.smpl_rotmat).joints
    joints = joints - joints[:, :1]
    # The open body is symmetric to a few millimetres, which limits the accuracy of mirroring.
    torch.testing.assert_close(sample.keypoints3d[..., :3], joints, atol=5e-3 if flip else 1e-4, rtol=0)
    assert torch.allclose(torch.linalg.det(sample.smpl_rotmat), torch.ones(6, 24), atol=1e-5)
    if flip:
        assert (sample.keypoints2d[:, :, 2] == plain.keypoints2d[:, mirror_indices(), 2]).all()
    # The weak-perspective projection of the 3D joints fits the 2D ones as well as before augmentation.
    for item, limit in ((plain, 0.02), (sample, 0.02)):
        X, x = item.keypoints3d[..., :2], item.keypoints2d[..., :2]
        X, x = X - X.mean(1, keepdim=True), x - x.mean(1, keepdim=True)
        scale = (X * x).sum((1, 2)) / X.square().sum((1, 2))
        assert (x - scale[:, None, None] * X).abs().max() < limit


@pytest.mark.parametrize("alignment", [None, "torso"])
def test_all_annotation_moves_with_the_pixels(write_sequence, tmp_path, alignment):
    # Discs drawn at three joints, through the video codec, the crop and a fixed augmentation.
    dots = ("left_wrist", "right_ankle", "head")
    write_sequence(tmp_path, "dots", frames=8, seed=5, views=("east",), dots=dots)
    for drawn in ({}, {"rotation": 0.4, "flip": True, "scale": 1.1, "shift": np.array([0.05, -0.03])}):
        item = clip(tmp_path, Fixed(**drawn), CropClip(224, alignment=alignment), clip_length=4)
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


@pytest.mark.parametrize("flip", [False, True])
def test_annotation_of_an_aligned_crop_is_turned_back(sequences, flip):
    """To an upright crop of the same centre and side; for predictions, only the camera's part."""
    aligned = clip(sequences, Fixed(flip=flip), CropClip(32, alignment="torso"))["data_sample"]
    upright = clip(sequences, Fixed(flip=flip), CropClip(32))["data_sample"]
    rotation = aligned.crop_rotation
    assert rotation.shape == (6,) and np.ptp(rotation) > 1e-4 and not upright.crop_rotation.any()
    turned, points = aligned.smpl_rotmat.clone(), aligned.keypoints2d[..., :2].clone()
    assert (turned[:, 0] - upright.smpl_rotmat[:, 0]).abs().max() > 0.01
    turn_sample_back(aligned)
    torch.testing.assert_close(aligned.smpl_rotmat, upright.smpl_rotmat, atol=1e-5, rtol=0)
    torch.testing.assert_close(aligned.keypoints3d, upright.keypoints3d, atol=1e-5, rtol=0)
    pixels = [
        sample.keypoints2d[..., :2]
        * torch.from_numpy(sample.crop[:, None, 2:])
        / 2
        * (1 - 2 * flip * torch.tensor([1, 0]))
        + torch.from_numpy(sample.crop[:, None, :2])
        for sample in (aligned, upright)
    ]
    torch.testing.assert_close(*pixels, atol=1e-3, rtol=0)
    np.testing.assert_array_equal(aligned.picture_rotation, -rotation if flip else rotation)
    again = aligned.smpl_rotmat.clone()
    turn_sample_back(aligned)  # only once
    assert torch.equal(aligned.smpl_rotmat, again)
    # Eq. 6 before and after: the projection in the rotated crop is rotated back as well.
    if not flip:
        X, camera = torch.randn(6, 3, 3), torch.randn(6, 3)
        shown = camera[:, None, :1] * X[..., :2] + camera[:, None, 1:]
        values = {"pred_camera": camera, "pred_keypoints3d": X, "keypoints2d": points, "pred_keypoints2d": shown}
        back = turn_back(values, torch.from_numpy(rotation))
        s, t = back["pred_camera"][:, None, :1], back["pred_camera"][:, None, 1:]
        torch.testing.assert_close(s * back["pred_keypoints3d"][..., :2] + t, back["pred_keypoints2d"])
        torch.testing.assert_close(back["keypoints2d"], aligned.keypoints2d[..., :2])


def test_a_video_that_is_turned_gives_the_same_aligned_sample(sequences, body):
    """The camera's roll is removed from image, joints and root."""
    plain = clip(sequences, CropClip(32, alignment="torso"))["data_sample"]
    rolled = clip(sequences, _Roll(0.7), CropClip(32, alignment="torso"))["data_sample"]
    assert np.abs(rolled.crop_rotation - plain.crop_rotation).max() == pytest.approx(0.7, abs=1e-6)
    for name in ("keypoints2d", "keypoints3d", "smpl_rotmat"):
        torch.testing.assert_close(rolled.get(name), plain.get(name), atol=1e-5, rtol=0)


class _Roll:
    """Rolls the camera: pixels rotate about its centre, points about its z axis."""

    def __init__(self, angle):
        cos, sin = np.cos(angle), np.sin(angle)
        self.turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])

    def __call__(self, results):
        results["keypoints2d"] = results["keypoints2d"].astype(float)
        results["keypoints2d"][..., :2] = (results["keypoints2d"][..., :2] - 124.5) @ self.turn[:2, :2].T + 124.5
        results["keypoints3d"] = results["keypoints3d"].copy()
        results["keypoints3d"][..., :3] = results["keypoints3d"][..., :3] @ self.turn.T
        results["smpl_rotmat"] = results["smpl_rotmat"].copy()
        results["smpl_rotmat"][:, 0] = self.turn @ results["smpl_rotmat"][:, 0]
        return results


def test_clips_that_cannot_be_aligned_are_passed_over(sequences):
    dataset = SyntheticHumanVideo(str(sequences), clip_length=4)
    dataset.pipeline = [CropClip(32, alignment="torso"), PackBodySample()]
    view = dataset.views[0]
    annotation = dataset._annotation(view)
    annotation.keypoints2d_valid[:, [KEYPOINTS.index(f"{side}_shoulder") for side in ("left", "right")]] = False
    annotation.keypoints2d_valid[:, [KEYPOINTS.index("neck"), KEYPOINTS.index("neck_extra")]] = False
    assert dataset[0]["data_sample"].sequence == dataset.views[1].name
    assert [sample.sequence for sample in dataset.annotation_samples()] == [v.name for v in dataset.views[1:]]
    assert any("hips and the shoulders" in reason for reason in dataset.skipped.values())
    with pytest.raises(ConfigError, match="alignment='face'"):
        CropClip(alignment="face")


def test_augmentation_can_be_switched_off(sequences):
    plain = clip(sequences, CropClip(32))
    off = clip(sequences, AugmentClip(enabled=False), CropClip(32), JitterClip(enabled=False))
    assert torch.equal(plain["inputs"], off["inputs"])
    for name in ("keypoints2d", "keypoints3d", "smpl_rotmat"):
        assert torch.equal(plain["data_sample"].get(name), off["data_sample"].get(name))
