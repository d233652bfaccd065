"""A dress: a bodice, with or without short sleeves, sewn to a flared skirt at the waist."""

from __future__ import annotations

from mviper.registry import GARMENTS
from mviper.synthesis.garments.bodice import Bodice, Sleeve, arm_girth, bodice_for_sleeve
from mviper.synthesis.garments.drafting import Draft, ParametricGarment, Range
from mviper.synthesis.garments.lower_body import LowerBody
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.skirts import RingSkirt

#: Girth of the sleeves minus the upper arm's [m]: wide, since a bodice held at the waist cannot give way.
SLEEVE_EASE = 0.14


@GARMENTS.register_module()
class Dress(ParametricGarment):
    """A dress with a waist seam, four panels and two sleeves or none, hanging from the shoulders.

    Args:
        ease: Girth of the bodice minus the trunk's [m].
        sleeve: Where the sleeves end: 0 at the shoulder joint, 1 at the elbow; no sleeves below 0.3.
        strap: Width at the shoulder seam of a dress without sleeves [m].
        neck_depth: Depth of the neckline in front [m].
        waist: Position of the waist seam, as a share of the distance from the hip joints to the joint ``spine_2``.
        flare: The skirt's angle as a share of a full circle; increased if the hips would not fit.
        length: From the waist seam down, as a share of the distance to the ankle joints.
        hip_ease: Minimum girth of the skirt at the hips minus the body's [m].
    """

    name, kind = "dress", "dress"

    ease: Range = (0.06, 0.12)
    sleeve: Range = (0.0, 0.5)
    strap: Range = (0.05, 0.08)
    neck_depth: Range = (0.08, 0.12)
    waist: Range = (0.75, 0.95)
    flare: Range = (0.3, 0.7)
    length: Range = (0.45, 0.75)
    hip_ease: Range = (0.08, 0.14)

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Bodice, sleeves if any, and skirt."""
        lower = LowerBody(body, drawn["waist"])
        shape = dict(ease=drawn["ease"], neck_depth=drawn["neck_depth"], hem=lower.waist_height)
        if drawn["sleeve"] < 0.3:
            parts = [Bodice(body, strap=drawn["strap"], **shape)]
        else:
            bodice = bodice_for_sleeve(body, arm_girth(body) + SLEEVE_EASE, **shape)
            parts = [bodice, Sleeve(bodice, SLEEVE_EASE, drawn["sleeve"])]
        length = drawn["length"] * (lower.waist_height - lower.ankle_height)
        skirt = RingSkirt(
            lower, 4 * parts[0].half_hem, drawn["flare"], length, drawn["hip_ease"], sewn_to=("front", "back")
        )
        return Draft.of(*parts, skirt)
