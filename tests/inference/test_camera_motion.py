"""A rotating camera, simulated by warping a real video with H = K' R K^-1, which is exact for rotations."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mviper.graphics.video import read_video
from mviper.inference.camera_motion import Background, estimate_focal, measure_motion
from mviper.inference.optics import Optics, optics_of

WIDTH, HEIGHT, FOCAL = 640, 480, 700.0


@pytest.fixture(scope="module")
def street(shared_data) -> np.ndarray:
    """Frames of a static camera: a street with a moving man."""
    return read_video(shared_data / "videos" / "sports2d_demo.mp4", 40)


def turned(street, angles):
    """Images of a camera rotated by angles about x, y, z [degrees], shape (T, 3), and its rotations."""
    centred = [np.array([[f, 0, (w - 1) / 2], [0, f, (h - 1) / 2], [0, 0, 1]])
               for f, w, h in ((1100.0, 1768, 994), (FOCAL, WIDTH, HEIGHT))]  # fmt: skip
    turns = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    for image, turn in zip(street, turns):
        view = centred[1] @ turn @ np.linalg.inv(centred[0])
        yield cv2.warpPerspective(image, view, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT), turn @ turns[0].T


def followed(street, angles, cuts=()):
    background, true = Background(), []
    for number, (image, turn) in enumerate(turned(street, angles)):
        if number in cuts:
            background.cut()
        background.step(image, [])
        true.append(turn)
    return background, np.array(true)


def test_a_pan_is_measured_and_tells_the_focal_length(street):
    time = np.linspace(0, 1, 40)
    background, true = followed(street, np.stack([2 * time, 12 * time, 0 * time], 1))
    guess = optics_of({}, WIDTH, HEIGHT)
    optics = estimate_focal(background, (), WIDTH, HEIGHT, guess)
    assert optics.focal == pytest.approx(FOCAL, rel=0.08) and optics.spread < guess.spread / 3
    motion = measure_motion(background, (), WIDTH, HEIGHT, FOCAL)
    error = np.rad2deg(Rotation.from_matrix(motion.rotation @ true.transpose(0, 2, 1)).magnitude())
    assert error.max() < 0.2 and motion.known.all() and not motion.still.any()
    given = Optics(FOCAL, 0.0, "given")
    assert estimate_focal(background, (), WIDTH, HEIGHT, given) == given


def test_a_jerk_does_not_lose_the_camera():
    """Steps of 5 degrees, 60 px, from a standstill: further than features are looked for."""
    rng = np.random.default_rng(0)
    wall = cv2.GaussianBlur(rng.integers(0, 256, (994, 1768, 3), np.uint8), (0, 0), 6)
    wall = cv2.normalize(wall, None, 0, 255, cv2.NORM_MINMAX)
    angles = np.zeros((14, 3))
    angles[:, 1] = np.cumsum([0, 0, 0, 5, 5, 5, 0, 0, -5, -5, -5, -5, 0, 0])
    background, true = followed([wall] * len(angles), angles)
    motion = measure_motion(background, (), WIDTH, HEIGHT, FOCAL)
    error = np.rad2deg(Rotation.from_matrix(motion.rotation @ true.transpose(0, 2, 1)).magnitude())
    assert error.max() < 0.3 and motion.known.all()


def test_hands_that_shake_are_told_from_a_tripod(street):
    time = np.arange(40)[:, None] / 30
    shaken = 0.3 * np.sin(2 * np.pi * (time * [1.3, 0.9, 0.7] + [0.1, 0.4, 0.8]))
    background, true = followed(street, shaken)
    motion = measure_motion(background, (), WIDTH, HEIGHT, FOCAL)
    error = np.rad2deg(Rotation.from_matrix(motion.rotation @ true.transpose(0, 2, 1)).magnitude())
    assert error.max() < 0.1 and not motion.still.any()
    background, _ = followed(street, 0 * shaken)
    motion = measure_motion(background, (), WIDTH, HEIGHT, FOCAL)
    assert motion.still.all() and (motion.rotation == np.eye(3)).all()
    guess = optics_of({}, WIDTH, HEIGHT)
    assert estimate_focal(background, (), WIDTH, HEIGHT, guess) == guess


def test_each_shot_has_axes_of_its_own(street):
    angles = np.zeros((40, 3))
    angles[20:, 1] = np.linspace(10, 15, 20)
    background, true = followed(street, angles, cuts=[20])
    motion = measure_motion(background, [20], WIDTH, HEIGHT, FOCAL)
    assert motion.still[:20].all() and not motion.still[20:].any()
    wanted = true[20:] @ true[20].T
    error = Rotation.from_matrix(motion.rotation[20:] @ wanted.transpose(0, 2, 1)).magnitude()
    assert np.rad2deg(error).max() < 0.1


def test_people_do_not_turn_the_camera(street):
    """Only a person's box moves in the image: with the box masked, the camera is static."""
    background = Background()
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.integers(0, 256, (300, 300, 3), np.uint8), (5, 5), 0)
    for number in range(12):
        image = np.ascontiguousarray(street[0, :600, :800])
        image[200:500, 20 * number : 20 * number + 300] = noise
        person = np.array([[20 * number, 200, 1.0], [20 * number + 300, 500, 1.0]])
        background.step(image, [person])
    assert measure_motion(background, (), 800, 600, FOCAL).still.all()


def test_a_wall_without_features_says_nothing():
    background = Background()
    for _ in range(4):
        background.step(np.full((120, 160, 3), 90, np.uint8), [])
    motion = measure_motion(background, (), 160, 120, 150.0)
    assert motion.known.tolist() == [True, False, False, False] and (motion.rotation == np.eye(3)).all()
