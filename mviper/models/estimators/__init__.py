"""Estimators: encoder, neck, head and body model, trained and run as one mmengine model."""

from mviper.models.estimators.base import BodyModelEstimator
from mviper.models.estimators.image import ImageBodyModelEstimator
from mviper.models.estimators.video import VideoBodyModelEstimator
from mviper.models.estimators.walking import ClipNetwork, Memory, map_tensors

__all__ = [
    "BodyModelEstimator",
    "ClipNetwork",
    "ImageBodyModelEstimator",
    "Memory",
    "VideoBodyModelEstimator",
    "map_tensors",
]
