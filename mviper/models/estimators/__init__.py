"""Estimators: encoder, neck, head and body model, trained and run as one mmengine model."""

from mviper.models.estimators.base import BodyModelEstimator
from mviper.models.estimators.image import ImageBodyModelEstimator
from mviper.models.estimators.video import VideoBodyModelEstimator
from mviper.models.estimators.walking import Memory, Walker, map_tensors

__all__ = [
    "BodyModelEstimator",
    "ImageBodyModelEstimator",
    "Memory",
    "VideoBodyModelEstimator",
    "Walker",
    "map_tensors",
]
