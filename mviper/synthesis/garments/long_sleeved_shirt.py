"""A shirt with long sleeves."""

from __future__ import annotations

from mviper.registry import GARMENTS
from mviper.synthesis.garments.bodice import Sleeve, arm_girth, bodice_for_sleeve
from mviper.synthesis.garments.drafting import Draft, ParametricGarment, Range
from mviper.synthesis.garments.measure import Measurements


@GARMENTS.register_module()
class LongSleevedShirt(ParametricGarment):
    """A shirt of four panels with sleeves down to the wrist.

    Args:
        ease: Girth of the cloth round the trunk minus the body's [m].
        length: From the armpit down, as a share of the distance from armpit to crotch.
        sleeve: Where the sleeves end: 1 at the elbow, 2 at the wrist.
        sleeve_ease: Sleeve's girth minus the upper arm's [m].
        cuff_ease: Girth of the cuff minus the arm's there [m].
        neck_depth: Depth of the neckline in front [m].
    """

    name, kind = "long_sleeved_shirt", "top"

    ease: Range = (0.08, 0.18)
    length: Range = (0.9, 1.05)
    sleeve: Range = (1.7, 1.95)
    sleeve_ease: Range = (0.09, 0.14)
    cuff_ease: Range = (0.04, 0.07)
    neck_depth: Range = (0.06, 0.09)

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Panels round the trunk and the arms."""
        bodice = bodice_for_sleeve(
            body, arm_girth(body) + drawn["sleeve_ease"], ease=drawn["ease"], neck_depth=drawn["neck_depth"],
            hem=body.trunk_level(drawn["length"]),
        )  # fmt: skip
        return Draft.of(bodice, Sleeve(bodice, drawn["sleeve_ease"], drawn["sleeve"], drawn["cuff_ease"]))
