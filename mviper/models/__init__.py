"""Models: encoders, necks, heads, losses, estimators and the data preprocessor, all in ``MODELS``."""

from mviper.models.conversion import from_mmhuman3d
from mviper.models.data_preprocessor import BodyDataPreprocessor
from mviper.models.encoders import EfficientNetLiteEncoder, ResNetEncoder
from mviper.models.estimators import ImageBodyModelEstimator, VideoBodyModelEstimator
from mviper.models.fitting import SMPLifyEstimator
from mviper.models.heads import IEFHead, compute_mean_phi
from mviper.models.losses import (
    AdversarialLoss,
    Joint3DLoss,
    JointVelocityLoss,
    ProjectionLoss,
    ShapeSmoothnessLoss,
    SMPLDiscriminator,
    SMPLParameterLoss,
)
from mviper.models.necks import AttentionLSTM
from mviper.models.parameters import join_phi, mirrored_phi
from mviper.models.projections import Perspective, WeakPerspective
from mviper.models.weights import fetch_pretrained, is_pretrained, read_weights

__all__ = [
    "AdversarialLoss",
    "AttentionLSTM",
    "BodyDataPreprocessor",
    "EfficientNetLiteEncoder",
    "IEFHead",
    "ImageBodyModelEstimator",
    "Joint3DLoss",
    "JointVelocityLoss",
    "Perspective",
    "ProjectionLoss",
    "ResNetEncoder",
    "SMPLDiscriminator",
    "SMPLParameterLoss",
    "SMPLifyEstimator",
    "ShapeSmoothnessLoss",
    "VideoBodyModelEstimator",
    "WeakPerspective",
    "compute_mean_phi",
    "fetch_pretrained",
    "from_mmhuman3d",
    "is_pretrained",
    "join_phi",
    "mirrored_phi",
    "read_weights",
]  # fmt: skip
