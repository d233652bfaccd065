"""Samplers made of samplers of the same kind, of which one is drawn each time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mviper.errors import ConfigError


class Mixture:
    """Draws one of several samplers, then what it draws.

    Args:
        parts: The samplers.
        weights: How often each is drawn, in proportion; equally often by default.
    """

    def __init__(self, parts: Sequence, weights: Sequence[float] | None = None) -> None:
        self.parts = list(parts)
        if any(isinstance(part, Mixture) for part in self.parts):
            raise ConfigError(f"{type(self).__name__}: a mixture cannot be part of a mixture; list all samplers in one")
        weights = np.ones(len(self.parts)) if weights is None else np.asarray(weights, float)
        if not self.parts or weights.shape != (len(self.parts),) or (weights < 0).any() or weights.sum() <= 0:
            raise ConfigError(
                f"{type(self).__name__}: one or more samplers, and a weight >= 0 for each, not all 0; "
                f"got {len(self.parts)} samplers, weights={weights.tolist()}"
            )
        self.weights = weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> dict:
        """What the drawn sampler draws, and its number as ``choice``."""
        choice = int(rng.choice(len(self.parts), p=self.weights))
        return dict(choice=choice, **self.parts[choice].draw(rng))

    def chosen(self, drawn: dict) -> object:
        """The sampler that drew it."""
        return self.parts[drawn["choice"]]
