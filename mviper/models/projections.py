"""Camera models of the network's camera parameters: the paper's weak perspective, or MMHuman3D's."""

from __future__ import annotations

import torch
from torch import Tensor

from mviper.models.parameters import project
from mviper.registry import MODELS


@MODELS.register_module()
class WeakPerspective:
    """Eq. 6: ``s X[:, :2] + t`` of the joints relative to SMPL joint 0; scale first, then shift."""

    def __call__(self, joints: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
        """Projects.

        Args:
            joints: (..., J, 3) [m], camera axes, from the body model without translation.
            camera: (..., 3) = (s, tx, ty), the network's output.

        Returns:
            (..., J, 2) in crop units, and the camera of eq. 6 that comes closest (here: the same).
        """
        return project(joints - joints[..., :1, :], camera), camera

    def camera_from_weak(self, weak: Tensor) -> Tensor:
        """The camera (..., 3) that corresponds to one of eq. 6: the same."""
        return weak


@MODELS.register_module()
class Perspective:
    """Camera model of SPIN and MMHuman3D: a distant pinhole, ``t = (tx, ty, 2 f / (S s))``, shift first.

    Joints are those of the body model, without subtracting the pelvis.

    Args:
        focal_length: f [px].
        resolution: S, side of the pictures that the network sees [px].
    """

    def __init__(self, focal_length: float = 5000.0, resolution: float = 224.0) -> None:
        self.focal = 2 * focal_length / resolution  # in crop units

    def __call__(self, joints: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
        """Projects.

        Args:
            joints: (..., J, 3) [m], camera axes, from the body model without translation.
            camera: (..., 3) = (s, tx, ty), the network's output.

        Returns:
            (..., J, 2) in crop units, and the camera of eq. 6 that is the same at the depth of SMPL joint 0.
        """
        scale, shift = camera[..., None, :1], camera[..., None, 1:]
        depth = joints[..., 2:] + self.focal / (scale + 1e-9)
        points = self.focal * (joints[..., :2] + shift) / depth
        return points, torch.cat([self.focal / depth[..., 0, :], points[..., 0, :]], -1)

    def camera_from_weak(self, weak: Tensor) -> Tensor:
        """The camera (..., 3) that corresponds to one of eq. 6, for a pelvis near the body model's origin."""
        return torch.cat([weak[..., :1], weak[..., 1:] / weak[..., :1]], -1)
