"""Optional smoothing over time: One-Euro, which is causal, and Savitzky-Golay for complete tracks."""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import savgol_filter

from mviper.body import project_to_rotation
from mviper.errors import ConfigError

#: Names that :func:`smooth_motion` knows.
METHODS = ("one_euro", "savgol")


class OneEuroFilter:
    """A low-pass filter whose cut-off grows with speed (Casiez et al., "1 Euro Filter", CHI 2012); causal.

    Args:
        min_cutoff: Cut-off at rest [1/s]; smaller is smoother.
        beta: Growth of the cut-off with speed; larger means less lag.
        derivative_cutoff: Cut-off of the speed's own filter [1/s].
    """

    def __init__(self, min_cutoff: float = 1.5, beta: float = 0.5, derivative_cutoff: float = 1.0) -> None:
        self.min_cutoff, self.beta, self.derivative_cutoff = min_cutoff, beta, derivative_cutoff
        self._time: float | None = None

    def __call__(self, time: float, value: np.ndarray) -> np.ndarray:
        """Filters the next value.

        Args:
            time: [s], later than the previous one.
            value: Any shape, always the same.

        Returns:
            The filtered value.
        """
        value = np.asarray(value, np.float64)
        if self._time is None:
            self._time, self._value, self._speed = time, value, np.zeros_like(value)
            return value
        step = max(time - self._time, 1e-6)
        speed = (value - self._value) / step
        self._speed = self._speed + _share(self.derivative_cutoff, step) * (speed - self._speed)
        cutoff = self.min_cutoff + self.beta * np.abs(self._speed)
        self._value = self._value + _share(cutoff, step) * (value - self._value)
        self._time = time
        return self._value


def _share(cutoff: float | np.ndarray, step: float) -> float | np.ndarray:
    """Weight of the new value in an exponential filter."""
    turns = 2 * np.pi * cutoff * step
    return turns / (turns + 1)


def smooth_motion(
    rotmat: np.ndarray, transl: np.ndarray, times: np.ndarray, method: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Smooths a track's poses and translations.

    Rotations are filtered as matrices and projected to the nearest rotation, which avoids jumps at half turns.

    Args:
        rotmat: Shape (T, 24, 3, 3).
        transl: [m], shape (T, 3).
        times: Of the frames [s], shape (T,).
        method: ``"one_euro"``, ``"savgol"`` (second order over about a quarter of a second), or None for nothing.

    Returns:
        The same, smoothed.

    Raises:
        ConfigError: Unknown method.
    """
    if method is None:
        return rotmat, transl
    if method not in METHODS:
        raise ConfigError(f"smoothing={method!r}, expected one of {', '.join(METHODS)} or none")
    values = np.concatenate([rotmat.reshape(len(rotmat), -1), transl], axis=1).astype(np.float64)
    if method == "one_euro":
        low_pass = OneEuroFilter()
        values = np.stack([low_pass(time, value) for time, value in zip(times, values)])
    else:
        step = np.median(np.diff(times)) if len(times) > 1 else 1.0
        window = min(2 * max(2, round(0.125 / step)) + 1, (len(values) - 1) // 2 * 2 + 1)
        if window >= 5:
            values = savgol_filter(values, window, 2, axis=0, mode="interp")
    turned = project_to_rotation(torch.from_numpy(values[:, :-3].reshape(rotmat.shape))).numpy()
    return turned.astype(rotmat.dtype), values[:, -3:].astype(transl.dtype)
