"""How somebody is built: lengths and girths by the shape that was found, and how sure they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mviper.body import SMPL, BodyShape

#: What is said of a build, of :meth:`mviper.body.BodyShape.measurements`.
MEASURES = ("inseam", "arm_length", "shoulder_width", "bust", "waist", "hip", "thigh", "upper_arm")
#: 90 % of a normal distribution lie within so many standard deviations.
_INTERVAL = 1.645
#: Step by which a measure's derivative is taken.
_STEP = 0.5


class Interval(NamedTuple):
    """A measure with the bounds between which it lies in 90 of 100 cases."""

    value: float
    low: float
    high: float


def build_of(body: SMPL, betas: np.ndarray, covariance: np.ndarray) -> dict[str, Interval]:
    """A person's measures.

    A single camera does not tell how tall somebody is, but how people are built: lengths and girths are therefore said
    relative to the height.

    Args:
        body: Whose shape it is.
        betas: Shape (B,).
        covariance: Theirs, shape (B, B).

    Returns:
        ``height`` [m]; each of :data:`MEASURES` in heights.
    """

    def measured(values: np.ndarray) -> np.ndarray:
        found = BodyShape.from_body(body, values).measurements()
        return np.array([found["height"], *(found[name] / found["height"] for name in MEASURES)])

    middle = measured(betas)
    slopes = np.stack([(measured(betas + step) - middle) / _STEP for step in _STEP * np.eye(len(betas))], 1)
    reach = _INTERVAL * np.sqrt(np.einsum("mi,ij,mj->m", slopes, covariance, slopes).clip(0))
    return {
        name: Interval(float(value), float(value - off), float(value + off))
        for name, value, off in zip(("height", *MEASURES), middle, reach)
    }
