"""Parametric garments: cut as flat panels from a body's measurements."""

from mviper.synthesis.garments.drafting import Draft, ParametricGarment, cut_out
from mviper.synthesis.garments.pattern import Edge, Panel, Pattern, PatternError, Seam
from mviper.synthesis.garments.t_shirt import TShirt
from mviper.synthesis.garments.trousers import Trousers

__all__ = [
    "Draft", "Edge", "Panel", "ParametricGarment", "Pattern", "PatternError", "Seam", "TShirt", "Trousers", "cut_out",
]  # fmt: skip
