"""Tries an outfit on: one body, one motion, the factory's steps up to the cloth, with their cost."""

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
    """Result of trying an outfit on.

    Attributes:
        performance: The moving body.
        garments: The cut garments, innermost first.
        result: The cloth over all frames, lead-in included. For a rejected outfit the raw result of the last run;
            without meshes if there was none.
        reason: Reason for rejection, or "".
    """

    performance: Performance
    garments: list[Garment]
    result: SimulationResult
    reason: str = ""


def try_on(
    factory: Factory, clip: Clip, betas: np.ndarray, rng: np.random.Generator, outfit: Outfit | None = None
) -> TryOn:
    """Cuts an outfit for a body, sews and simulates it; rejected cloth is a result, not an error.

    Args:
        factory: Provides body, motions and simulator.
        clip: A clip of its motion source.
        betas: The body's shape, shape (B,).
        rng: Draws the part of the clip, then the garments' designs.
        outfit: The outfit; ``None``: the factory's.

    Raises:
        SequenceRejected: The motion is rejected, or there is no pattern for this body.
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
