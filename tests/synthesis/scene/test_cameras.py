"""The paper's four cameras."""

import numpy as np
import pytest

from mviper.errors import ConfigError
from mviper.synthesis.scene import CompassCameras


@pytest.fixture
def joints() -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = rng.uniform([-0.4, -0.4, -0.9], [0.4, 0.4, 0.8], size=(30, 3))
    shape[0] = 0
    path = np.linspace([1.0, 2.0, 0.9], [2.5, 1.0, 1.0], 40)
    return path[:, None] + shape


def test_intrinsics_are_the_papers(joints) -> None:
    for camera in CompassCameras()(joints):
        np.testing.assert_allclose(camera.K, [[1406.25, 0, 124.5], [0, 1406.25, 124.5], [0, 0, 1]])


def test_places_and_turns(joints) -> None:
    mean = joints[:, 0].mean(0)
    for camera in CompassCameras()(joints):
        eye = -np.einsum("tji,tj->ti", camera.R, camera.t)
        np.testing.assert_allclose(eye - eye[0], 0, atol=1e-9)  # it stands still
        side = {"east": [1, 0, 0], "west": [-1, 0, 0], "south": [0, -1, 0], "north": [0, 1, 0]}[camera.name]
        away = eye[0] - mean
        np.testing.assert_allclose(away / np.linalg.norm(away), side, atol=1e-9)
        # The pelvis is in the middle of every frame, and the camera is upright: world up is up in the picture.
        np.testing.assert_allclose(camera.project(joints[:, :1]), 124.5, atol=1e-6)
        assert (camera.R[:, 1, 2] < -0.99).all() and np.allclose(np.linalg.det(camera.R), 1)


@pytest.mark.parametrize("follow", ["turn", "translate"])
def test_least_distance_with_margin(joints, follow: str) -> None:
    for camera in CompassCameras(follow=follow)(joints):
        off_centre = np.abs(camera.project(joints) - 124.5).max()
        assert off_centre == pytest.approx(0.42 * 250, abs=1e-3)


def test_a_standing_person_is_seen_from_about_13_metres() -> None:
    person = np.array([[[0, 0, 0.95], [0, 0, 1.8], [0, 0, 0.0], [0.3, 0, 0.8]]])
    for camera in CompassCameras()(person):
        assert 11 < np.linalg.norm(camera.t[0]) < 14


def test_follow_translate_never_turns(joints) -> None:
    for camera in CompassCameras(follow="translate")(joints):
        np.testing.assert_array_equal(camera.R, camera.R[:1].repeat(len(joints), 0))
        np.testing.assert_allclose(camera.project(joints[:, :1]), 124.5, atol=1e-6)


@pytest.mark.parametrize("bad", [dict(views=("up",)), dict(follow="run"), dict(resolution=251), dict(margin=0.6)])
def test_bad_values(bad: dict) -> None:
    with pytest.raises(ConfigError):
        CompassCameras(**bad)
