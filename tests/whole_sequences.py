"""Metrics of a whole sequence and the inverse of the crop, as tests expect them; the package computes their terms."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from mviper.datasets.crop import crop_matrices
from mviper.evaluation.functional import shape_variation, vertex_variation


def mrvpv(vertices: Tensor, p: int = 1, norm: str = "vertex", reduction: str = "sum") -> Tensor:
    """Eq. 21 for one sequence, shape (): M - 1 terms over M, as printed. Arguments as in ``vertex_variation``."""
    return vertex_variation(vertices, p, norm, reduction).sum() / len(vertices)


def mrsv(betas: Tensor, p: int = 1) -> Tensor:
    """Eq. 22 for one sequence's betas (M, B), shape (): M - 1 terms over M, as printed."""
    return shape_variation(betas, p).sum() / len(betas)


def from_crop_units(
    points: np.ndarray, boxes: np.ndarray, rotation: float | np.ndarray = 0.0, flip: bool = False
) -> np.ndarray:
    """Crop units (T, N, 2) to video pixels (T, N, 2): the inverse of ``to_crop_units``."""
    matrices = crop_matrices(boxes, rotation, flip)
    inverse = np.linalg.inv(matrices[:, :, :2])
    return (points - matrices[:, None, :, 2]) @ inverse.transpose(0, 2, 1)
