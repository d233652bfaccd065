"""Tries an outfit on: one body, one motion, the factory's own steps up to the cloth, with what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mviper.errors import SequenceRejected
from mviper.motion.sources import Clip
from mviper.structures import Garment
from mviper.synthesis.factory import Factory, Outfit
from mviper.synthesis.performance import Performance
from mviper.synthesis.simulation import ClothRejected, SimulationResult


@dataclass(frozen=True)
class TryOn:
    """What came of it.

    Attributes:
        performance: Who wore it, and how they moved.
        garments: As they were cut, innermost first.
        result: The cloth over all frames, lead-in included. Of a rejected outfit that of the last run, as it came from
            the solver; without meshes if there was none.
        reason: Why it was rejected, "" if it was not.
    """

    performance: Performance
    garments: list[Garment]
    result: SimulationResult
    reason: str = ""


def try_on(
    factory: Factory, clip: Clip, betas: np.ndarray, rng: np.random.Generator, outfit: Outfit | None = None
) -> TryOn:
    """Cuts an outfit for a body, sews it and moves it; a rejection of the cloth is a result, not an error.

    Args:
        factory: Its body, motions and simulator.
        clip: Of its motion source.
        betas: The body's shape, shape (B,).
        rng: Draws the part of the clip that is shown, then the garments' designs.
        outfit: What is tried on; ``None``: the factory's own.

    Raises:
        SequenceRejected: The motion is, or there is no pattern for this body.
        FileFormatError: The clip cannot be read.
    """
    performance = factory.perform(clip, betas, rng, dressed=True)
    garments = factory.cut(performance.shape, rng, outfit)
    try:
        result = factory.simulator(garments, performance.body, factory.config["fps"], performance.lead_in)
    except ClothRejected as error:
        return TryOn(performance, garments, error.result, error.reason)
    except SequenceRejected as error:
        return TryOn(performance, garments, SimulationResult([], error.quality), error.reason)
    return TryOn(performance, garments, result)
