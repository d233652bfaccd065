"""Slices and measurements of the surface."""

import numpy as np
import pytest

from mviper.body import SMPL
from mviper.body.surface import UP, BodyShape, slice_surface, tape_length
from mviper.errors import MviperError


@pytest.fixture(scope="module")
def body():
    return SMPL()


@pytest.fixture(scope="module")
def shape(body):
    return BodyShape.from_body(body, np.zeros(10))


def torus(big=1.0, small=0.3, count=120):
    a, b = np.meshgrid(np.arange(count), np.arange(count), indexing="ij")
    u, v = 2 * np.pi * a / count, 2 * np.pi * b / count
    vertices = np.stack(
        [(big + small * np.cos(v)) * np.cos(u), (big + small * np.cos(v)) * np.sin(u), small * np.sin(v)], -1
    )
    index = a * count + b
    right, up = np.roll(index, -1, 0), np.roll(index, -1, 1)
    both = np.roll(right, -1, 1)
    faces = np.concatenate(
        [np.stack([index, right, both], -1).reshape(-1, 3), np.stack([index, both, up], -1).reshape(-1, 3)]
    )
    return vertices.reshape(-1, 3), faces


def perimeter(loop):
    return np.linalg.norm(loop - np.roll(loop, 1, 0), axis=1).sum()


def test_slices_of_a_torus():
    vertices, faces = torus()
    across = slice_surface(vertices, faces, np.zeros(3) + 1e-4, np.array([0, 1.0, 0]))
    assert len(across) == 2
    for loop in across:
        assert perimeter(loop) == pytest.approx(2 * np.pi * 0.3, rel=2e-3)
    flat = slice_surface(vertices, faces, np.array([0, 0, 1e-4]), UP)
    assert sorted(perimeter(loop) for loop in flat) == pytest.approx([2 * np.pi * 0.7, 2 * np.pi * 1.3], rel=2e-3)
    assert slice_surface(vertices, faces, np.array([0, 0, 5.0]), UP) == []


def test_tape_spans_hollows():
    star = np.array([[1, 0, 0], [0.1, 0.1, 0], [0, 1, 0], [-0.1, 0.1, 0], [-1, 0, 0], [0, -1, 0]], float)
    assert tape_length(star, UP) == pytest.approx(4 * np.sqrt(2))
    assert perimeter(star) > tape_length(star, UP)


def test_world_axes(shape):
    assert shape.vertices[:, 2].min() == 0
    assert shape.joint("nose")[1] < shape.joint("head")[1], "facing south"
    assert shape.joint("left_wrist")[0] > 0.4


def test_measurements_are_a_persons(shape):
    m = shape.measurements()
    ranges = {
        "height": (1.6, 1.8), "inseam": (0.7, 0.9), "arm_length": (0.42, 0.6), "shoulder_width": (0.28, 0.42),
        "bust": (0.8, 1.1), "waist": (0.65, 0.95), "hip": (0.85, 1.1), "neck": (0.3, 0.42), "upper_arm": (0.22, 0.36),
        "wrist": (0.13, 0.2), "thigh": (0.45, 0.65), "ankle": (0.18, 0.28),
    }  # fmt: skip
    assert set(m) == set(ranges)
    for name, (low, high) in ranges.items():
        assert low < m[name] < high, f"{name} = {m[name]:.3f}"


def test_measurements_follow_height_and_weight(body):
    def measure(*betas):
        return BodyShape.from_body(body, np.array([*betas, *np.zeros(10 - len(betas))])).measurements()

    small, tall = measure(-2), measure(2)
    assert tall["height"] > small["height"] + 0.2 and tall["inseam"] > small["inseam"] + 0.1
    thin, heavy = measure(0, -1, -1, -1), measure(0, 1, 1, 1)
    assert heavy["waist"] > thin["waist"] + 0.1 and heavy["thigh"] > thin["thigh"] + 0.05


def test_section_picks_the_limb(shape):
    left, right = (shape.section(shape.joint(f"{side}_knee"), UP) for side in ("left", "right"))
    assert left[:, 0].min() > 0 > right[:, 0].max()
    with pytest.raises(MviperError, match="does not meet"):
        shape.section(np.array([0, 0, 5.0]), UP)
