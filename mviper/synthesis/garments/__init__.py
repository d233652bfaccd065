"""Parametric garments: cut as flat panels from a body's measurements."""

from mviper.synthesis.garments.bodice import Bodice, Sleeve
from mviper.synthesis.garments.drafting import Draft, Fit, GarmentPart, ParametricGarment, Range, cut_out
from mviper.synthesis.garments.dress import Dress
from mviper.synthesis.garments.hoodie import Hood, Hoodie
from mviper.synthesis.garments.long_sleeved_shirt import LongSleevedShirt
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.open_jacket import OpenJacket
from mviper.synthesis.garments.outfits import RandomOutfit
from mviper.synthesis.garments.pattern import Edge, Panel, Pattern, PatternError, Seam
from mviper.synthesis.garments.pattern_files import write_pattern
from mviper.synthesis.garments.skirts import CircleSkirt, PencilSkirt
from mviper.synthesis.garments.t_shirt import TShirt
from mviper.synthesis.garments.tank_top import TankTop
from mviper.synthesis.garments.trousers import Shorts, Trousers

__all__ = [
    "Bodice", "CircleSkirt", "Draft", "Dress", "Edge", "Fit", "GarmentPart", "Hood", "Hoodie", "LongSleevedShirt",
    "Measurements", "OpenJacket", "Panel", "ParametricGarment", "Pattern", "PatternError", "PencilSkirt",
    "RandomOutfit", "Range", "Seam", "Shorts", "Sleeve", "TShirt", "TankTop", "Trousers", "cut_out",
    "write_pattern",
]  # fmt: skip
