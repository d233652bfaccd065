"""Decimates a mirror-symmetric, textured triangle mesh to an exact number of vertices.

Half of the mesh is decimated by half-edge collapses in the order of Garland and Heckbert's quadric error (SIGGRAPH
1997), then mirrored. A collapse moves a vertex onto a neighbour and creates no new point, so the kept vertices retain
their exact shape directions, weights and texture coordinates. A vertex on a seam of the texture (or on the midline)
moves only along it, so the charts keep their boundaries. Collapses that would flip a triangle, in space or in the
texture, are excluded.
"""

from __future__ import annotations

import heapq
import itertools

import numpy as np

from mviper.errors import MviperError

#: Weight of squared edge length relative to the squared distance to the planes: keeps flat regions evenly meshed.
_EVENNESS = 6e-3
_LONGEST_EDGE = 0.05  # [m]
_LARGEST_VALENCE = 10


def reduce_symmetric(
    vertices: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    uv_faces: np.ndarray,
    mirror: np.ndarray,
    target: int,
    locked: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reduces a mesh.

    Args:
        vertices: (V, 3), left-right symmetric about x = 0.
        faces: (F, 3), symmetric under ``mirror``.
        uv: (VT, 2).
        uv_faces: (F, 3) into ``uv``.
        mirror: (V,) partner of each vertex; itself on the midline.
        target: Number of vertices wanted.
        locked: Vertices that must stay.

    Returns:
        ``kept`` (target,) indices of the kept vertices; faces (F', 3) and ``uv_faces`` (F', 3) with the OLD indices.

    Raises:
        MviperError: The target cannot be reached without flipping a triangle.
    """
    half = _HalfMesh(vertices, faces, uv, uv_faces, mirror, set(locked.tolist()) | set(mirror[locked].tolist()))
    half.collapse_to(target)
    left, left_uv = half.result()
    mirrored_uv = _mirrored_uv(faces, uv_faces, mirror)
    all_faces = np.concatenate([left, mirror[left][:, ::-1]])
    all_uv_faces = np.concatenate([left_uv, mirrored_uv[left_uv][:, ::-1]])
    return np.unique(all_faces), all_faces, all_uv_faces


def _mirrored_uv(faces: np.ndarray, uv_faces: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """(VT,) the texture coordinate at the same corner of the mirrored face, for those used by faces on the left."""
    place = {tuple(sorted(face)): index for index, face in enumerate(faces.tolist())}
    partner = np.full(uv_faces.max() + 1, -1)
    for face, corners in zip(faces, uv_faces):
        other = place[tuple(sorted(mirror[face].tolist()))]
        corner_at = dict(zip(faces[other].tolist(), uv_faces[other].tolist()))
        for vertex, corner in zip(mirror[face].tolist(), corners.tolist()):
            partner[corner] = corner_at[vertex]
    return partner


class _HalfMesh:
    """The half with x >= 0, as lists and sets that collapses can change."""

    def __init__(self, vertices, faces, uv, uv_faces, mirror, locked) -> None:
        middle = mirror == np.arange(len(mirror))
        inside = ((vertices[:, 0] > 0) | middle)[faces].all(1)
        self.points = [tuple(point) for point in np.where(middle[:, None], vertices * [0, 1, 1], vertices).tolist()]
        self.uv = uv.tolist()
        self.middle, self.locked = middle.tolist(), locked
        self.faces = dict(enumerate(faces[inside].tolist()))
        self.corners = dict(enumerate(uv_faces[inside].tolist()))
        self.around: dict[int, set[int]] = {}
        for index, face in self.faces.items():
            for vertex in face:
                self.around.setdefault(vertex, set()).add(index)
        self.quadrics = self._quadrics(np.asarray(self.points), faces[inside])
        self.stamp = dict.fromkeys(self.around, 0)
        self.count = sum(1 if self.middle[vertex] else 2 for vertex in self.around)

    def _quadrics(self, points: np.ndarray, faces: np.ndarray) -> dict[int, np.ndarray]:
        """(4, 4) area-weighted plane quadrics; on the midline, those of the mirrored faces are added."""
        corner = points[faces]
        normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        area = np.linalg.norm(normal, axis=1) / 2
        normal = normal / np.maximum(2 * area, 1e-18)[:, None]
        quadrics = np.zeros((len(points), 4, 4))
        self.ring_area = np.zeros(len(points))
        for sign in (1.0, -1.0):
            plane = np.concatenate([normal * [sign, 1, 1], -(normal * corner[:, 0]).sum(1, keepdims=True)], 1)
            quadric = area[:, None, None] * plane[:, :, None] * plane[:, None]
            for k in range(3):
                chosen = slice(None) if sign > 0 else np.asarray(self.middle)[faces[:, k]]
                np.add.at(quadrics, faces[chosen, k], quadric[chosen])
                np.add.at(self.ring_area, faces[chosen, k], area[chosen])
        return {vertex: quadrics[vertex] for vertex in self.around}

    def collapse_to(self, target: int) -> None:
        """Collapses edges, cheapest first, until the whole (both halves) has ``target`` vertices."""
        heap: list[tuple[float, int, int, int]] = []
        for vertex in sorted(self.around):
            self._push(heap, vertex)
        postponed = []
        while self.count > target:
            if not heap:
                raise MviperError(f"the mesh cannot be reduced below {self.count} vertices without flipped triangles")
            entry = heapq.heappop(heap)
            _, vertex, onto, stamp = entry
            if vertex not in self.around or onto not in self.around or self.stamp[vertex] != stamp:
                continue
            step = 1 if self.middle[vertex] else 2
            if self.count - step < target:
                postponed.append(entry)
                continue
            plan = self._plan(vertex, onto)
            if plan is None:
                continue
            self._collapse(vertex, onto, *plan)
            self.count -= step
            for neighbour in sorted(self._neighbours(onto) | {onto}):
                self.stamp[neighbour] += 1
                self._push(heap, neighbour)

    def _neighbours(self, vertex: int) -> set[int]:
        return {other for face in self.around[vertex] for other in self.faces[face]} - {vertex}

    def _push(self, heap: list, vertex: int) -> None:
        if vertex in self.locked:
            return
        for onto in sorted(self._neighbours(vertex)):
            if self.middle[vertex] and not self.middle[onto]:
                continue
            point = np.array([*self.points[onto], 1.0])
            squared = sum((a - b) ** 2 for a, b in zip(self.points[vertex], self.points[onto]))
            if squared > _LONGEST_EDGE**2:
                continue
            error = point @ self.quadrics[vertex] @ point + _EVENNESS * squared * self.ring_area[vertex]
            heapq.heappush(heap, (float(error), vertex, onto, self.stamp[vertex]))

    def _plan(self, vertex: int, onto: int) -> tuple[set[int], dict[int, int]] | None:
        """Faces that vanish and the new texture coordinates of the others; None if the collapse is not allowed."""
        shared = self.around[vertex] & self.around[onto]
        if len(shared) != (1 if self.middle[vertex] else 2):  # a vertex of the midline moves along it
            return None
        opposite = {other for face in shared for other in self.faces[face]} - {vertex, onto}
        mine, theirs = self._neighbours(vertex), self._neighbours(onto)
        if mine & theirs != opposite or len(mine | theirs) - 2 > _LARGEST_VALENCE + len(opposite):
            return None
        if self.middle[onto] and any(self.middle[other] for other in mine - theirs - {onto}):
            return None  # would join two vertices of the midline by an edge off it
        corner_map: dict[int, int] = {}
        for face in shared:
            vertices, corners = self.faces[face], self.corners[face]
            old, new = corners[vertices.index(vertex)], corners[vertices.index(onto)]
            if corner_map.setdefault(old, new) != new:
                return None
        for face in self.around[vertex] - shared:
            vertices, corners = self.faces[face], self.corners[face]
            k = vertices.index(vertex)
            if corners[k] not in corner_map:
                return None  # a vertex of a seam moves along it
            if self.middle[onto] and all(self.middle[other] for other in vertices if other != vertex):
                return None
            moved = [onto if other == vertex else other for other in vertices]
            moved_corners = [corner_map.get(corner, corner) if i == k else corner for i, corner in enumerate(corners)]
            if not self._keeps_shape(vertices, moved) or not self._keeps_texture(corners, moved_corners):
                return None
        return shared, corner_map

    def _keeps_shape(self, before: list[int], after: list[int]) -> bool:
        normal, _ = _normal_and_quality([self.points[vertex] for vertex in before])
        new_normal, quality = _normal_and_quality([self.points[vertex] for vertex in after])
        return quality > 0.06 and sum(a * b for a, b in zip(normal, new_normal)) > 0.5

    def _keeps_texture(self, before: list[int], after: list[int]) -> bool:
        old, new = (_signed_area([self.uv[corner] for corner in corners]) for corners in (before, after))
        return old * new > 0 and abs(new) > 0.05 * abs(old)

    def _collapse(self, vertex: int, onto: int, vanishing: set[int], corner_map: dict[int, int]) -> None:
        for face in vanishing:
            for other in self.faces.pop(face):
                self.around[other].discard(face)
            del self.corners[face]
        for face in self.around.pop(vertex):
            k = self.faces[face].index(vertex)
            self.faces[face][k], self.corners[face][k] = onto, corner_map[self.corners[face][k]]
            self.around[onto].add(face)
        self.quadrics[onto] = self.quadrics[onto] + self.quadrics.pop(vertex)
        self.ring_area[onto] += self.ring_area[vertex]

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Faces and texture faces of the half."""
        order = sorted(self.faces)
        return np.array([self.faces[face] for face in order]), np.array([self.corners[face] for face in order])


def _normal_and_quality(corner: list[tuple[float, ...]]) -> tuple[tuple[float, ...], float]:
    """Unit normal and 2 area / longest edge squared (0.87 for an equilateral triangle, 0 for a degenerate one)."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corner
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = (nx * nx + ny * ny + nz * nz) ** 0.5
    longest = max(sum((p - q) ** 2 for p, q in zip(a, b)) for a, b in itertools.combinations(corner, 2))
    if length < 1e-14 or longest < 1e-14:
        return (0.0, 0.0, 0.0), 0.0
    return (nx / length, ny / length, nz / length), length / longest


def _signed_area(corner: list[list[float]]) -> float:
    (ax, ay), (bx, by), (cx, cy) = corner
    return 0.5 * ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))
