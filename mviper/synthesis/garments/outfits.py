"""Random outfits for each sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mviper.errors import ConfigError
from mviper.registry import GARMENTS, OUTFITS
from mviper.synthesis.garments.drafting import ParametricGarment


@OUTFITS.register_module()
class RandomOutfit:
    """One piece, or a top and a bottom; the garments of a list are equally likely.

    Args:
        tops: Configs of garments for the upper body.
        bottoms: Configs of trousers, shorts and skirts.
        whole: Configs of one-piece garments, dresses.
        share: Probability of one piece, if there is a choice.
        tucked: Probability that a top is tucked into the bottom.
    """

    def __init__(
        self,
        tops: Sequence[dict] = (),
        bottoms: Sequence[dict] = (),
        whole: Sequence[dict] = (),
        share: float = 0.2,
        tucked: float = 0.0,
    ) -> None:
        if bool(tops) != bool(bottoms) or not (tops or whole):
            raise ConfigError(
                "a random outfit needs tops and bottoms, or one-piece garments (whole), or all three; got "
                f"{len(tops)} tops, {len(bottoms)} bottoms, {len(whole)} whole"
            )
        if not (0 <= share <= 1 and 0 <= tucked <= 1):
            raise ConfigError(f"share and tucked are probabilities from 0 to 1, got {share} and {tucked}")
        self.tops, self.bottoms, self.whole = (
            [GARMENTS.build(dict(config)) for config in configs] for configs in (tops, bottoms, whole)
        )
        both = {top.name for top in self.tops} & {bottom.name for bottom in self.bottoms}
        if both:
            raise ConfigError(f"{', '.join(sorted(both))} is in both tops and bottoms; no garment is worn twice")
        self.share = share if tops and whole else float(bool(whole))
        self.tucked = tucked

    def draw(self, rng: np.random.Generator) -> list[ParametricGarment]:
        """Garments to cut, innermost first.

        Args:
            rng: Random generator; the number of draws does not depend on the outcome.
        """
        one_piece, inside, pick = rng.random() < self.share, rng.random() < self.tucked, rng.random(2)
        if one_piece:
            return [_picked(self.whole, pick[0])]
        bottom, top = _picked(self.bottoms, pick[0]), _picked(self.tops, pick[1])
        return [top, bottom] if inside else [bottom, top]


def _picked(garments: list[ParametricGarment], number: float) -> ParametricGarment:
    """The garment selected by a number in [0, 1)."""
    return garments[int(number * len(garments))]
