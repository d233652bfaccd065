"""Triangle mesh utilities for sewing and quality figures."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components


def edges_of(faces: np.ndarray) -> np.ndarray:
    """Each edge of a triangle mesh once, (E, 2), smaller index first, sorted."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def border_vertices(faces: np.ndarray) -> np.ndarray:
    """Vertices on border edges (edges of only one triangle)."""
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges, count = np.unique(pairs, axis=0, return_counts=True)
    return np.unique(edges[count == 1])


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3), weighted by the triangles' areas."""
    normals = np.cross(
        vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
    )  # fmt: skip
    sums = np.stack(
        [np.bincount(faces.ravel(), np.repeat(normals[:, k], 3), minlength=len(vertices)) for k in range(3)], axis=1
    )
    return sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-12)


def incidence(edges: np.ndarray, count: int) -> csr_matrix:
    """Sparse (E, V) matrix that takes vertices to edge vectors ``x[b] - x[a]``."""
    rows = np.repeat(np.arange(len(edges)), 2)
    return csr_matrix((np.tile([-1.0, 1.0], len(edges)), (rows, edges.ravel())), shape=(len(edges), count))


def keep_lengths(
    vertices: np.ndarray, edges: np.ndarray, lengths: np.ndarray, iterations: int, matrix: csr_matrix | None = None
) -> np.ndarray:
    """Moves vertices until edges have given lengths: averaged position corrections (Jacobi) with over-relaxation.

    Args:
        vertices: Start [m], shape (V, 3).
        edges: Shape (E, 2).
        lengths: Target lengths [m], shape (E,).
        iterations: Number of rounds.
        matrix: ``incidence(edges, V)``, if available.

    Returns:
        Shape (V, 3).
    """
    matrix = incidence(edges, len(vertices)) if matrix is None else matrix
    transposed = matrix.T.tocsr()
    degree = np.bincount(edges.ravel(), minlength=len(vertices)).clip(1)[:, None]
    for _ in range(iterations):
        vectors = matrix @ vertices
        now = np.linalg.norm(vectors, axis=1).clip(1e-9)
        correction = vectors * (0.5 * (lengths - now) / now)[:, None]
        vertices = vertices + 1.5 * (transposed @ correction) / degree
    return vertices


def merge_pairs(pairs: np.ndarray, count: int) -> np.ndarray:
    """New index of each of ``count`` vertices after merging the pairs (and chains of them), (V,) int."""
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def mean_by_group(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean of rows (V, K) with the same group number, (G, K)."""
    size = np.bincount(group).astype(float)
    return np.stack([np.bincount(group, column) / size for column in values.T], axis=1)


def sewn_lengths(edges: np.ndarray, lengths: np.ndarray, seams: np.ndarray, count: int) -> np.ndarray:
    """Lengths (E,) of edges after sewing: merged edges take the shortest length, since gathering shortens edges."""
    ends = np.sort(merge_pairs(seams, count)[edges], axis=1)
    _, index = np.unique(ends, axis=0, return_inverse=True)
    shortest = np.full(index.max() + 1, np.inf)
    np.minimum.at(shortest, index.ravel(), lengths)
    return shortest[index.ravel()]
