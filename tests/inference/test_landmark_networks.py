"""Networks that read the tracker's landmarks: as they would see them in pictures, the same in both time directions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

pytest.importorskip("mediapipe")

from mviper.body import FITTED, LANDMARKS, SMPL
from mviper.datasets.crop import crop_frame
from mviper.datasets.transforms import CropClip
from mviper.inference import live, network
from mviper.inference.frames import open_frames
from mviper.inference.network import reads_landmarks, walk_landmarks
from mviper.inference.people import PoseDetector, Track
from mviper.models.parameters import mirrored_phi, split_phi
from mviper.registry import MODELS
from mviper.structures import mirror_indices

FRAMES = 5


def built(**options):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="VideoBodyModelEstimator",
            backbone=dict(type="BlazePoseEncoder", maps="landmarks", features="landmarks", frozen_stages=7),
            neck=dict(type="AttentionLSTM", hidden=32, attention_hidden=8, residual=True),
            head=dict(type="IEFHead", hidden=64, dropout=0.0), body_model=dict(type="SMPL"),
            **options,
        )
    ).eval()  # fmt: skip
    for parameter in (model.head.out.weight, model.neck.output.weight):  # so that phi depends on landmarks and time
        torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.fixture(scope="module")
def model():
    return built()


def seen(model, tracks, squares):
    """The vectors that the model got."""
    caught, walk = [], model.walk
    model.walk = lambda clips, memory: caught.append(clips) or walk(clips, memory)
    try:
        walk_landmarks(model, tracks, squares)
    finally:
        del model.walk
    return [clip.maps[0] for clip in caught]


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    landmarks = np.concatenate([rng.uniform(40, 200, (FRAMES, 33, 2)), rng.uniform(0.5, 1, (FRAMES, 33, 1))], -1)
    return landmarks.astype(np.float32), rng.normal(0, 0.3, (FRAMES, 33, 3)).astype(np.float32)


def test_time_reversed_is_the_result_reversed(model):
    landmarks, world = drawn()
    square = np.tile([120.0, 120.0, 220.0], (FRAMES, 1)), np.linspace(0, 0.3, FRAMES)
    forwards = walk_landmarks(model, [Track(1, 0, landmarks, world)], {1: square})[1]
    flipped = square[0][::-1].copy(), square[1][::-1].copy()
    backwards = walk_landmarks(model, [Track(1, 0, landmarks[::-1].copy(), world[::-1].copy())], {1: flipped})[1]
    torch.testing.assert_close(forwards.flip(0), backwards, atol=1e-5, rtol=1e-5)
    assert forwards.shape == (FRAMES, 157) and (forwards[0] - forwards[-1]).abs().max() > 1e-3


def test_of_the_mirror_image_is_the_result_mirrored(model):
    landmarks, world = drawn()
    square = np.tile([120.0, 120.0, 220.0], (FRAMES, 1)), np.linspace(0, 0.3, FRAMES)
    phi = walk_landmarks(model, [Track(1, 0, landmarks, world)], {1: square})[1]
    other = landmarks[:, mirror_indices(LANDMARKS)].copy()
    other[..., 0] = 240 - other[..., 0]
    mirrored = walk_landmarks(model, [Track(1, 0, other, world)], {1: (square[0], -square[1])})[1]
    before, after = (split_phi(each) for each in (mirrored_phi(phi), mirrored))
    for one, same in zip(before, after):
        torch.testing.assert_close(one, same, atol=1e-4, rtol=1e-4)
    body = SMPL()  # mirrored pose and shape: joints mirrored
    rotmat, betas, _ = split_phi(phi)
    joints, others = (body(betas * 0, each, return_vertices=False).joints for each in (rotmat, after.rotmat))
    joints, others = joints - joints[:, :1], others - others[:, :1]
    expected = joints[:, mirror_indices()] * torch.tensor([-1.0, 1, 1])
    assert (others - expected).norm(dim=-1).max() < 0.02  # the mean body is nearly symmetric


def test_frames_without_a_detection_are_between_their_neighbours_and_unseen(model):
    landmarks, world = drawn()
    landmarks[2], world[2] = np.nan, np.nan
    square = np.tile([120.0, 120.0, 220.0], (FRAMES, 1)), np.zeros(FRAMES)
    (vectors,) = seen(model, [Track(1, 0, landmarks, world)], {1: square})
    torch.testing.assert_close(vectors[2, :, :2], (vectors[1, :, :2] + vectors[3, :, :2]) / 2)
    assert (vectors[2, :, 2] == 0).all() and (vectors[[0, 1, 3, 4], :, 2] >= 0.5).all()
    assert walk_landmarks(model, [Track(1, 0, landmarks, world)], {1: square})[1].isfinite().all()


def test_the_two_views_that_every_frame_has_count_alike(model):
    (landmarks, world), (others, _) = drawn(), drawn(1)
    views = np.stack([others, np.full_like(others, np.nan)])
    square = np.tile([120.0, 120.0, 220.0], (FRAMES, 1)), np.zeros(FRAMES)
    views[0, 1] = np.nan  # the mirror image did not show the person: the picture counts for it
    both = walk_landmarks(model, [Track(1, 0, landmarks, world, views=views)], {1: square})[1]
    each = [walk_landmarks(model, [Track(1, 0, one, world)], {1: square})[1]
            for one in (landmarks, np.where(np.isfinite(views[0]), views[0], landmarks))]  # fmt: skip
    torch.testing.assert_close(both, (each[0] + each[1]) / 2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("context", [None, dict(type="WindowMLP", window=3, hidden=32, blocks=1)])
def test_long_videos_are_walked_in_parts_without_a_seam(context, monkeypatch):
    model = built(context=context)
    landmarks, world = drawn()
    square = np.tile([120.0, 120.0, 220.0], (FRAMES, 1)), np.zeros(FRAMES)
    whole, in_parts = [], []
    for found, size in ((whole, FRAMES), (in_parts, 2)):
        monkeypatch.setattr(network, "_WALKED", size)
        found.append(walk_landmarks(model, [Track(1, 0, landmarks, world)], {1: square})[1])
    torch.testing.assert_close(in_parts[0], whole[0], atol=1e-5, rtol=1e-5)


def test_they_are_what_the_encoder_finds_in_the_crop(model, repository):
    image = next(iter(open_frames(repository / "mviper" / "app" / "example.mp4"))).image
    poses = PoseDetector(1, follow=False)(image)
    track = Track(1, 0, poses[0].points[None], poses[0].world[None])
    squares = {1: track.squares(30.0, None, "torso")}
    (vectors,) = seen(model, [track], squares)
    crop = crop_frame(image, squares[1][0][0], 256, squares[1][1][0])
    with torch.no_grad():
        found = model.backbone(torch.from_numpy(crop).permute(2, 0, 1)[None] / 255.0)[1][0]
    body = [FITTED.index(LANDMARKS.index(f"{side}_{name}")) for side in ("left", "right")
            for name in ("shoulder", "elbow", "hip", "knee")]  # fmt: skip
    apart = (found[body, :2] - vectors[0, body, :2]).norm(dim=-1)
    assert apart.median() < 0.05  # of half a crop: another crop of the same person, the same network


def test_live_it_gets_the_detectors_landmarks(model, repository, monkeypatch):
    monkeypatch.setattr(live, "crop_frame", None)  # nothing is cut for the encoder
    caught, walk = [], model.walk
    monkeypatch.setattr(model, "walk", lambda clips, memory: caught.append(clips) or walk(clips, memory))
    frames = itertools.islice(open_frames(repository / "mviper" / "app" / "example.mp4"), 3)
    people = [found[0] for _, found in live.recover_live(frames, model, CropClip(256, alignment="torso"), max_people=1)]
    assert len(people) == len(caught) == 3
    for person, clip in zip(people, caught):
        points, (x, y, side) = person.pose.points[FITTED], person.box
        upright = clip.maps[0, 0, :, :2].norm(dim=-1).numpy() * side / 2  # a crop's rotation keeps distances
        np.testing.assert_allclose(upright, np.linalg.norm(points[:, :2] - [x, y], axis=-1), rtol=1e-3, atol=0.5)
        assert person.rotmat.shape == (24, 3, 3)


def test_only_landmark_encoders_read_them(model):
    assert reads_landmarks(model)
    other = dict(type="ResNetEncoder", depth=18)
    picture = dict(type="ImageBodyModelEstimator", backbone=other, head=dict(type="IEFHead", hidden=8),
                   body_model=dict(type="SMPL"))  # fmt: skip
    assert not reads_landmarks(MODELS.build(picture)) and not reads_landmarks(None)
