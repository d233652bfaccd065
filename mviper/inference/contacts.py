"""Ground contact: which points of the feet rest, when, and where the ground is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import binary_opening, minimum_filter1d

from mviper.structures import KEYPOINTS

#: Candidate contact points: heels and big toes.
FEET = [KEYPOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("heel", "bigtoe")]
#: Speeds across the line of sight of points that rest and that move, standard deviations [m/s].
_RESTING, _MOVING = 0.25, 1.2
#: Error of a hidden point's position [m].
_HIDDEN = 0.2
#: Maximum distance of a resting point from its place, across the line of sight [m].
_STRAYS = 0.15
#: Height of a resting point above the feet's lowest point within this time, standard deviation [m, s].
_LOW, _AROUND = 0.08, 0.5
#: Typical duration of rest and of motion [s], and the minimum duration of rest [s].
_LASTS, _SHORTEST = 0.4, 0.12
#: Relative error of a person's distance, and error across the line of sight [m].
_DISTANCE_ERROR, _PLACE_ERROR = 0.04, 0.015


def find_contacts(
    feet: np.ndarray, up: np.ndarray, fps: float, uncertainty: float = 0.0, visibility: np.ndarray | None = None
) -> np.ndarray:
    """Finds the points of the feet that rest: each point's most likely sequence of rest and motion (Viterbi, 1967).

    Only motion across the line of sight counts: a single camera measures distance poorly. A point that is hidden is
    hardly evidence at all, so it probably goes on doing what it did when it was last seen.

    Args:
        feet: Steady axes with the camera at 0 [m], shape (T, F, 3).
        up: Unit vector, shape (3,).
        fps: Frames per second.
        uncertainty: Standard deviation of up's direction [rad].
        visibility: Of the points, 0 to 1, shape (T, F); None: all visible.

    Returns:
        Shape (T, F) bool.
    """
    if len(feet) < 3:
        return np.zeros(feet.shape[:2], bool)
    visibility = np.ones(feet.shape[:2]) if visibility is None else visibility
    hidden, weight = _HIDDEN * (1 - visibility) ** 2, _weight(visibility)
    sight = feet / np.linalg.norm(feet, axis=-1, keepdims=True).clip(1e-9)
    velocity = np.gradient(feet, axis=0) * fps
    velocity -= (velocity * sight).sum(-1, keepdims=True) * sight
    noise = (hidden * fps) ** 2 / 2  # of a difference over two frames
    resting, moving = _RESTING**2 + noise, _MOVING**2 + noise
    gain = np.log(moving / resting) - 0.5 * (velocity**2).sum(-1) * (1 / resting - 1 / moving)
    heights = feet @ up
    size = 2 * round(_AROUND * fps) + 1
    lowest = minimum_filter1d(heights.min(1), min(size, 2 * len(feet) - 1), mode="nearest")
    under = feet[np.arange(len(feet)), heights.argmin(1)]
    apart = np.linalg.norm(feet - under[:, None], axis=-1)
    gain -= 0.5 * (heights - lowest[:, None]) ** 2 / (_LOW**2 + (uncertainty * apart) ** 2 + hidden**2)
    switch = np.log(max(_LASTS * fps - 1, 1.0))  # log-odds of going on
    rests = np.stack([_likeliest(column, switch) for column in gain.T], 1)
    for point, span in runs(rests):  # slow motion also goes far
        off = feet[span, point] - _median(feet[span, point], weight[span, point])
        off -= (off * sight[span, point]).sum(-1, keepdims=True) * sight[span, point]
        rests[span, point] &= np.linalg.norm(off, axis=-1) < _STRAYS + hidden[span, point]
    return binary_opening(rests, np.ones((max(2, round(_SHORTEST * fps)), 1), bool))


def _likeliest(gain: np.ndarray, switch: float) -> np.ndarray:
    """The best of all sequences of two states, of which the second gains (T,) and each change costs ``switch``."""
    best, origin = np.array([0.0, gain[0]]), []
    for value in gain[1:]:
        change = best[::-1] - switch
        origin.append(change > best)
        best = np.maximum(best, change)
        best[1] += value
    state = int(best.argmax())
    states = [state]
    for changed in reversed(origin):
        state ^= int(changed[state])
        states.append(state)
    return np.array(states[::-1], bool)


def runs(contacts: np.ndarray) -> list[tuple[int, slice]]:
    """The point and the frames of each contact interval in contacts (T, F)."""
    found = []
    for point, column in enumerate(contacts.T):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], column, [False]]).astype(int)))
        found += [(point, slice(first, last)) for first, last in pairwise(edges) if column[first]]
    return found


def resting_places(feet: np.ndarray, contacts: np.ndarray, visibility: np.ndarray | None = None) -> np.ndarray:
    """Position of each contact interval: the median of its frames, weighted by visibility.

    Args:
        feet: Steady axes [m], shape (T, F, 3).
        contacts: Shape (T, F).
        visibility: Of the points, 0 to 1, shape (T, F); None: all visible.

    Returns:
        [m], shape (S, 3).
    """
    weight = _weight(np.ones(contacts.shape) if visibility is None else visibility)
    places = [_median(feet[span, point], weight[span, point]) for point, span in runs(contacts)]
    return np.array(places).reshape(-1, 3)


def _weight(visibility: np.ndarray) -> np.ndarray:
    """Weight of a point's position in the median."""
    return visibility**2 + 1e-3


def _median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted median of each column of values (N, C) with weights (N,)."""
    order = values.argsort(0)
    total = weight[order].cumsum(0)
    middle = (total >= total[-1] / 2).argmax(0)
    return np.take_along_axis(values, np.take_along_axis(order, middle[None], 0), 0)[0]


def anchors(
    feet: np.ndarray,
    contacts: np.ndarray,
    clearance: np.ndarray,
    up: np.ndarray | None,
    visibility: np.ndarray | None = None,
    uncertainty: float = 0.0,
) -> tuple[np.ndarray, float | None]:
    """Target positions of resting points: the median over each contact interval, all at one height.

    An interval at another height than the ground is moved there by the most likely correction given the errors, mostly
    along the line of sight; an uncertain up explains part of the difference.

    Args:
        feet: Steady axes with the camera at 0 [m], shape (T, F, 3).
        contacts: Shape (T, F).
        clearance: Heights of the points above the soles [m], shape (F,).
        up: Unit vector, shape (3,); None: each interval has its own height (stairs).
        visibility: Of the points, 0 to 1, shape (T, F); None: all visible.
        uncertainty: Standard deviation of up's direction [rad].

    Returns:
        Positions (T, F, 3), NaN where nothing rests, and the ground's height along up [m]; None without up, or if
        nothing rests.
    """
    result, stretches = np.full_like(feet, np.nan), runs(contacts)
    if not stretches:
        return result, None
    places = resting_places(feet, contacts, visibility)
    ground = None
    if up is not None:
        heights = places @ up
        above = heights - clearance[[point for point, _ in stretches]]
        gain = _PLACE_ERROR**2 * up + _DISTANCE_ERROR**2 * heights[:, None] * places  # covariance times up
        frames = np.array([span.stop - span.start for _, span in stretches])
        apart = np.linalg.norm(places - np.average(places, axis=0, weights=frames), axis=1)
        variance = _PLACE_ERROR**2 + (_DISTANCE_ERROR * heights) ** 2 + (uncertainty * apart) ** 2
        weight = frames / variance
        order = np.argsort(above)
        half = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
        ground = float(above[order][half])
        places = places + gain * ((ground - above) / variance)[:, None]
    for (point, span), place in zip(stretches, places):
        result[span, point] = place
    return result, ground
