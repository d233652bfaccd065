"""The number of solver steps that a motion is tried with first."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.structures import Garment
from mviper.synthesis.simulation.dressing import STRIDE, SewnGarment, first_rung
from mviper.synthesis.simulation.laboratory import sheet

LADDER = (10, 20, 30)


@pytest.fixture
def cloth() -> SewnGarment:
    flat, faces = sheet(0.3, 0.3, 0.05)
    vertices, pins = np.column_stack([flat, np.zeros(len(flat))]), np.zeros(len(flat))
    garment = Garment("sheet", vertices, faces, flat, pins.astype(int), ("sheet",), np.zeros((0, 2), int), pins)
    return SewnGarment(garment, vertices, faces, flat[faces], vertices, np.zeros(0), pins, 100.0, 0.0)


def body(speed: float, covered: bool, fps: float = 30.0) -> np.ndarray:
    """A patch of skin below the cloth, or far from it, that moves in one frame only."""
    flat = sheet(0.2, 0.2, 0.02)[0]
    skin = np.column_stack([flat, np.full(len(flat), -0.01)])
    still = np.concatenate([skin, skin - np.array([0.0, 0.0, 1.0])])
    moved = still.copy()
    moved[: len(skin)] += [0.0, 0.0, speed / fps] if covered else 0.0
    moved[len(skin) :] += 0.0 if covered else [0.0, 0.0, speed / fps]
    return np.array([still, still, moved, moved])


@pytest.mark.parametrize(("speed", "rung"), [(0.0, 0), (3.4, 0), (10.8, 1), (16.0, 2), (60.0, 2)])
def test_fast_skin_under_cloth_takes_more_steps(cloth: SewnGarment, speed: float, rung: int) -> None:
    assert first_rung(LADDER, body(speed, covered=True), [cloth]) == rung


def test_bare_hands_and_feet_may_be_fast(cloth: SewnGarment) -> None:
    assert first_rung(LADDER, body(16.0, covered=False), [cloth]) == 0


def test_twice_the_frame_rate_needs_half_the_steps(cloth: SewnGarment) -> None:
    speed = 1.5 * STRIDE * 10 * 30
    assert first_rung(LADDER, body(speed, covered=True, fps=30.0), [cloth]) == 1
    assert first_rung(LADDER, body(speed, covered=True, fps=60.0), [cloth]) == 0


def test_a_still_body_starts_at_the_bottom(cloth: SewnGarment) -> None:
    assert first_rung(LADDER, body(0.0, covered=True)[:1], [cloth]) == 0
