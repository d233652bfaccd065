"""The body from the waistband down, for skirts and trousers."""

from __future__ import annotations

import numpy as np

from mviper.synthesis.garments.measure import Measurements

#: Girth of a waistband minus the waist's [m]: close to the body, yet not inside it.
WAISTBAND_EASE = 0.05


class LowerBody:
    """Girths and outlines of trunk and legs; heights are z in the world [m].

    Args:
        body: The body's measurements.
        rise: Position of the waistband, as a share of the distance from the hip joints to the joint ``spine_2``.

    Attributes:
        waist_height: Height of the waistband.
        crotch_height: Height of the crotch.
        ankle_height: Height of the ankle joints.
        levels: Heights of eight slices of the trunk, rising from the crotch to the waistband, shape (8,).
        girths: The slices' girths [m], shape (8,).
    """

    def __init__(self, body: Measurements, rise: float) -> None:
        self.body = body
        hip, spine = body.joint("left_hip")[2], body.joint("spine_2")[2]
        self.waist_height = hip + rise * (spine - hip)
        self.crotch_height = body.crotch_height
        self.ankle_height = body.joint("left_ankle")[2]
        self.levels = np.linspace(self.crotch_height + 0.015, self.waist_height, 8)
        sections = [body.torso(level) for level in self.levels]
        self.girths = np.array([section.girth for section in sections])
        self._trunk = np.array([[*section.half, section.centre[1]] for section in sections])
        self._leg_levels = np.linspace(self.ankle_height, self.crotch_height - 0.03, 14)
        self._legs = np.array([self._leg(level) for level in self._leg_levels])

    @property
    def waist(self) -> float:
        """Girth where the waistband sits [m]."""
        return float(self.girths[-1])

    @property
    def waistband(self) -> float:
        """Girth of a waistband [m]."""
        return self.waist + WAISTBAND_EASE

    @property
    def hips(self) -> float:
        """Largest girth between crotch and waistband [m]."""
        return float(self.girths.max())

    def _leg(self, level: float) -> tuple[float, float, float, float]:
        """Half extent in x, y and centre y, x of the left leg; thighs that touch are parted at the midline."""
        section = self.body.leg(level)
        low, high = section.centre[0] - section.half[0], section.centre[0] + section.half[0]
        low = max(low, 0.0)
        return 0.5 * (high - low), section.half[1], section.centre[1], 0.5 * (low + high)

    def trunk(self, height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Half width, half depth and middle (y) of the trunk at heights (V,) [m]."""
        return tuple(np.interp(height, self.levels, column) for column in self._trunk.T)

    def leg(self, height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Half width, half depth and middle (y, x) of the left leg at heights (V,) [m]."""
        return tuple(np.interp(height, self._leg_levels, column) for column in self._legs.T)

    def outline(self, height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Half width, half depth and middle (y) of the body inside a skirt: the trunk, below it both legs together."""
        across, depth, middle, x = self.leg(height)
        above = ((height - self._leg_levels[-1]) / (self.levels[0] - self._leg_levels[-1])).clip(0, 1)
        legs = (x + across, depth, middle)
        return tuple(above * t + (1 - above) * leg for t, leg in zip(self.trunk(height), legs))

    def outline_girth(self, height: np.ndarray) -> np.ndarray:
        """Length of a tape round trunk or both legs together at heights (V,) [m]."""
        across, depth, _ = self.outline(height)
        flat = 4 * (across - depth).clip(0) + 2 * np.pi * depth  # two half circles joined by straight lines
        return np.where(height >= self.levels[0], np.interp(height, self.levels, self.girths), flat)


def ellipse_girth(across: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Perimeter of ellipses with these half axes [m] (Ramanujan's second-order formula, 1914)."""
    return np.pi * (3 * (across + depth) - np.sqrt((3 * across + depth) * (across + 3 * depth)))
