"""Attaches points to a moving surface without skinning weights."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def follow_surface(points: np.ndarray, surface: np.ndarray, neighbours: int = 24) -> np.ndarray:
    """Moves points along with a surface.

    Each point moves rigidly with its nearest surface vertices in frame 0, by their weighted best-fit rotation and
    translation (Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976). Neighbouring points
    share most of their vertices, so a waistband stays smooth.

    Args:
        points: In frame 0 [m], shape (P, 3).
        surface: Vertices over time [m], shape (T, V, 3).
        neighbours: Number of surface vertices that a point follows.

    Returns:
        Shape (T, P, 3).
    """
    distance, index = cKDTree(surface[0]).query(points, k=neighbours)
    weight = 1.0 / (distance + 0.01) ** 2
    weight /= weight.sum(axis=1, keepdims=True)
    rest = surface[0][index]
    rest_centre = np.einsum("pk,pki->pi", weight, rest)
    out = np.empty((len(surface), len(points), 3))
    for frame, vertices in enumerate(surface):
        now = vertices[index]
        centre = np.einsum("pk,pki->pi", weight, now)
        covariance = np.einsum("pk,pki,pkj->pij", weight, now - centre[:, None], rest - rest_centre[:, None])
        u, _, vt = np.linalg.svd(covariance)
        u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
        out[frame] = centre + np.einsum("pij,pj->pi", u @ vt, points - rest_centre)
    return out
