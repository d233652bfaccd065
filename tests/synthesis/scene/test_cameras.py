"""The paper's four cameras, and those that circle, shake or come close."""

import numpy as np
import pytest

from mviper.errors import ConfigError
from mviper.synthesis.scene import (
    CompassCameras,
    HandheldCameras,
    MixedCameras,
    OrbitCameras,
    PhoneCameras,
    TripodCameras,
    WideAngleCameras,
)
from mviper.synthesis.scene.cameras import smooth_noise


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
        # The pelvis is in the middle of every frame, and the camera is upright: world up is up in the image.
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


def eyes(camera) -> np.ndarray:
    """Camera positions in each frame [m], shape (T, 3)."""
    return -np.einsum("tji,tj->ti", camera.R, camera.t)


@pytest.mark.parametrize("kind", [OrbitCameras, HandheldCameras, TripodCameras, WideAngleCameras])
def test_other_cameras_keep_everyone_in_the_picture_too(joints, kind) -> None:
    sampler = kind(count=3)
    drawn = sampler.draw(np.random.default_rng(4))
    cameras = sampler(joints, drawn)
    assert len(cameras) == 3 == len({camera.name for camera in cameras})
    for camera, again in zip(cameras, sampler(joints, drawn)):
        np.testing.assert_array_equal(camera.R, again.R)
        off_centre, nearest = np.abs(camera.project(joints) - 124.5).max(), camera.to_camera(joints)[..., 2].min()
        assert off_centre <= 0.42 * 250 + 1e-3 and nearest > 0.5 - 1e-6
        steepest = np.degrees(np.arcsin(np.abs(camera.R[:, 2, 2]).max()))
        assert steepest < 60.2
        assert off_centre > 0.42 * 250 - 1e-3 or nearest < 0.5 + 1e-6 or steepest > 60.1
        np.testing.assert_allclose(camera.R @ camera.R.transpose(0, 2, 1), np.tile(np.eye(3), (40, 1, 1)), atol=1e-12)
        assert np.allclose(np.linalg.det(camera.R), 1) and (camera.R[:, 1, 2] < -0.45).all()
        assert (eyes(camera)[:, 2] >= 0.299).all()


def test_orbits_turn_at_one_pace(joints) -> None:
    sampler = OrbitCameras(count=2, speed=(0.01, 0.01))
    drawn = sampler.draw(np.random.default_rng(0))
    for camera in sampler(joints, drawn):
        away = eyes(camera) - joints[:, 0].mean(0)
        steps = np.diff(np.unwrap(np.arctan2(away[:, 0], away[:, 1])))
        np.testing.assert_allclose(steps, drawn["speed"], atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(away, axis=1), np.linalg.norm(away[0]), atol=1e-9)
        np.testing.assert_allclose(camera.project(joints[:, :1]), 124.5, atol=1e-6)


def test_hands_sway_a_little_and_smoothly(joints) -> None:
    sampler = HandheldCameras(count=2)
    for camera in sampler(joints, sampler.draw(np.random.default_rng(0))):
        moved = eyes(camera) - eyes(camera).mean(0)
        assert 0.002 < moved.std() < 0.05 and np.abs(np.diff(moved, axis=0)).max() < 0.03
        roll = np.arcsin(camera.R[:, 0, 2])
        assert 0.001 < roll.std() < 0.03
        assert camera.project(joints[:, :1]).std(0).max() > 1  # the pelvis moves within the image


def test_phones_show_people_as_large_and_as_tilted_as_was_drawn(joints) -> None:
    sampler = PhoneCameras(count=1, shake=(1e-6, 1e-6), sway=(1e-6, 1e-6), walk=0.0, cut=0.0)
    for seed in range(12):
        drawn = sampler.draw(np.random.default_rng(seed))
        one = drawn["cameras"][0]
        one |= dict(aim=[0.0, 0.0], roll=0.0)
        upright = sampler(joints, drawn)[0]
        pixels = upright.project(joints)
        sides = pixels.max(1) - pixels.min(1)
        near = upright.to_camera(joints)[..., 2].min() < 0.5 + 1e-6
        assert sides.max() == pytest.approx(one["fill"] * 250, abs=1e-3) or near
        middle, eye = (joints.min(1) + joints.max(1)).mean(0) / 2, eyes(upright)[0]
        height = max(middle[2] + np.linalg.norm(eye - middle) * np.sin(one["elevation"]), 0.3)
        assert eye[2] == pytest.approx(height, abs=0.05) or near
        # Rolled, and with the person elsewhere in the image; nothing else changes.
        one |= dict(aim=[0.1, -0.2], roll=0.2)
        tilted = sampler(joints, drawn)[0]
        np.testing.assert_allclose(eyes(tilted), eyes(upright), atol=1e-6)
        # Along the direction of the shift, the former centre is at the requested position.
        centre = eyes(upright) + 3 * upright.R[:, 2]
        np.testing.assert_allclose(
            tilted.project(centre[:, None]), 124.5 + 250 * np.tile([0.1, -0.2], (40, 1, 1)), atol=0.1
        )
        below = tilted.project((centre + 0.01 * upright.R[:, 1])[:, None]) - tilted.project(centre[:, None])
        assert np.degrees(np.arctan2(-below[..., 0], below[..., 1])).mean() == pytest.approx(np.degrees(-0.2), abs=2.5)


def test_phones_are_mostly_level_and_seldom_cut_much_off(joints) -> None:
    sampler = PhoneCameras(count=4)
    draws = [one for seed in range(50) for one in sampler.draw(np.random.default_rng(seed))["cameras"]]
    elevation, roll, lens = (np.array([one[name] for one in draws]) for name in ("elevation", "roll", "lens"))
    assert -0.26 <= elevation.min() < -0.1 and 0.5 < elevation.max() <= 0.79 and np.median(np.abs(elevation)) < 0.15
    assert 0.15 < np.abs(roll).max() <= 0.26 and np.median(np.abs(roll)) < 0.06
    across = 2 * np.degrees(np.arctan(np.hypot(24, 36) / 2 / lens))  # a phone's diagonal
    assert across.max() <= 85.3 and across.min() >= 30.9 and 0.6 < (across > 60).mean() < 0.95
    lost = []
    for seed in range(12):
        for camera in sampler(joints, sampler.draw(np.random.default_rng(seed))):
            pixels = camera.project(joints)
            lost.append(((pixels < -0.5) | (pixels > 249.5)).any(-1).mean())
            assert camera.to_camera(joints)[..., 2].min() > 0.45 and (eyes(camera)[:, 2] > 0.299).all()
    lost = np.array(lost)
    assert 0.1 < (lost > 0).mean() < 0.6 and lost.max() < 0.6 and lost.mean() < 0.1


def test_wide_angles_stand_close(joints) -> None:
    sampler = WideAngleCameras()
    drawn = sampler.draw(np.random.default_rng(0))
    for camera in sampler(joints, drawn):
        np.testing.assert_allclose(eyes(camera), eyes(camera)[:1].repeat(len(joints), 0), atol=1e-9)
        assert np.linalg.norm(eyes(camera)[0] - joints[:, 0].mean(0)) < 4
        assert 2 * np.degrees(np.arctan(125 / camera.K[0, 0])) > 60


def test_noise_does_not_depend_on_the_clips_length() -> None:
    long, short = (smooth_noise(np.random.default_rng(1), frames, 3, 30.0) for frames in (3000, 50))
    np.testing.assert_array_equal(long[:50], short)
    np.testing.assert_allclose(long.std(0), 1, atol=0.15)


def test_mixed_cameras(joints) -> None:
    sampler = MixedCameras([dict(type="CompassCameras"), dict(type="OrbitCameras", count=1)], weights=[1, 3])
    draws = [sampler.draw(np.random.default_rng(seed)) for seed in range(40)]
    assert 3 <= sum(drawn["choice"] == 0 for drawn in draws) <= 20
    assert {len(sampler(joints, drawn)) for drawn in draws} == {1, 4}
    with pytest.raises(ConfigError, match="weight"):
        MixedCameras([dict(type="CompassCameras")], weights=[1, 2])
    with pytest.raises(ConfigError, match="mixture"):
        MixedCameras([dict(type="MixedCameras", cameras=[dict(type="CompassCameras")])])


@pytest.mark.parametrize("bad", [dict(count=0), dict(lens=(30.0, 20.0)), dict(resolution=31), dict(elevation=(0, 1.5))])
def test_bad_values_of_other_cameras(bad: dict) -> None:
    with pytest.raises(ConfigError):
        WideAngleCameras(**bad)
