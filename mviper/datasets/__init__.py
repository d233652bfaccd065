"""Clip data sets and their transforms; importing this package registers them."""

from mviper.datasets.check import DatasetCheck, check_dataset
from mviper.datasets.clips import ClipDataset, MediaClipDataset
from mviper.datasets.crop import crop_frame, crop_squares, to_crop_units
from mviper.datasets.features import FeatureStore, StoredSequence, StoreWriter, Widths, crop_id
from mviper.datasets.human_data import HumanDataset
from mviper.datasets.landmark_simulation import SimulatedLandmarks
from mviper.datasets.mixed import MixedDataset
from mviper.datasets.packed import PackedHumanVideo
from mviper.datasets.packing import PACKED_KINDS, pack_split
from mviper.datasets.poses import AdversarialDataset, PoseLibrary
from mviper.datasets.protocol import AnnotatedDataset, gather_annotations
from mviper.datasets.sequences import SPLIT_ATTRIBUTES, SPLITS, FactorySequence, find_sequences, split_without_overlap
from mviper.datasets.synthetic import SyntheticHumanVideo
from mviper.datasets.transforms import AugmentClip, CropClip, JitterClip, PackBodySample
from mviper.datasets.video import VideoReader

__all__ = [
    "PACKED_KINDS", "SPLITS", "SPLIT_ATTRIBUTES", "AdversarialDataset", "AnnotatedDataset", "AugmentClip",
    "ClipDataset", "CropClip", "DatasetCheck", "FactorySequence", "FeatureStore", "HumanDataset", "JitterClip",
    "MediaClipDataset", "MixedDataset", "PackBodySample", "PackedHumanVideo", "PoseLibrary", "SimulatedLandmarks",
    "StoreWriter", "StoredSequence", "SyntheticHumanVideo", "VideoReader", "Widths", "check_dataset", "crop_frame",
    "crop_id", "crop_squares", "find_sequences", "gather_annotations", "pack_split", "split_without_overlap",
    "to_crop_units",
]  # fmt: skip
