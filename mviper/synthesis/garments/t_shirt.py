"""A T-shirt: a bodice with short sleeves."""

from __future__ import annotations

from mviper.registry import GARMENTS
from mviper.synthesis.garments.bodice import Sleeve, arm_girth, bodice_for_sleeve
from mviper.synthesis.garments.drafting import Draft, ParametricGarment, Range
from mviper.synthesis.garments.measure import Measurements


@GARMENTS.register_module()
class TShirt(ParametricGarment):
    """A T-shirt of four panels with a round neck.

    Args:
        ease: Girth of the cloth round the trunk minus the body's [m].
        length: From the armpit down, as a share of the distance from armpit to crotch.
        sleeve: Where the sleeves end: 0 at the shoulder joint, 1 at the elbow, 2 at the wrist.
        sleeve_ease: Girth of the cuff minus the upper arm's [m].
        neck_depth: Depth of the neckline in front [m].
    """

    name, kind = "t_shirt", "top"

    ease: Range = (0.08, 0.18)
    length: Range = (0.85, 1.05)
    sleeve: Range = (0.6, 0.95)
    sleeve_ease: Range = (0.08, 0.14)
    neck_depth: Range = (0.07, 0.10)
    material: str = "jersey"

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Panels round the trunk and the upper arms."""
        bodice = bodice_for_sleeve(
            body, arm_girth(body) + drawn["sleeve_ease"], ease=drawn["ease"], neck_depth=drawn["neck_depth"],
            hem=body.trunk_level(drawn["length"]),
        )  # fmt: skip
        sleeve = Sleeve(bodice, drawn["sleeve_ease"], drawn["sleeve"])
        return Draft.of(bodice, sleeve)
