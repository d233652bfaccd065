"""Ground contact: which points of the feet rest, when, and where the ground is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import binary_closing, binary_opening, minimum_filter1d

from mviper.structures import KEYPOINTS

#: Candidate contact points: heels and big toes.
FEET = [KEYPOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("heel", "bigtoe")]
#: Maximum speed of a resting point across the line of sight [m/s], and minimum duration [s].
_RESTS, _SHORTEST = 0.5, 0.12
#: Maximum height of a resting point above the feet's lowest point within this time [m, s].
_LOW, _AROUND = 0.15, 0.5
#: Relative error of a person's distance, and error across the line of sight [m].
_DISTANCE_ERROR, _PLACE_ERROR = 0.04, 0.015


def find_contacts(feet: np.ndarray, up: np.ndarray, fps: float, uncertainty: float = 0.0) -> np.ndarray:
    """Finds the points of the feet that rest.

    Only motion across the line of sight counts: a single camera measures distance poorly.

    Args:
        feet: Steady axes with the camera at 0 [m], shape (T, F, 3).
        up: Unit vector, shape (3,).
        fps: Frames per second.
        uncertainty: Standard deviation of up's direction [rad].

    Returns:
        Shape (T, F) bool.
    """
    if len(feet) < 3:
        return np.zeros(feet.shape[:2], bool)
    sight = feet / np.linalg.norm(feet, axis=-1, keepdims=True).clip(1e-9)
    velocity = np.gradient(feet, axis=0) * fps
    velocity -= (velocity * sight).sum(-1, keepdims=True) * sight
    heights = feet @ up
    size = 2 * round(_AROUND * fps) + 1
    lowest = minimum_filter1d(heights.min(1), min(size, 2 * len(feet) - 1), mode="nearest")
    under = feet[np.arange(len(feet)), heights.argmin(1)]
    apart = np.linalg.norm(feet - under[:, None], axis=-1)
    low = heights < lowest[:, None] + _LOW + uncertainty * apart
    resting = (np.linalg.norm(velocity, axis=-1) < _RESTS) & low
    frames = np.ones((max(2, round(_SHORTEST * fps)), 1), bool)
    return binary_opening(binary_closing(resting, np.ones((3, 1), bool)) | resting, frames)


def runs(contacts: np.ndarray) -> list[tuple[int, slice]]:
    """The point and the frames of each contact interval in contacts (T, F)."""
    found = []
    for point, column in enumerate(contacts.T):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], column, [False]]).astype(int)))
        found += [(point, slice(first, last)) for first, last in pairwise(edges) if column[first]]
    return found


def resting_places(feet: np.ndarray, contacts: np.ndarray) -> np.ndarray:
    """Median position of each contact interval, for feet (T, F, 3) in steady axes [m]: (S, 3)."""
    return np.array([np.median(feet[span, point], axis=0) for point, span in runs(contacts)]).reshape(-1, 3)


def anchors(
    feet: np.ndarray, contacts: np.ndarray, clearance: np.ndarray, up: np.ndarray | None
) -> tuple[np.ndarray, float | None]:
    """Target positions of resting points: the median over each contact interval, all at one height.

    An interval at another height than the ground is moved there by the most likely correction given the errors, mostly
    along the line of sight.

    Args:
        feet: Steady axes with the camera at 0 [m], shape (T, F, 3).
        contacts: Shape (T, F).
        clearance: Heights of the points above the soles [m], shape (F,).
        up: Unit vector, shape (3,); None: each interval has its own height (stairs).

    Returns:
        Positions (T, F, 3), NaN where nothing rests, and the ground's height along up [m]; None without up, or if
        nothing rests.
    """
    result, stretches = np.full_like(feet, np.nan), runs(contacts)
    if not stretches:
        return result, None
    places = resting_places(feet, contacts)
    ground = None
    if up is not None:
        heights = places @ up
        above = heights - clearance[[point for point, _ in stretches]]
        gain = _PLACE_ERROR**2 * up + _DISTANCE_ERROR**2 * heights[:, None] * places  # covariance times up
        variance = _PLACE_ERROR**2 + (_DISTANCE_ERROR * heights) ** 2
        weight = np.array([span.stop - span.start for _, span in stretches]) / variance
        order = np.argsort(above)
        half = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
        ground = float(above[order][half])
        places = places + gain * ((ground - above) / variance)[:, None]
    for (point, span), place in zip(stretches, places):
        result[span, point] = place
    return result, ground
