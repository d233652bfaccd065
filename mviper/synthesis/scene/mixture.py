"""Mixtures of samplers of the same kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mviper.errors import ConfigError


class Mixture:
    """Draws one of several samplers, then lets it draw.

    Args:
        parts: The samplers.
        weights: Relative frequencies; equal by default.
    """

    def __init__(self, parts: Sequence, weights: Sequence[float] | None = None) -> None:
        self.parts = list(parts)
        if any(isinstance(part, Mixture) for part in self.parts):
            raise ConfigError(f"{type(self).__name__}: a mixture cannot be part of a mixture; list all samplers in one")
        weights = np.ones(len(self.parts)) if weights is None else np.asarray(weights, float)
        if not self.parts or weights.shape != (len(self.parts),) or (weights < 0).any() or weights.sum() <= 0:
            raise ConfigError(
                f"{type(self).__name__}: expected one or more samplers and a weight >= 0 for each, not all 0; got "
                f"{len(self.parts)} samplers, weights={weights.tolist()}"
            )
        self.weights = weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> dict:
        """The chosen sampler's draw, with its index as ``choice``."""
        choice = int(rng.choice(len(self.parts), p=self.weights))
        return dict(choice=choice, **self.parts[choice].draw(rng))

    def chosen(self, drawn: dict) -> object:
        """The sampler that made a draw."""
        return self.parts[drawn["choice"]]
