"""Models: encoders, necks, heads, losses, estimators and the data preprocessor, all in ``MODELS``."""

from mviper.models.data_preprocessor import BodyDataPreprocessor
from mviper.models.encoders import EfficientNetLiteEncoder, ResNetEncoder
from mviper.models.estimators import ImageBodyModelEstimator, VideoBodyModelEstimator
from mviper.models.fitting import SMPLifyEstimator
from mviper.models.heads import IEFHead, compute_mean_phi
from mviper.models.losses import Joint3DLoss, ProjectionLoss, ShapeSmoothnessLoss, SMPLParameterLoss
from mviper.models.necks import AttentionLSTM

__all__ = [
    "AttentionLSTM",
    "BodyDataPreprocessor",
    "EfficientNetLiteEncoder",
    "IEFHead",
    "ImageBodyModelEstimator",
    "Joint3DLoss",
    "ProjectionLoss",
    "ResNetEncoder",
    "SMPLParameterLoss",
    "SMPLifyEstimator",
    "ShapeSmoothnessLoss",
    "VideoBodyModelEstimator",
    "compute_mean_phi",
]
