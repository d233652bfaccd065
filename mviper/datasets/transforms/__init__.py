"""Transforms of clips, in pipeline order."""

from mviper.datasets.transforms.appearance import JitterClip
from mviper.datasets.transforms.geometry import AugmentClip, CropClip
from mviper.datasets.transforms.pack import DATA_FIELDS, PackBodySample

__all__ = ["DATA_FIELDS", "AugmentClip", "CropClip", "JitterClip", "PackBodySample"]
