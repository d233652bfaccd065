"""Losses: ``loss(prediction, target) -> scalar`` over (B, T, ...) tensors."""

from mviper.models.losses.paper import Joint3DLoss, ProjectionLoss, ShapeSmoothnessLoss, SMPLParameterLoss

__all__ = ["Joint3DLoss", "ProjectionLoss", "SMPLParameterLoss", "ShapeSmoothnessLoss"]
