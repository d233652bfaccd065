"""Clip data sets and their transforms; importing this package registers them."""

from mviper.datasets.synthetic import SyntheticHumanVideo
from mviper.datasets.transforms import AugmentClip, CropClip, JitterClip, PackBodySample

__all__ = ["AugmentClip", "CropClip", "JitterClip", "PackBodySample", "SyntheticHumanVideo"]
