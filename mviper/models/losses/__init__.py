"""Losses: ``loss(prediction, target) -> scalar`` over (B, T, ...) tensors."""

from mviper.models.losses.adversarial import AdversarialLoss, SMPLDiscriminator
from mviper.models.losses.paper import Joint3DLoss, ProjectionLoss, ShapeSmoothnessLoss, SMPLParameterLoss

__all__ = [
    "AdversarialLoss",
    "Joint3DLoss",
    "ProjectionLoss",
    "SMPLDiscriminator",
    "SMPLParameterLoss",
    "ShapeSmoothnessLoss",
]
