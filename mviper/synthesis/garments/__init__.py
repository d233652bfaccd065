"""Parametric garments: cut as flat panels from a body's measurements."""

from mviper.synthesis.garments.pattern import Edge, Panel, Pattern, PatternError, Seam, sew_ready
from mviper.synthesis.garments.t_shirt import TShirt
from mviper.synthesis.garments.trousers import Trousers

__all__ = ["Edge", "Panel", "Pattern", "PatternError", "Seam", "TShirt", "Trousers", "sew_ready"]
