"""Measurements of any body's surface, for cutting garments: from joints and slices, never from vertex ids."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from mviper.body.smpl import SMPL


@dataclasses.dataclass
class BodyShape:
    """One person's body at rest: the T-pose in WORLD axes (z up, facing south, -y) with the soles at z = 0.

    Attributes:
        vertices: (V, 3) float64 [m].
        faces: (F, 3) int64.
        joints: (44, 3) float64 in the order of ``KEYPOINTS`` [m].
        weights: (V, 24) skinning weights, or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    joints: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def from_body(cls, body: SMPL, betas: np.ndarray) -> BodyShape:
        """The rest shape of a body model.

        Args:
            body: The body model.
            betas: (num_betas,).
        """
        with torch.no_grad():
            output = body(torch.as_tensor(betas, dtype=torch.float32)[None], torch.eye(3).expand(1, 24, 3, 3))
        vertices, joints = (
            part[0].double().numpy()[:, [0, 2, 1]] * [1, -1, 1] for part in (output.vertices, output.joints)
        )
        ground = np.array([0.0, 0.0, vertices[:, 2].min()])
        return cls(vertices - ground, body.faces, joints - ground, body.weights)
