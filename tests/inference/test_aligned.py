"""A network on aligned crops: a rolled camera rotates the result and changes nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mviper.body.landmarks import LANDMARKS, to_keypoints
from mviper.datasets.crop import crop_squares
from mviper.datasets.transforms import CropClip
from mviper.inference.bodies import network_bodies
from mviper.inference.frames import Frame
from mviper.inference.live import _smooth_square
from mviper.inference.network import walk_tracks
from mviper.inference.people import Pose, Track
from mviper.models.fitting import Projection
from mviper.registry import MODELS

SIDE, FRAMES = 241, 4


@pytest.fixture(scope="module")
def person():
    """Landmarks (T, 33, 3) of a person who leans increasingly."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-60, 60, (33, 2))
    for name, place in (("left_hip", (10, 20)), ("right_hip", (-10, 20)), ("left_shoulder", (12, -30))):
        points[LANDMARKS.index(name)] = place
    points[LANDMARKS.index("right_shoulder")] = (-12, -30)
    leaning = [turned(points, 0.05 * frame) for frame in range(FRAMES)]
    return np.stack([np.column_stack([p + 120, np.ones(33)]) for p in leaning]).astype(np.float32)


def turned(points, angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, -sin], [sin, cos]]).T


def recovered(model, images, landmarks, crop):
    track = Track(1, 0, landmarks, np.zeros((FRAMES, 33, 3)))
    square = track.squares(30, crop.scale, crop.alignment)
    frames = [Frame(number, number / 30, image) for number, image in enumerate(images)]
    phi = walk_tracks(model, crop.size, frames, [track], {1: square}, 3)[1]
    return square, network_bodies(model, phi, square[0], Projection.of_picture(FRAMES, SIDE, SIDE), square[1])


def test_a_rolled_camera_rolls_what_is_recovered(person):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="ImageBodyModelEstimator", backbone=dict(type="ResNetEncoder", depth=18),
            head=dict(type="IEFHead", hidden=64, dropout=0.0), body_model=dict(type="SMPL"),
        )
    ).eval()  # fmt: skip
    torch.nn.init.normal_(model.head.out.weight, std=0.05)  # so that phi depends on the images
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)] * FRAMES
    # A quarter turn moves whole pixels: x (right) becomes y (down).
    rolled = [np.ascontiguousarray(np.rot90(image, -1)) for image in images]
    points = person.copy()
    points[..., 0], points[..., 1] = SIDE - 1 - person[..., 1], person[..., 0]
    roll = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    aligned, upright = CropClip(64, alignment="torso"), CropClip(64)
    square, bodies = recovered(model, images, person, aligned)
    other_square, other = recovered(model, rolled, points, aligned)
    np.testing.assert_allclose(square[1] - other_square[1], np.pi / 2, atol=1e-6)
    torch.testing.assert_close(other.rotmat[:, 0], roll @ bodies.rotmat[:, 0], atol=0.02, rtol=0)
    torch.testing.assert_close(other.rotmat[:, 1:], bodies.rotmat[:, 1:], atol=0.02, rtol=0)
    rest = model.body_model.rest_joints(bodies.betas[:1])[:, 0]
    torch.testing.assert_close(other.transl + rest, (bodies.transl + rest) @ roll.T, atol=0.05, rtol=0.02)
    # Upright crops give the network a different image.
    _, bodies = recovered(model, images, person, upright)
    _, other = recovered(model, rolled, points, upright)
    assert (other.rotmat[:, 0] - roll @ bodies.rotmat[:, 0]).abs().max() > 0.2


def test_live_squares_are_those_of_training(person):
    crop, filters = CropClip(64, alignment="torso"), {}
    wanted = crop_squares(to_keypoints(person), alignment="torso")
    for frame in range(FRAMES):
        seen = Pose(person[0], np.zeros((33, 3)))
        box, turn = _smooth_square(Frame(frame, frame / 30, None), seen, filters, 1, crop)
        np.testing.assert_allclose(box, wanted[0][0])
        assert turn == pytest.approx(wanted[1][0])
    box, turn = _smooth_square(Frame(9, 1.0, None), seen, {}, 1, CropClip(64))
    np.testing.assert_allclose(box, crop_squares(to_keypoints(person[:1]))[0][0])
    assert turn == 0
