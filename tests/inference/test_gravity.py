"""Up from bodies, steps and lines in the image; resting feet."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from mviper.inference import open_frames
from mviper.inference.contacts import FEET, anchors, find_contacts, resting_places
from mviper.inference.gravity import LEVEL, estimate_gravity, line_segments, measured_up, plumb, steep_lines
from mviper.inference.ground import level_rotation


def off(gravity, up: np.ndarray) -> float:
    """[degrees]"""
    return float(np.degrees(np.arccos(np.clip(gravity.up @ up, -1, 1))))


@pytest.fixture(scope="module")
def standing(body) -> np.ndarray:
    """A swaying person in front of a level camera [m], (60, 44, 3)."""
    rest = body(torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3)).joints[0].numpy() @ np.diag([1.0, -1.0, -1.0])
    sway = Rotation.from_rotvec(np.random.default_rng(0).normal(0, 0.08, (60, 3))).as_matrix()
    return np.einsum("tij,nj->tni", sway, rest) + np.array([0, 0, 4])


def test_people_who_stand_turn_up_from_level(standing):
    camera = Rotation.from_euler("zx", [7, 22], degrees=True).as_matrix()
    level = estimate_gravity([], 15)
    found = estimate_gravity([standing @ camera.T], 15)
    assert off(found, camera @ LEVEL) < 8 < off(level, camera @ LEVEL)
    assert found.uncertainty < level.uncertainty and level.uncertainty > np.deg2rad(10)
    rotation = level_rotation(found.up)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotation @ found.up, [0, 0, 1], atol=1e-12)


def test_who_lies_or_leaps_for_a_moment_does_not_turn_it(standing):
    lying = standing.copy()
    lying[:20] = (lying[:20] - [0, 0, 4]) @ Rotation.from_euler("z", 85, degrees=True).as_matrix() + [0, 0, 4]
    assert off(estimate_gravity([lying], 15), estimate_gravity([standing], 15).up) < 3


def test_steps_on_one_floor_tell_the_pitch(standing):
    camera = Rotation.from_euler("zx", [-4, 28], degrees=True).as_matrix()
    rng = np.random.default_rng(1)
    floor = np.stack([rng.uniform(-1.5, 1.5, 8), np.full(8, 1.3), rng.uniform(3, 7, 8)], 1)
    steps = (floor * rng.normal(1, 0.02, (8, 1))) @ camera.T
    found = estimate_gravity([standing @ camera.T], 15, [steps])
    assert off(found, camera @ LEVEL) < 4 and found.evidence["floor"] > 3


def test_steps_on_one_spot_tell_nothing_of_the_pitch(standing):
    """Even many of them: they are not flatter seen from a low camera."""
    rng = np.random.default_rng(2)
    spot = (np.array([0, 1.4, 4.0]) + rng.normal(0, 0.05, (20, 3)) * [1, 0, 1]) * rng.normal(1, 0.03, (20, 1))
    without, found = estimate_gravity([standing], 15), estimate_gravity([standing], 15, [spot])
    assert off(found, without.up) < 4 and abs(found.evidence["floor"]) < 2


def test_vertical_lines_tell_roll_and_pitch():
    camera, focal, width, height = Rotation.from_euler("zx", [6, 18], degrees=True).as_matrix(), 500.0, 640, 480
    picture = np.full((height, width, 3), 230, np.uint8)
    for x in np.linspace(-3, 3, 13):
        ends = np.array([[x, -3, 6], [x, 3, 6]]) @ camera.T
        pixels = ends[:, :2] / ends[:, 2:] * focal + [(width - 1) / 2, (height - 1) / 2]
        cv2.line(picture, *(tuple(int(v) for v in pixel.round()) for pixel in pixels), (60, 60, 60), 2, cv2.LINE_AA)
    lines = steep_lines(line_segments(picture), width, height, focal)
    found = estimate_gravity([], 15, lines=plumb([lines], [np.eye(3)], 0.0))
    assert len(lines) > 10 and off(found, camera @ LEVEL) < 2 and found.uncertainty < np.deg2rad(3)
    # With a guessed focal length that is off by half, the pitch is also wrong, and less certain.
    wide = steep_lines(line_segments(picture), width, height, 1.5 * focal)
    guessed = estimate_gravity([], 15, lines=plumb([wide], [np.eye(3)], 0.38))
    assert guessed.uncertainty > 2 * found.uncertainty
    assert off(guessed, camera @ LEVEL) < 2.5 * np.degrees(guessed.uncertainty)
    assert plumb([lines[:0]], [np.eye(3)], 0.0) is None
    assert not len(steep_lines(line_segments(picture), width, height, focal, [(320, 240, 1300)]))


def _apples_note(gravity: np.ndarray) -> bytes:
    """A maker note with one entry: three fractions, which follow the directory."""
    entry = struct.pack(">HHHLLL", 1, 8, 10, 3, 32, 0)
    values = [number for value in gravity for number in (round(value * 10_000), 10_000)]
    return b"Apple iOS\0\0\1MM" + entry + struct.pack(">6l", *values)


@pytest.mark.parametrize(("orientation", "quarters"), [(6, 0), (1, 1), (8, 2), (3, 3)])
def test_a_phones_photo_says_where_up_is(tmp_path, standing, orientation, quarters):
    """A camera that looks 20 degrees down and is rolled by 5; the phone is turned by quarters round its camera."""
    up = Rotation.from_euler("zx", [5, 20], degrees=True).as_matrix() @ LEVEL
    # Held upright, the phone has x to the picture's right, y up and z towards whoever looks at the screen.
    gravity = Rotation.from_euler("z", -90 * quarters, degrees=True).as_matrix() @ (-up * [1, -1, -1])
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x927C] = _apples_note(gravity)
    Image.new("RGB", (40, 30)).save(tmp_path / "phone.jpg", exif=exif)
    metadata = open_frames(tmp_path / "phone.jpg").metadata
    assert measured_up(metadata) == pytest.approx(up, abs=1e-3)
    found = estimate_gravity([standing[:1]], 15, measured=measured_up(metadata))
    assert off(found, up) < 1.5 < off(estimate_gravity([standing[:1]], 15), up) and found.uncertainty < np.deg2rad(3)
    assert measured_up({**metadata, "LensModel": "iPhone 12 front camera 2.71mm f/2.2"}) is None


def test_a_reading_that_is_no_gravity_is_ignored():
    note = _apples_note(np.array([0, -1, 0]))
    assert measured_up({"MakerNote": note}) is not None
    for other in (note[:20], note[:14] + b"\xff" * 40, b"Nikon" + note, _apples_note(np.array([0, -3, 0])), "text"):
        assert measured_up({"MakerNote": other}) is None
    assert measured_up({"MakerNote": note, "Orientation": 2}) is None and measured_up({}) is None


def test_feet_that_rest_are_found_and_put_on_one_floor(body):
    rest = body(torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3)).joints[0, FEET].numpy().astype(float)
    feet = np.repeat((rest * [1, -1, -1] + [0, 0, 4])[None], 40, 0)
    feet[15:25, :2] += [0, -0.2, 0]  # the left foot is lifted
    feet[25:, :2] += [0, 0, -0.5]  # and put down ahead
    feet[:, 2:] *= 1.03  # the other appears further away
    contacts = find_contacts(feet, LEVEL, 15.0)
    assert (
        contacts[3:12].all() and contacts[28:37].all() and not contacts[17:23, :2].any() and contacts[17:23, 2:].all()
    )
    assert len(resting_places(feet, contacts)) == 6
    clearance = rest[:, 1] - rest[:, 1].min()
    places, ground = anchors(feet, contacts, clearance, LEVEL)
    heights = (places @ LEVEL - clearance)[contacts]
    np.testing.assert_allclose(heights, ground, atol=0.012)
    assert np.abs(heights - ground).max() < 0.3 * np.abs((feet @ LEVEL - clearance)[contacts] - ground).max()
    leaning, _ = anchors(feet, contacts, clearance, LEVEL, uncertainty=0.2)  # then feet may seem to differ in height
    assert np.nanmax(np.abs(leaning - feet)) < 0.9 * np.nanmax(np.abs(places - feet))
    stairs, nothing = anchors(feet, contacts, clearance, None)
    assert nothing is None and np.nanmax(np.abs(stairs - feet)) < 0.3
    assert not find_contacts(feet + np.arange(40)[:, None, None] * [0.1, 0, 0], LEVEL, 15.0).any()


def test_a_hidden_foot_goes_on_resting_and_rests_where_it_was_seen(body):
    rest = body(torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3)).joints[0, FEET].numpy().astype(float)
    feet = np.repeat((rest * [1, -1, -1] + [0, 0, 4])[None], 40, 0)
    visibility = np.ones((40, 4))
    visibility[12:, :2] = 0.25  # the left foot is hidden, and what is detected of it jumps about
    feet[12:, :2] += np.random.default_rng(0).normal(0, 0.06, (28, 2, 3))
    seen, hidden = (find_contacts(feet, LEVEL, 15.0, 0.0, each) for each in (None, visibility))
    assert hidden.all() and seen[14:, :2].mean() < 0.5
    places = resting_places(feet, hidden, visibility)
    np.testing.assert_allclose(places, feet[0], atol=1e-6)


def test_a_foot_that_creeps_does_not_rest(body):
    rest = body(torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3)).joints[0, FEET].numpy().astype(float)
    feet = np.repeat((rest * [1, -1, -1] + [0, 0, 4])[None], 90, 0)
    feet[:30, :, 0] += np.linspace(-0.4, 0, 30)[:, None]  # at 0.4 m/s, then it stands
    contacts = find_contacts(feet, LEVEL, 30.0)
    assert contacts[30:].all() and not contacts[:18].any()
