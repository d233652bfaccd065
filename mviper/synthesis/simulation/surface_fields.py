"""Operations on a triangle surface: nearest points, smooth fields through scattered values, cuts along level lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags, vstack
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric coordinates of the nearest point of a triangle to a point, pair by pair.

    After Ericson, "Real-Time Collision Detection" (2005), section 5.1.5.

    Args:
        points: Shape (N, 3).
        corners: One triangle for each point, shape (N, 3, 3).

    Returns:
        Shape (N, 3).
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac = b - a, c - a
    d1, d2 = _dot(ab, points - a), _dot(ac, points - a)
    d3, d4 = _dot(ab, points - b), _dot(ac, points - b)
    d5, d6 = _dot(ab, points - c), _dot(ac, points - c)
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    with np.errstate(divide="ignore", invalid="ignore"):
        v, w = vb / (va + vb + vc), vc / (va + vb + vc)
        along_ab, along_ac = d1 / (d1 - d3), d2 / (d2 - d6)
        along_bc = (d4 - d3) / ((d4 - d3) + (d5 - d6))
    zero, one = np.zeros(len(points)), np.ones(len(points))
    # From the inside to the corners: later rows win.
    v, w = np.nan_to_num(v, nan=0.0), np.nan_to_num(w, nan=0.0)
    for where, values in (
        ((va <= 0) & (d4 - d3 >= 0) & (d5 - d6 >= 0), (1 - along_bc, along_bc)),
        ((vb <= 0) & (d2 >= 0) & (d6 <= 0), (zero, along_ac)),
        ((vc <= 0) & (d1 >= 0) & (d3 <= 0), (along_ab, zero)),
        ((d6 >= 0) & (d5 <= d6), (zero, one)),
        ((d3 >= 0) & (d4 <= d3), (one, zero)),
        ((d1 <= 0) & (d2 <= 0), (zero, zero)),
    ):
        v, w = np.where(where, values[0], v), np.where(where, values[1], w)
    v, w = np.nan_to_num(v), np.nan_to_num(w)
    return np.stack([1 - v - w, v, w], axis=1)


def nearest_faces(
    points: np.ndarray, normals: np.ndarray, vertices: np.ndarray, faces: np.ndarray, face_normals: np.ndarray,
    turn: float = 0.03, candidates: int = 10,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """For each point the nearest point of a mesh that faces the same way.

    Args:
        points: Shape (N, 3) [m].
        normals: Their unit normals, shape (N, 3).
        vertices: Vertices of an evenly triangulated mesh [m], shape (V, 3).
        faces: Shape (F, 3).
        face_normals: Unit normals of its triangles, shape (F, 3).
        turn: Weight of the difference of normals as a distance [m]: separates an arm's underside from the trunk's side.
        candidates: Number of triangles examined, nearest by their centre.

    Returns:
        Triangle (N,) and barycentric coordinates on it (N, 3).
    """
    count = min(candidates, len(faces))
    middles = np.concatenate([vertices[faces].mean(axis=1), turn * face_normals], axis=1)
    index = cKDTree(middles).query(np.concatenate([points, turn * normals], axis=1), k=count)[1].reshape(-1, count)
    corners = vertices[faces[index.ravel()]]
    place = closest_on_triangles(np.repeat(points, count, axis=0), corners)
    foot = np.einsum("nk,nki->ni", place, corners).reshape(len(points), count, 3)
    cost = ((foot - points[:, None]) ** 2).sum(-1) + turn**2 * ((face_normals[index] - normals[:, None]) ** 2).sum(-1)
    best = cost.argmin(axis=1)
    row = np.arange(len(points))
    return index[row, best], place.reshape(len(points), count, 3)[row, best]


class SmoothFields:
    """Fits smooth fields to scattered values at a surface's vertices.

    The field ``x`` minimises ``sum_i m_i w_i (x_i - value_i)^2 + length^4 * integral |Laplacian x|^2`` with the
    cotangent Laplacian (Botsch et al., "Polygon Mesh Processing", 2010, chapter 3): it follows the values down to
    details of about ``length``, bridges gaps and extrapolates linearly.

    Args:
        vertices: [m], shape (V, 3).
        faces: Shape (F, 3).
        length: Size of the details kept [m].
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, length: float) -> None:
        self._areas = vertex_areas(vertices, faces)
        matrix = laplacian(len(vertices), faces, cotangents(vertices, faces))
        self._bending = length**4 * (matrix @ diags(1 / self._areas.clip(1e-12)) @ matrix)

    def fit(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Fields (V, K) through values (V, K) with each vertex's weight (V,) in [0, 1]."""
        data = self._areas * np.maximum(weights, 1e-6)
        matrix = (self._bending + diags(data)).tocsc()
        return splu(matrix).solve(data[:, None] * values)


def cotangents(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Half the cotangent of the angle at each corner, (F, 3): the weight of the opposite edge."""
    halves = []
    for k in range(3):
        u, v = (vertices[faces[:, (k + step) % 3]] - vertices[faces[:, k]] for step in (1, 2))
        halves.append(0.5 * _dot(u, v) / np.linalg.norm(np.cross(u, v), axis=1).clip(1e-12))
    return np.stack(halves, axis=1).clip(-10, 10)  # needles


def laplacian(count: int, faces: np.ndarray, weight: np.ndarray) -> csr_matrix:
    """Laplacian (count, count) with the weights (F, 3) of :func:`cotangents`, positive on the diagonal."""
    i, j = faces[:, [1, 2, 0]].ravel(), faces[:, [2, 0, 1]].ravel()
    matrix = coo_matrix((np.tile(weight.ravel(), 2), (np.append(i, j), np.append(j, i))), shape=(count, count)).tocsr()
    return (diags(np.asarray(matrix.sum(axis=1)).ravel()) - matrix).tocsr()


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Each vertex's share of the surface (V,) [m^2]."""
    return np.bincount(faces.ravel(), np.repeat(triangle_areas(vertices, faces) / 3, 3), minlength=len(vertices))


def triangle_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area of each triangle (F,) [m^2]."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)


@dataclass
class CutSurface:
    """A surface with new vertices on its edges.

    Attributes:
        faces: Shape (F, 3).
        weights: Each vertex as a mean of the original surface's vertices, sparse (V, V of the original).
        fields: Values at the vertices, shape (V, K).
    """

    faces: np.ndarray
    weights: csr_matrix
    fields: np.ndarray

    def cut(self, values: np.ndarray, snap: float = 0.05) -> tuple[CutSurface, np.ndarray]:
        """Cuts all triangles along the line where a value is zero.

        Args:
            values: At the vertices, shape (V,).
            snap: A line within this share of an edge from its end goes through the end.

        Returns:
            The cut surface and the sign of each of its triangles (F,), 1 or -1.
        """
        values = np.array(values, float)
        edges = np.unique(np.sort(self.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
        for end, other in (edges.T, edges[:, ::-1].T):
            near = (values[end] * values[other] < 0) & (
                np.abs(values[end]) < snap * np.abs(values[end] - values[other])
            )
            values[end[near]] = 0.0
        signs = np.sign(values)
        crossed = edges[signs[edges[:, 0]] * signs[edges[:, 1]] < 0]
        share = values[crossed[:, 0]] / (values[crossed[:, 0]] - values[crossed[:, 1]])
        count, added = len(values), len(crossed)
        middle = coo_matrix(
            (np.append(1 - share, share), (np.tile(np.arange(added), 2), crossed.T.ravel())), shape=(added, count)
        ).tocsr()
        weights = vstack([self.weights, middle @ self.weights]).tocsr()
        fields = np.concatenate([self.fields, middle @ self.fields])
        faces = self._split(signs, dict(zip(map(tuple, crossed.tolist()), range(count, count + added))))
        side = np.append(signs, np.zeros(added))[faces].sum(axis=1)
        return CutSurface(faces, weights, fields), np.where(side >= 0, 1, -1)

    def _split(self, signs: np.ndarray, number: dict[tuple[int, int], int]) -> np.ndarray:
        """Triangles (F, 3) after the cut; ``number`` maps an edge (smaller index first) to its new vertex."""
        corner = signs[self.faces]
        mixed = (corner.min(axis=1) < 0) & (corner.max(axis=1) > 0)
        done = [self.faces[~mixed]]
        new = []
        for face, sign in zip(self.faces[mixed].tolist(), corner[mixed].tolist()):
            if 0 in sign:
                first = sign.index(0)
            else:
                first = next(k for k in range(3) if sign[k] != sign[k - 1] and sign[k] != sign[(k + 1) % 3])
            a, b, c = face[first:] + face[:first]
            if 0 in sign:
                m = number[min(b, c), max(b, c)]
                new += [(a, b, m), (a, m, c)]
            else:
                m, n = number[min(a, b), max(a, b)], number[min(a, c), max(a, c)]
                new += [(a, m, n), (m, b, c), (m, c, n)]
        return np.concatenate([*done, np.array(new, int).reshape(-1, 3)])

    def keep(self, chosen: np.ndarray) -> CutSurface:
        """Some of the triangles (F,) bool, and the vertices that they use."""
        faces = self.faces[chosen]
        used = np.unique(faces)
        index = np.full(len(self.fields), -1)
        index[used] = np.arange(len(used))
        return CutSurface(index[faces], self.weights[used], self.fields[used])


def flatten_true(vertices: np.ndarray, faces: np.ndarray, start: np.ndarray, rounds: int = 20) -> np.ndarray:
    """Flattens a surface with the least distortion of lengths ("as rigid as possible").

    Alternates local and global steps (Liu et al., "A local/global approach to mesh parameterization", 2008).

    Args:
        vertices: [m], shape (V, 3).
        faces: Shape (F, 3); every piece must be flattenable (an open tube, not a closed one).
        start: Initial flat position of each vertex, shape (V, 2); the result keeps its rotation and its centre.
        rounds: Number of iterations.

    Returns:
        Flat positions (V, 2) [m].
    """
    weight = cotangents(vertices, faces).clip(0.02)  # obtuse triangles would push instead of pull
    areas = vertex_areas(vertices, faces)
    hold = 1e-6 * areas / areas.mean()  # fixes each piece's centre, which the energy leaves free
    solver = splu((laplacian(len(vertices), faces, weight) + diags(hold)).tocsc())
    shape = flat_triangles(vertices, faces)
    weight = weight[:, [2, 0, 1], None]  # of the edges from corner 0, 1, 2
    sides = shape - shape[:, [1, 2, 0]]
    flat = np.array(start, float)
    for _ in range(rounds):
        now = flat[faces] - flat[faces[:, [1, 2, 0]]]
        fit = np.einsum("fka,fkb->fab", weight * now, sides)
        angle = np.arctan2(fit[:, 1, 0] - fit[:, 0, 1], fit[:, 0, 0] + fit[:, 1, 1])
        turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
        pull = weight * np.einsum("fab,fkb->fka", turn, sides)
        target = hold[:, None] * flat
        np.add.at(target, faces, pull)
        np.add.at(target, faces[:, [1, 2, 0]], -pull)
        flat = solver.solve(target)
    return flat


def flat_triangles(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Each triangle flattened separately, counter-clockwise, (F, 3, 2) [m]."""
    along, other = (vertices[faces[:, k]] - vertices[faces[:, 0]] for k in (1, 2))
    length = np.linalg.norm(along, axis=1).clip(1e-12)
    x = _dot(other, along) / length
    y = np.sqrt((_dot(other, other) - x**2).clip(0))
    zero = np.zeros_like(x)
    return np.stack([zero, zero, length, zero, x, y], axis=1).reshape(-1, 3, 2)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ni,ni->n", a, b)
