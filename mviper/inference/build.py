"""A person's build: lengths and girths of the fitted shape, with their uncertainty."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mviper.body import SMPL, BodyShape

#: The measures reported, from :meth:`mviper.body.BodyShape.measurements`.
MEASURES = ("inseam", "arm_length", "shoulder_width", "bust", "waist", "hip", "thigh", "upper_arm")
#: 90 % of a normal distribution lie within this many standard deviations.
_INTERVAL = 1.645
#: Finite-difference step for a measure's derivative.
_STEP = 0.5


class Interval(NamedTuple):
    """A measure with its 90 % interval."""

    value: float
    low: float
    high: float


def build_of(body: SMPL, betas: np.ndarray, covariance: np.ndarray) -> dict[str, Interval]:
    """A person's measures.

    A single camera does not reveal a person's height, but it does reveal proportions: lengths and girths are therefore
    relative to the height.

    Args:
        body: The body model of the betas.
        betas: Shape (B,).
        covariance: Covariance of the betas, shape (B, B).

    Returns:
        ``height`` [m]; each of :data:`MEASURES` as a fraction of the height.
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
