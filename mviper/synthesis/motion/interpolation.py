"""The paper's interpolation between contrasting poses: the distance D, the pair that it picks, the frames between.

Source: paper §3, "data generation". Reading: D is taken over the 23 joints; with the root inside, argmax would pick
opposite headings instead of contrasting poses.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def principal_axis_angle(poses: np.ndarray) -> np.ndarray:
    """The same rotations with angles in [0, pi]: axis-angle is ambiguous by 2 pi, and D must not depend on it.

    Args:
        poses: Axis-angle [rad], shape (..., 3).

    Returns:
        Shape (..., 3).
    """
    return Rotation.from_rotvec(poses.reshape(-1, 3)).as_rotvec().reshape(poses.shape)


def pose_distances(poses_x: np.ndarray, poses_y: np.ndarray) -> np.ndarray:
    """``D[i, j] = ||theta(X_i) - theta(Y_j)||_2`` over the 23 joints without the root.

    Args:
        poses_x: Axis-angle, root first [rad], shape (M, 24, 3).
        poses_y: Shape (N, 24, 3).

    Returns:
        [rad], shape (M, N).
    """
    x = principal_axis_angle(poses_x[:, 1:]).reshape(len(poses_x), -1)
    y = principal_axis_angle(poses_y[:, 1:]).reshape(len(poses_y), -1)
    squared = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.sqrt(np.maximum(squared, 0))


def contrasting_pair(poses_x: np.ndarray, poses_y: np.ndarray) -> tuple[int, int, float]:
    """Start and end pose of an interpolated motion: ``argmax D``.

    Returns:
        Frame of X, frame of Y, and max D [rad].
    """
    distances = pose_distances(poses_x, poses_y)
    i, j = np.unravel_index(int(distances.argmax()), distances.shape)
    return int(i), int(j), float(distances[i, j])


def interpolated_poses(start: np.ndarray, end: np.ndarray, frames_per_radian: float = 2.0) -> np.ndarray:
    """Poses between two, linear in axis-angle; their number, ``ceil(k D)``, grows with the distance.

    No joint spins the long way round: of the axis-angles of the end pose, the one nearest to the start's is taken.

    Args:
        start: Axis-angle [rad], shape (24, 3).
        end: Shape (24, 3).
        frames_per_radian: k.

    Returns:
        Start, in-between frames, end, shape (ceil(k D) + 2, 24, 3).
    """
    count = int(np.ceil(frames_per_radian * pose_distances(start[None], end[None])[0, 0]))
    start, end = principal_axis_angle(start), principal_axis_angle(end)
    angle = np.linalg.norm(end, axis=-1, keepdims=True)
    other_way = end * (1 - 2 * np.pi / np.maximum(angle, 1e-12))  # the same rotation, about the opposite axis
    nearer = np.linalg.norm(other_way - start, axis=-1, keepdims=True) < np.linalg.norm(
        end - start, axis=-1, keepdims=True
    )
    end = np.where(nearer & (angle > 1e-12), other_way, end)
    weight = np.linspace(0, 1, count + 2)[:, None, None]
    return (1 - weight) * start + weight * end
