"""The upward axis of a capture file: by its format's convention, unless the motion clearly shows another.

People may lie, crawl or stand on their hands, so the direction from feet to head is weak evidence. The floor is strong
evidence: a travelling body pushes off from something that stays in place.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mviper.errors import ConfigError

_LOGGER = logging.getLogger(__name__)

AXES = ("x", "y", "z", "-x", "-y", "-z")

#: Leg length for which the lengths below hold [m]; they scale with leg length.
_LEG = 0.82

#: Joints up to this height above the floor count as on it [m].
_ON_FLOOR = 0.08

#: Time over which speeds are measured, short for a step and long for a marker's jitter [s].
_LAG = 0.07

#: A body travels if its joints' centre is faster than this [m/s]; a joint stays in place if it is slower than this
#: fraction.
_TRAVELS, _STAYS = 0.15, 0.35

#: An axis is clearly up if the share of travelling frames in which something on its floor stays in place exceeds the
#: convention's by this: in any case, less if bodies stand along it, more if they stand along the convention's.
_MORE, _MORE_STANDING, _MORE_THAN_STANDING = 0.3, 0.1, 0.5

#: Mean cosine between an axis and the direction from feet to head above which a body stands along it, and above which
#: it is still upright.
_STANDS, _UPRIGHT = 0.8, 0.5

#: Range of the lowest joints' heights for a body on a floor at 0 [m]; and the range outside which they surely are not.
_AT_ZERO, _NEAR_ZERO = (-0.05, 0.15), (-0.10, 0.30)


def signed_axis(name: str) -> np.ndarray:
    """``"y"``, ``"-z"``, ... as a vector.

    Raises:
        ConfigError: No such axis.
    """
    match = re.fullmatch(r"([+-]?)([xyz])", name) if isinstance(name, str) else None
    if match is None:
        raise ConfigError(f"up must be one of x, y, z, -x, -y, -z, got {name!r}")
    return np.eye(3)["xyz".index(match[2])] * (-1 if match[1] == "-" else 1)


@dataclass(frozen=True)
class _Evidence:
    """Evidence for each of :data:`AXES`, shape (6,) each."""

    stands: np.ndarray  # mean cosine to the direction from feet to head
    planted: np.ndarray  # share of travelling frames in which something on the floor stays in place
    floor: np.ndarray  # height of the lowest joints [m, for a leg length of 0.82 m]


def _look(positions: np.ndarray, heads: np.ndarray, feet: np.ndarray, leg: float, fps: float) -> _Evidence:
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    lag = min(max(1, round(_LAG * fps)), len(positions) - 1)
    some = np.arange(0, len(positions) - lag, max(1, (len(positions) - lag) // 400))
    upward = (heads - feet)[some]
    upward = upward / np.maximum(np.linalg.norm(upward, axis=1, keepdims=True), 1e-9)
    now = positions[some] * (_LEG / leg)
    heights = now @ axes.T
    floor = np.percentile(heights.min(axis=1), 10, axis=0)
    planted = np.zeros(6)
    if lag:
        velocity = (positions[some + lag] * (_LEG / leg) - now) * (fps / lag)
        travel = np.linalg.norm(velocity.mean(axis=1), axis=1)
        travels = travel > _TRAVELS
        if travels.sum() >= max(5, 0.03 * len(some)):
            stays = np.linalg.norm(velocity, axis=2) < _STAYS * travel[:, None]
            on_floor = heights < floor + _ON_FLOOR
            planted = (stays[..., None] & on_floor).any(axis=1)[travels].mean(axis=0)
    return _Evidence(upward.mean(axis=0) @ axes.T, planted, floor)


def infer_up(
    path: Path, positions: np.ndarray, heads: np.ndarray, feet: np.ndarray, leg: float, fps: float, convention: str,
    firm: bool = True,
) -> str:  # fmt: skip
    """Infers the upward axis of a capture: the convention's, unless the motion clearly has another.

    It is clear if a body travels and joints stay in place on another axis' floor but not on the convention's; or if a
    body stands along another axis on a floor at 0, and the convention has no floor there.

    Args:
        path: The file, for the warning.
        positions: All joints, shape (T, J, 3).
        heads: Head or neck, shape (T, 3).
        feet: Middle of the ankles, shape (T, 3).
        leg: Length of a leg, same unit.
        fps: Frames per second.
        convention: The format's upward axis, from :data:`AXES`.
        firm: Whether files follow it; if not, a body nowhere near a floor at 0 may stand along any axis.

    Returns:
        One of :data:`AXES`. If it is uncertain, a warning mentions ``up=``.
    """
    seen = _look(positions, heads, feet, leg, fps)
    usual = AXES.index(convention)
    stands = int(seen.stands.argmax())
    at_zero = (_AT_ZERO[0] < seen.floor) & (seen.floor < _AT_ZERO[1])
    off_zero = not _NEAR_ZERO[0] < seen.floor[usual] < _NEAR_ZERO[1]

    more = seen.planted - seen.planted[usual]
    needed = np.where(seen.stands > _STANDS, _MORE_STANDING, _MORE)
    if seen.stands[usual] > _STANDS:
        needed = np.full(6, _MORE_THAN_STANDING)
    if (more > needed).any():
        return AXES[int(np.where(more > needed, more + 0.5 * seen.stands, -2.0).argmax())]
    if seen.stands[stands] > _STANDS and at_zero[stands] and off_zero:
        return AXES[stands]

    chosen = convention
    if not firm and off_zero and seen.stands[stands] > _UPRIGHT and more[stands] > -_MORE_STANDING:
        chosen = AXES[stands]
    up = AXES.index(chosen)
    others = np.arange(6) != up
    certain = (
        (chosen == convention and seen.stands[up] > _UPRIGHT)
        or seen.planted[up] > seen.planted[others].max() + _MORE
        or (at_zero[up] and not at_zero[others].any())
    )
    if not certain:
        _LOGGER.warning(
            "%s: which way is up is unclear; assuming %s up. If people come out lying or upside down, "
            "set source.up (up='y', 'z', '-y', ...)", path, chosen,
        )  # fmt: skip
    return chosen
