"""A tailor's measurements are plausible and agree with the body's own numbers, for any shape."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.body.smpl import SMPL
from mviper.body.surface import BodyShape
from mviper.synthesis.garments.measure import TAILORS_LIST, Measurements

BETAS = {
    "mean": np.zeros(10),
    "large": np.array([2.0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    "small": np.array([-2.0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    "heavy": np.array([0, 0, 2.0, 0, 0, 0, 0, 0, 0, 0]),
    "slim": np.array([0, 0, -2.0, 0, 0, 0, 0, 0, 0, 0]),
}

#: Smallest and largest fraction of the height; wide enough for all adults (compare ISO 8559-1's measurements).
SHARES = {
    "neck": (0.16, 0.25), "bust": (0.45, 0.68), "waist": (0.33, 0.62), "hip": (0.48, 0.70),
    "shoulder_width": (0.18, 0.25), "back_length": (0.19, 0.26), "front_length": (0.22, 0.30),
    "arm_length": (0.26, 0.33), "upper_arm": (0.12, 0.21), "wrist": (0.07, 0.12),
    "head_girth": (0.29, 0.37), "inseam": (0.43, 0.52), "outseam": (0.58, 0.68),
    "thigh": (0.25, 0.40), "ankle": (0.11, 0.17),
}  # fmt: skip


@pytest.fixture(scope="module")
def bodies() -> dict[str, BodyShape]:
    body = SMPL()
    return {name: BodyShape.from_body(body, betas) for name, betas in BETAS.items()}


@pytest.mark.parametrize("name", BETAS)
def test_figures_are_plausible(name: str, bodies: dict[str, BodyShape]) -> None:
    found = Measurements(bodies[name]).as_dict()
    assert tuple(found) == TAILORS_LIST
    assert 1.4 < found["height"] < 2.1
    for key, (low, high) in SHARES.items():
        assert low < found[key] / found["height"] < high, f"{key}: {found[key]:.3f} m of {found['height']:.3f} m"
    assert found["waist"] < found["bust"] and found["waist"] < found["hip"]
    assert found["wrist"] < found["ankle"] < found["upper_arm"] < found["thigh"]
    assert found["inseam"] < found["outseam"] < found["height"] - found["back_length"]


def test_figures_agree_with_the_bodys_own_numbers(bodies: dict[str, BodyShape]) -> None:
    shape = bodies["mean"]
    body, own = Measurements(shape), shape.measurements()
    for name, value in own.items():
        assert getattr(body, name) == value
    # Girths are measured at the stated places.
    assert body.torso(body.waist_height).girth == pytest.approx(body.waist, abs=0.003)
    levels = np.linspace(body.crotch_height + 0.01, body.joint("spine_1")[2], 25)
    hip_height = max(levels, key=lambda level: body.torso(level).girth)
    assert body.torso(hip_height).girth == pytest.approx(body.hip, abs=0.003)
    assert body.crotch_height < hip_height < body.waist_height < body.armpit_height < body.shoulder_height
    assert body.shoulder_height < body.joint("head")[2] < body.head_top == pytest.approx(body.height)


def test_figures_follow_the_body(bodies: dict[str, BodyShape]) -> None:
    slim, mean, heavy = (Measurements(bodies[name]) for name in ("slim", "mean", "heavy"))
    for name in ("bust", "waist", "hip", "thigh", "upper_arm"):
        assert getattr(slim, name) < getattr(mean, name) < getattr(heavy, name)
    scaled = BodyShape(1.1 * bodies["mean"].vertices, bodies["mean"].faces, 1.1 * bodies["mean"].joints)
    for name, value in Measurements(scaled).as_dict().items():
        assert value == pytest.approx(1.1 * getattr(mean, name), rel=0.02), name
