"""Basting: brings cut panels near their final place before sewing, as a tailor does with loose stitches.

Blender's solver needs tens of frames to pull panels together over centimetres. Position-based dynamics (Mueller et
al., "Position Based Dynamics", 2007) without inertia covers most of the distance in a fraction of a second; sewing
closes the remaining millimetres.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from mviper.structures import Garment
from mviper.synthesis.simulation.meshes import edges_of, incidence, sewn_lengths


def baste(
    garment: Garment, surface: np.ndarray, normals: np.ndarray, margin: float = 0.01, iterations: int = 240
) -> np.ndarray:
    """Pulls a garment's seams together round a surface while preserving lengths in the cloth.

    Args:
        garment: Panels placed round the body.
        surface: Points of the surface it is worn on [m], shape (N, 3).
        normals: Their unit normals, shape (N, 3).
        margin: Minimum distance from the surface [m]; less where the surface faces itself, as between thighs: two
            layers of cloth at full distance would pass through each other.
        iterations: Number of correction rounds.

    Returns:
        Vertices (V, 3) [m].
    """
    x, count = garment.vertices.copy(), len(garment.vertices)
    edges, seams = edges_of(garment.faces), garment.seams
    lengths = np.linalg.norm(garment.uv[edges[:, 0]] - garment.uv[edges[:, 1]], axis=1)
    lengths = sewn_lengths(edges, lengths, seams, count)
    matrix = incidence(edges, count)
    transposed = matrix.T.tocsr()
    degree = np.bincount(edges.ravel(), minlength=count)[:, None]
    seam_matrix = incidence(seams, count)
    seam_transposed = seam_matrix.T.tocsr()
    seam_degree = np.bincount(seams.ravel(), minlength=count).clip(1)[:, None]
    tree = cKDTree(surface)
    room = _room(surface, normals, margin)
    for step in range(iterations):
        # Smooth a little at first, to open folds from the placement.
        if step < iterations // 2:
            x = x - 0.03 * (transposed @ (matrix @ x)) / degree
        gap = seam_matrix @ x
        distance = np.linalg.norm(gap, axis=1, keepdims=True).clip(1e-9)
        pull = gap / distance * np.minimum(0.3 * distance, 0.01)
        x = x - seam_transposed @ pull / seam_degree
        vectors = matrix @ x
        now = np.linalg.norm(vectors, axis=1).clip(1e-9)
        x = x + 1.2 * (transposed @ (vectors * (0.5 * (lengths - now) / now)[:, None])) / degree
        if step % 4 == 0 or step > iterations - 10:
            _, nearest = tree.query(x)
            height = np.einsum("vi,vi->v", x - surface[nearest], normals[nearest])
            x = x + normals[nearest] * np.clip(room[nearest] - height, 0, 0.03)[:, None]
    return x


def _room(surface: np.ndarray, normals: np.ndarray, margin: float) -> np.ndarray:
    """The margin at each surface point (N,), at most half the distance to the opposite surface [m]."""
    pairs = cKDTree(surface).query_pairs(0.03, output_type="ndarray")
    pairs = pairs[np.einsum("pi,pi->p", normals[pairs[:, 0]], normals[pairs[:, 1]]) < -0.3]
    room = np.full(len(surface), margin)
    for own, other in (pairs.T, pairs[:, ::-1].T):
        across = surface[other] - surface[own]
        height = np.einsum("pi,pi->p", across, normals[own])
        aside = np.linalg.norm(across - height[:, None] * normals[own], axis=1)
        facing = aside < 0.02
        np.minimum.at(room, own[facing], (0.5 * height[facing] - 0.001).clip(0))
    return room
