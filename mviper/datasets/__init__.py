"""Clip data sets and their transforms; importing this package registers them."""

from mviper.datasets.clips import ClipDataset, MediaClipDataset
from mviper.datasets.features import FeatureStore
from mviper.datasets.human_data import HumanDataset
from mviper.datasets.mixed import MixedDataset
from mviper.datasets.packed import PackedHumanVideo
from mviper.datasets.poses import AdversarialDataset, PoseLibrary
from mviper.datasets.protocol import AnnotatedDataset, gather_annotations
from mviper.datasets.synthetic import SyntheticHumanVideo
from mviper.datasets.transforms import AugmentClip, CropClip, JitterClip, PackBodySample

__all__ = [
    "AdversarialDataset",
    "AnnotatedDataset",
    "AugmentClip",
    "ClipDataset",
    "CropClip",
    "FeatureStore",
    "HumanDataset",
    "JitterClip",
    "MediaClipDataset",
    "MixedDataset",
    "PackBodySample",
    "PackedHumanVideo",
    "PoseLibrary",
    "SyntheticHumanVideo",
    "gather_annotations",
]
