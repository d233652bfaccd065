"""A tank top: a bodice with straps."""

from __future__ import annotations

from mviper.registry import GARMENTS
from mviper.synthesis.garments.bodice import Bodice
from mviper.synthesis.garments.drafting import Draft, ParametricGarment, Range
from mviper.synthesis.garments.measure import Measurements


@GARMENTS.register_module()
class TankTop(ParametricGarment):
    """A tank top of two panels that hangs by its straps.

    Args:
        ease: Girth of the cloth round the trunk minus the body's [m].
        length: From the armpit down, as a share of the distance from armpit to crotch.
        strap: Width of the straps at the shoulder seam [m].
        neck_depth: Depth of the neckline in front [m].
        neck_width: Half width of the neckline minus the neck's [m].
    """

    name, kind = "tank_top", "top"

    ease: Range = (0.06, 0.14)
    length: Range = (0.85, 1.0)
    strap: Range = (0.04, 0.06)
    neck_depth: Range = (0.10, 0.14)
    neck_width: Range = (0.02, 0.035)
    material: str = "jersey"

    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Front and back round the trunk."""
        shape = {key: drawn[key] for key in ("ease", "strap", "neck_depth", "neck_width")}
        return Draft.of(Bodice(body, hem=body.trunk_level(drawn["length"]), **shape))
