"""A camera over time, in OpenCV's convention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def is_rotation(matrices: np.ndarray, tolerance: float = 1e-2) -> bool:
    """Whether all matrices (..., 3, 3) are rotations: neither scaled, sheared nor mirrored."""
    squares = matrices @ np.swapaxes(matrices, -1, -2)
    return bool((np.abs(squares - np.eye(3)) < tolerance).all() and (np.linalg.det(matrices) > 0).all())


@dataclass
class Camera:
    """A pinhole camera that may rotate and move (x right, y down, z forward).

    ``x_cam = R x_world + t``. Pixel (0, 0) is the CENTRE of the top-left pixel, so a centred camera has
    ``cx = (width - 1) / 2``.

    Attributes:
        K: Intrinsics [px], shape (3, 3), the same for all frames.
        R: World to camera, shape (T, 3, 3).
        t: World to camera [m], shape (T, 3).
        width: Image width [px].
        height: Image height [px].
        name: E.g. ``"east"``.
    """

    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    width: int
    height: int
    name: str = ""

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points (T, N, 3) [m] in camera axes, (T, N, 3) [m]."""
        return np.einsum("tij,tnj->tni", self.R, points) + self.t[:, None]

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (T, N, 3) [m] to pixels (T, N, 2).

        Example:
            >>> K = np.array([[100.0, 0.0, 63.5], [0.0, 100.0, 63.5], [0.0, 0.0, 1.0]])
            >>> camera = Camera(K, np.eye(3)[None], np.zeros((1, 3)), width=128, height=128)
            >>> camera.project(np.array([[[0.0, 0.0, 2.0], [1.0, 0.0, 2.0]]])).tolist()
            [[[63.5, 63.5], [113.5, 63.5]]]
        """
        camera_points = self.to_camera(points)
        image = np.einsum("ij,tnj->tni", self.K, camera_points)
        return image[..., :2] / image[..., 2:]
