"""From the camera's frame to a level world, if the camera's orientation is unknown."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

#: Camera axes to world axes for a level camera that looks north: x is kept, forward is north, down is down.
CAMERA_TO_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
#: Feet are assumed to touch the ground at least this often [s]; the lowest point in this window is the ground.
_STEP = 1.0


def level_rotation(up: np.ndarray) -> np.ndarray:
    """Rotation from camera axes to a z-up world in which the camera looks north, shape (3, 3)."""
    up = np.asarray(up, np.float64) / np.linalg.norm(up)
    north = np.array([0.0, 0.0, 1.0]) - up * up[2]
    north /= np.linalg.norm(north)
    return np.stack([np.cross(north, up), north, up])


def ground_height(feet: np.ndarray, fps: float) -> np.ndarray:
    """Height of the floor under a person in each frame: the smoothed lower envelope of the feet over a second.

    A person's depth in a single camera's video is uncertain, and so is the height above a floor seen from above. A
    floor that follows the feet slowly removes this error and preserves jumps.

    Args:
        feet: Lowest height of the feet [m], shape (T,).
        fps: Frames per second.

    Returns:
        [m], shape (T,).
    """
    size = max(1, round(2 * _STEP * fps) + 1)
    low = minimum_filter1d(feet, min(size, 2 * len(feet) - 1), mode="nearest")
    return np.minimum(gaussian_filter1d(low, max(_STEP * fps / 2, 1e-3), mode="nearest"), feet)
