"""Simulated landmarks: they lie where the annotated body has them, wrong by the measured errors alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mviper.body import FITTED, KEYPOINTS, LANDMARKS, SMPL, calibrated_points
from mviper.datasets import AnnotatedDataset
from mviper.errors import ConfigError, MissingDataError
from mviper.registry import DATASETS
from mviper.structures import Motion

ENCODER = dict(type="BlazePoseEncoder", maps="landmarks", features="landmarks", frozen_stages=7)


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    """Two motions: somebody who slowly bends, at 60 frames a second, and three frames of rest."""
    folder = tmp_path_factory.mktemp("motions")
    poses = np.zeros((200, 24, 3))
    poses[:, 0, 0] = np.pi / 2  # upright in the world
    poses[:, 1:] = 0.01 * np.arange(200)[:, None, None] * np.random.default_rng(0).normal(0, 0.3, (1, 23, 3))
    Motion(poses, np.zeros((200, 3)), np.zeros(10), 60.0, name="bend").save(folder / "bend.npz")
    Motion(poses[:3], np.zeros((3, 3)), np.zeros(10), 30.0, name="rest").save(folder / "rest.npz")
    return folder


def build(folder, **options):
    return DATASETS.build(
        dict(type="SimulatedLandmarks", data_root=str(folder), encoder=ENCODER, body_model=dict(type="SMPL"), **options)
    )


def item(dataset, seed):
    np.random.seed(seed)
    return dataset[0]


def test_without_errors_they_are_the_bodys_points(motions):
    dataset = build(motions, noise=(0.0, 0.0), mistakes=0.0, distance=(500.0, 500.0), clip_length=6)
    body = SMPL()
    points = calibrated_points(body)[0]
    for seed in range(5):
        found = item(dataset, seed)
        sample, vectors = found["data_sample"], found["inputs"].maps
        assert vectors.shape == (6, len(FITTED), 3)
        rotmat, betas = sample.smpl_rotmat, sample.betas
        joints = body(betas, rotmat, return_vertices=False).joints
        torch.testing.assert_close(sample.keypoints3d[..., :3], joints - joints[:, :1], atol=1e-5, rtol=0)
        # From afar the picture is the body from the front, scaled and shifted.
        flat = torch.cat([joints[..., :2], points.posed(betas, rotmat, torch.zeros(6, 3))[..., :2]], 1)
        seen = torch.cat([sample.keypoints2d[..., :2], vectors[..., :2]], 1)
        flat, seen = flat - flat.mean(1, keepdim=True), seen - seen.mean(1, keepdim=True)
        scale = (flat * seen).sum((1, 2)) / flat.square().sum((1, 2))
        torch.testing.assert_close(scale[:, None, None] * flat, seen, atol=0.01, rtol=0)


def test_the_torso_is_upright_in_the_crop(motions):
    dataset = build(motions, clip_length=2)
    for seed in range(10):
        points = item(dataset, seed)["data_sample"].keypoints2d[..., :2]
        hips, shoulders = (
            points[:, [KEYPOINTS.index(f"{side}_{name}") for side in ("left", "right")]].mean(1)
            for name in ("hip", "shoulder")
        )
        assert (hips.abs() < 0.3).all() and (shoulders[:, 1] < hips[:, 1]).all()


def test_errors_are_as_measured(motions):
    options = dict(mistakes=0.0, clip_length=16, distance=(500.0, 500.0))
    spread = calibrated_points(SMPL())[1].numpy()
    errors = []
    for seed in range(60):
        exact, noisy = (item(build_once(motions, noise=(noise, noise), **options), seed) for noise in (0.0, 1.0))
        joints = exact["data_sample"].keypoints3d[..., :2].numpy()
        scale = np.ptp(exact["data_sample"].keypoints2d[..., 1].numpy(), axis=1) / np.ptp(joints[..., 1], axis=1)
        errors.append((noisy["inputs"].maps - exact["inputs"].maps)[..., :2].numpy() / scale[:, None, None])
    found = np.sqrt(np.mean(np.square(errors), axis=(0, 1, 3)))
    np.testing.assert_allclose(found, spread, rtol=0.15)
    changing = errors - np.mean(errors, axis=1, keepdims=True)
    lasting, next_frame = 1 - np.mean(changing**2) / np.mean(np.square(errors)), changing[:, 1:] * changing[:, :-1]
    assert 0.1 < lasting < 0.35 and 0.2 < np.sum(next_frame) / np.sum(changing**2) < 0.65


def test_some_clips_have_larger_errors_than_others(motions):
    options = dict(mistakes=0.0, clip_length=16, distance=(500.0, 500.0))
    sizes = []
    for seed in range(30):
        exact, noisy = (item(build_once(motions, noise=noise, **options), seed) for noise in ((0.0, 0.0), (0.5, 4.0)))
        sizes.append((noisy["inputs"].maps - exact["inputs"].maps)[..., :2].square().mean().sqrt().item())
    assert max(sizes) > 3 * min(sizes)


_BUILT: dict = {}


def build_once(folder, **options):
    key = tuple(options.items())
    if key not in _BUILT:
        _BUILT[key] = build(folder, **options)
    return _BUILT[key]


def test_mistakes_exchange_hide_and_move_limbs(motions):
    options = dict(noise=(0.0, 0.0), clip_length=8)
    right, left = (FITTED.index(LANDMARKS.index(f"{side}_ankle")) for side in ("right", "left"))
    exchanged = hidden = 0
    for seed in range(40):
        vectors = item(build_once(motions, mistakes=1.0, **options), seed)["inputs"].maps
        hidden += bool((vectors[..., 2] < 0.8).any())
        joints = item(build_once(motions, mistakes=1.0, **options), seed)["data_sample"].keypoints2d
        ankles = joints[:, [KEYPOINTS.index(f"{side}_ankle") for side in ("right", "left")], :2]
        apart = (vectors[:, [right, left], :2] - ankles).norm(dim=-1).sum(1)
        swapped = (vectors[:, [left, right], :2] - ankles).norm(dim=-1).sum(1)
        exchanged += bool((swapped < 0.5 * apart).any())
    assert hidden > 20 and exchanged > 3


def test_a_margin_gives_features_of_the_frames_around_the_clip(motions):
    options = dict(noise=(0.0, 0.0), mistakes=0.0, rates=(30.0, 30.0), files=("bend.npz",))
    whole, inner = (
        item(build(motions, clip_length=10, **options), 1),
        item(build(motions, clip_length=6, margin=2, **options), 1),
    )
    torch.testing.assert_close(whole["inputs"].features, inner["inputs"].features)
    torch.testing.assert_close(whole["inputs"].maps[2:-2], inner["inputs"].maps)
    for name in ("smpl_rotmat", "betas", "keypoints2d", "keypoints3d"):
        torch.testing.assert_close(whole["data_sample"].get(name)[2:-2], inner["data_sample"].get(name))
    assert inner["data_sample"].frame_indices.tolist() == whole["data_sample"].frame_indices[2:-2].tolist()


def test_it_is_an_annotated_data_set(motions):
    dataset = build(motions, clip_length=4, length=7)
    assert isinstance(dataset, AnnotatedDataset) and len(dataset) == 7
    assert dataset.body_model == SMPL().body_model_id and dataset.metainfo["frames"] == 203
    assert len(next(dataset.annotation_samples()).smpl_rotmat) == 4
    first, again = item(dataset, 3), item(dataset, 3)
    torch.testing.assert_close(first["inputs"].features, again["inputs"].features)


def test_missing_data_are_named(tmp_path, motions):
    with pytest.raises(MissingDataError, match=r"no motions; make some: .*retarget.* configs/volume/painted\.py"):
        build(tmp_path)
    with pytest.raises(MissingDataError, match=r"retarget.* configs/demo/motions\.py --splits train"):
        build(tmp_path, synthesis_config="configs/demo/motions.py")
    with pytest.raises(ConfigError, match="features='landmarks'"):
        DATASETS.build(
            dict(
                type="SimulatedLandmarks", data_root=str(motions), body_model=dict(type="SMPL"),
                encoder=dict(type="BlazePoseEncoder", frozen_stages=7),
            )
        )  # fmt: skip
