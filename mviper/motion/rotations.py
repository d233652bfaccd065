"""Rotation helpers of ``mviper.motion``, in numpy and scipy (for torch see ``mviper.body.rotations``)."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

#: The turn from body axes (y up) to the world's (z up): a body turned only by it faces south (-y).
Y_UP_TO_Z_UP = Rotation.from_euler("x", 90, degrees=True)


def arctan2(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """``np.arctan2`` with bitwise reproducible results.

    For strided arrays, numpy 1.26 chooses between two loops by memory layout, and the loops differ in the last bit; but
    a sequence must not depend on the process that generates it.
    """
    return np.arctan2(np.ascontiguousarray(y), np.ascontiguousarray(x))


def swings(start: np.ndarray, end: np.ndarray) -> Rotation:
    """The smallest rotations that take one direction to another.

    Args:
        start: Shape (..., 3).
        end: Shape (..., 3), none opposite to its ``start``.
    """
    start = start / np.linalg.norm(start, axis=-1, keepdims=True)
    end = end / np.linalg.norm(end, axis=-1, keepdims=True)
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    return Rotation.from_rotvec(axis / np.maximum(sine, 1e-12) * np.arctan2(sine, (start * end).sum(-1, keepdims=True)))


def resample_rotations(rotations: Rotation, times: np.ndarray, sampled: np.ndarray) -> Rotation:
    """Spherical linear interpolation.

    Args:
        rotations: T rotations.
        times: Their times, increasing [s], shape (T,).
        sampled: Times to interpolate at, within ``times`` up to rounding, shape (S,).

    Returns:
        S rotations.
    """
    if len(times) == 1:
        return rotations[np.zeros(len(sampled), int)]
    return Slerp(times, rotations)(np.clip(sampled, times[0], times[-1]))
