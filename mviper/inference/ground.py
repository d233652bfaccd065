"""From the camera's frame to a level world, when nothing is known of how the camera was held."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

#: The world with a level camera that looks north: x stays, the camera's forward is north, its down is down.
CAMERA_TO_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
#: Feet touch the ground at least this often [s]; within it the lowest point counts as ground.
_STEP = 1.0


def level_rotation(up: np.ndarray) -> np.ndarray:
    """Camera axes to a world with z up in which the camera looks north, shape (3, 3)."""
    up = np.asarray(up, np.float64) / np.linalg.norm(up)
    north = np.array([0.0, 0.0, 1.0]) - up * up[2]
    north /= np.linalg.norm(north)
    return np.stack([np.cross(north, up), north, up])


def ground_height(feet: np.ndarray, fps: float) -> np.ndarray:
    """Height of the floor under a person at each moment: the feet's lower envelope over a second, smoothed.

    The depth of a person in a single camera's video is uncertain, and with it the height above a floor seen from
    above; a floor that follows the feet slowly takes that out and leaves jumps in.

    Args:
        feet: Lowest height of the feet [m], shape (T,).
        fps: Frames per second.

    Returns:
        [m], shape (T,).
    """
    size = max(1, round(2 * _STEP * fps) + 1)
    low = minimum_filter1d(feet, min(size, 2 * len(feet) - 1), mode="nearest")
    return np.minimum(gaussian_filter1d(low, max(_STEP * fps / 2, 1e-3), mode="nearest"), feet)
