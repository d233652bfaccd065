"""Encoders: pictures (N, 3, H, W) to features (N, D) and low-level maps (N, L, D_map)."""

from mviper.models.encoders.blazepose import BlazePoseEncoder, landmark_vectors
from mviper.models.encoders.efficientnet_lite import EfficientNetLiteEncoder
from mviper.models.encoders.resnet import ResNetEncoder

__all__ = ["BlazePoseEncoder", "EfficientNetLiteEncoder", "ResNetEncoder", "landmark_vectors"]
