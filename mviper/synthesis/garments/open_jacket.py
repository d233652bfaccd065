"""A jacket worn open, up to the length of a coat."""

from __future__ import annotations

import numpy as np

from mviper.body import BodyShape
from mviper.registry import GARMENTS
from mviper.synthesis.garments.bodice import Sleeve, arm_girth, bodice_for_sleeve
from mviper.synthesis.garments.drafting import Draft, ParametricGarment, Range
from mviper.synthesis.garments.measure import Measurements

#: From the shoulder joints down to the armpits [m].
_TO_ARMPIT = 0.08


@GARMENTS.register_module()
class OpenJacket(ParametricGarment):
    """A jacket or, if long, a coat: two fronts that hang open from the shoulders, a back, long sleeves.

    Wide enough to go over a shirt. Its collar stays at the nape.

    Args:
        ease: Girth of the cloth round the trunk minus the body's [m].
        length: From the armpit down, as a share of the distance from armpit to crotch; beyond 1 it covers the legs.
        flare: Extra girth of the hem beyond the ease [m].
        sleeve: Where the sleeves end: 1 at the elbow, 2 at the wrist.
        sleeve_ease: Sleeve's girth minus the upper arm's [m].
        cuff_ease: Girth of the cuff minus the arm's there [m].
        neck_depth: Depth of the neckline in front [m].
    """

    name, kind = "open_jacket", "top"

    ease: Range = (0.16, 0.24)
    length: Range = (1.0, 1.5)
    flare: Range = (0.0, 0.15)
    sleeve: Range = (1.8, 1.95)
    sleeve_ease: Range = (0.13, 0.18)
    cuff_ease: Range = (0.07, 0.10)
    neck_depth: Range = (0.08, 0.12)
    material: str = "wool"

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Panels round the trunk and the arms."""
        bodice = bodice_for_sleeve(
            body, arm_girth(body) + drawn["sleeve_ease"], ease=drawn["ease"], neck_depth=drawn["neck_depth"],
            hem=body.trunk_level(drawn["length"]), flare=drawn["flare"], neck_width=0.02, opening=True,
        )  # fmt: skip
        sleeve = Sleeve(bodice, drawn["sleeve_ease"], drawn["sleeve"], drawn["cuff_ease"])
        return Draft.of(bodice, sleeve, pins=bodice.collar_pins())

    def covers(self, body_shape: BodyShape) -> np.ndarray:
        """Arms, shoulders and nape, on which it hangs: below, it flies up in a run and falls over in a cartwheel."""
        shoulder, (x, y, z) = body_shape.joint("left_shoulder"), body_shape.vertices.T
        front = (np.abs(x) < shoulder[0]) & (y < shoulder[1])
        return ~front & (z > shoulder[2] - _TO_ARMPIT)
