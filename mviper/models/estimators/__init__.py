"""Estimators: encoder, neck, head and body model, trained and run as one mmengine model."""

from mviper.models.estimators.image import ImageBodyModelEstimator
from mviper.models.estimators.video import Memory, VideoBodyModelEstimator

__all__ = ["ImageBodyModelEstimator", "Memory", "VideoBodyModelEstimator"]
