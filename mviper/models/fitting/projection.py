"""Cameras of a fit: full perspective with a given or guessed focal length, and the crop's weak perspective.

Both have the same parameters, a focal length and the root's position in camera axes, so that a fit has the same
unknowns with either: weak perspective divides every joint by the root's depth instead of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mviper.body import axis_angle_to_matrix
from mviper.errors import ConfigError

#: Smallest depth used in projection [m].
NEAR = 0.2

#: Focal length of a weak perspective in sides of the crop. Any would do, since only focal length over depth counts;
#: this puts people at about 5 m.
WEAK_FOCAL = 2.5


def guess_focal(width: float, height: float) -> float:
    """Focal length of an unknown camera: the picture's diagonal, a field of view of 53 degrees across it.

    The customary guess without calibration or EXIF (Kissos et al., "Beyond Weak Perspective for Monocular 3D Human Pose
    Estimation", ECCVW 2020).

    Args:
        width: Of the picture [px].
        height: Of the picture [px].

    Returns:
        [px].
    """
    return math.hypot(width, height)


@dataclass(frozen=True)
class Projection:
    """Cameras of N frames; pixel (0, 0) is the centre of the top-left pixel.

    Attributes:
        focal: [px], shape (N,).
        centre: Principal point [px], shape (N, 2).
        perspective: False for weak perspective, where all points have the root's depth.
    """

    focal: Tensor
    centre: Tensor
    perspective: bool = True

    @classmethod
    def of_picture(
        cls, frames: int, width: int, height: int, focal: float | None = None, perspective: bool = True
    ) -> Projection:
        """The same centred camera for all frames of a video.

        Args:
            frames: N.
            width: Of the picture [px].
            height: Of the picture [px].
            focal: [px]; None guesses it (:func:`guess_focal`).
            perspective: False for weak perspective.

        Raises:
            ConfigError: The focal length is not positive.
        """
        if focal is not None and not focal > 0:
            raise ConfigError(f"focal={focal}, expected a focal length in pixels, more than 0 (None guesses one)")
        centre = torch.tensor([(width - 1) / 2, (height - 1) / 2]).expand(frames, 2)
        return cls(torch.full((frames,), float(focal or guess_focal(width, height))), centre, perspective)

    @classmethod
    def of_crops(cls, crops: Tensor) -> Projection:
        """Weak perspective of square crops.

        Args:
            crops: Centre x, centre y, side [px], shape (N, 3).
        """
        return cls(WEAK_FOCAL * crops[:, 2], crops[:, :2], perspective=False)

    def __getitem__(self, frames: Tensor | slice) -> Projection:
        return replace(self, focal=self.focal[frames], centre=self.centre[frames])

    def to(self, *args: Any, **kwargs: Any) -> Projection:
        """Moves to another device or dtype; arguments as for ``Tensor.to``."""
        return replace(self, focal=self.focal.to(*args, **kwargs), centre=self.centre.to(*args, **kwargs))

    def project(self, points: Tensor, root: Tensor) -> Tensor:
        """Points in camera axes (N, P, 3) [m], of bodies whose SMPL joint 0 is at ``root`` (N, 3), to pixels."""
        return self.centre[:, None] + self.focal[:, None, None] * points[..., :2] / self._depth(points, root)

    def _depth(self, points: Tensor, root: Tensor) -> Tensor:
        depth = points[..., 2:] if self.perspective else root[:, None, 2:]
        return depth.clamp_min(NEAR)

    def linearized(self, points: Tensor, jacobian: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels and their derivatives with respect to a fit's unknowns.

        Args:
            points: Camera axes [m], shape (N, P, 3).
            jacobian: Their derivatives, shape (N, P, 3, D); column 74 (of six the last) is by z of the translation.
            root: Where SMPL joint 0 is [m], shape (N, 3).

        Returns:
            Pixels (N, P, 2), and their derivatives (N, P, 2, D). In weak perspective the shape's small influence on the
            root's depth is left out.
        """
        depth = self._depth(points, root)
        scaled = points[..., :2] / depth
        gain = self.focal[:, None, None] / depth
        pixels = self.centre[:, None] + self.focal[:, None, None] * scaled
        if self.perspective:
            change = jacobian[..., :2, :] - scaled[..., None] * jacobian[..., 2:, :]
        else:
            change = jacobian[..., :2, :].clone()
            change[..., min(74, change.shape[-1] - 1)] -= scaled
        return pixels, gain[..., None] * change

    def weak_camera(self, root: Tensor, crops: Tensor) -> Tensor:
        """The crop's camera of eq. 6 for a root position: ``crop units = s X[:, :2] + t``.

        Args:
            root: Where SMPL joint 0 is, camera axes [m], shape (N, 3).
            crops: Centre x, centre y, side [px], shape (N, 3).

        Returns:
            (s, tx, ty) in crop units per metre and crop units, shape (N, 3).
        """
        depth = root[:, 2:].clamp_min(NEAR)
        per_pixel = 2 / crops[:, 2:]
        pixel = self.centre + self.focal[:, None] * root[:, :2] / depth
        return torch.cat([self.focal[:, None] / depth * per_pixel, (pixel - crops[:, :2]) * per_pixel], 1)

    def turned_to(self, pixels: Tensor) -> Tensor:
        """The smallest rotation that takes the camera's axis to the rays of pixels.

        A crop shows a person as a camera aimed at the crop's centre would; this takes a network's prediction for the
        crop to the axes of the camera that took the whole picture. Identity for weak perspective, whose rays are
        parallel.

        Args:
            pixels: x, y [px], shape (N, 2).

        Returns:
            Rotations, shape (N, 3, 3).
        """
        off = (pixels - self.centre) / self.focal[:, None] * self.perspective
        axis = torch.stack([-off[:, 1], off[:, 0], torch.zeros_like(off[:, 0])], -1)  # z x ray
        reach = axis.norm(dim=-1, keepdim=True)
        return axis_angle_to_matrix(axis / reach.clamp_min(1e-9) * reach.atan())

    def root_of(self, camera: Tensor, crops: Tensor) -> Tensor:
        """Inverse of :meth:`weak_camera`: the root's position from a network's camera.

        Args:
            camera: (s, tx, ty), shape (N, 3).
            crops: Centre x, centre y, side [px], shape (N, 3).

        Returns:
            [m], shape (N, 3).
        """
        half = crops[:, 2:] / 2
        depth = self.focal[:, None] / (camera[:, :1].clamp_min(1e-3) * half)
        pixel = crops[:, :2] + camera[:, 1:] * half
        return torch.cat([(pixel - self.centre) * depth / self.focal[:, None], depth], 1)
