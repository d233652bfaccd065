"""Losses: ``loss(prediction, target) -> scalar`` over (B, T, ...) tensors."""

from mviper.models.losses.adversarial import AdversarialLoss, SMPLDiscriminator
from mviper.models.losses.paper import Joint3DLoss, ProjectionLoss, ShapeSmoothnessLoss, SMPLParameterLoss
from mviper.models.losses.temporal import JointVelocityLoss

__all__ = [
    "AdversarialLoss",
    "Joint3DLoss",
    "JointVelocityLoss",
    "ProjectionLoss",
    "SMPLDiscriminator",
    "SMPLParameterLoss",
    "ShapeSmoothnessLoss",
]
