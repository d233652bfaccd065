"""Position of cloth relative to a moving body or an inner garment: distances, contacts, rays."""

from __future__ import annotations

import importlib

import numpy as np
from scipy.spatial import cKDTree

from mviper.extras import import_extra
from mviper.structures import MeshSequence
from mviper.synthesis.simulation.meshes import vertex_normals

#: Cloth deeper than this counts as inside [m].
INSIDE = -0.001

#: Parts of the body nearer than this touch each other [m].
_TOUCHING = 0.012

#: Cloth nearer than this to skin that touches other skin is held between the two [m].
_HELD = 0.03

#: Direction of the rays that tell inside from outside: upwards, and along no edge or axis.
_UPWARDS = (0.231, 0.143, 0.962)

#: Distance behind a hit at which its ray goes on [m].
_BEHIND = 1e-4


def ray_tree(vertices: np.ndarray, faces: list[list[int]]) -> object:
    """Blender's ``BVHTree`` of a mesh: vertices (V, 3) and its faces as lists."""
    import_extra("bpy")  # brings mathutils
    return importlib.import_module("mathutils.bvhtree").BVHTree.FromPolygons(vertices.tolist(), faces)


class SurfaceProbe:
    """Queries of points relative to a moving body; built once per sequence.

    Args:
        body: Frame 0 = rest pose.
    """

    def __init__(self, body: MeshSequence) -> None:
        self.vertices, self.faces = np.asarray(body.vertices, float), body.faces
        self._face_list = body.faces.tolist()
        self._trees: tuple[int, object] = (-1, None)
        self._contacts: dict[int, np.ndarray] = {}
        self._answers: dict[tuple[int, int], list[np.ndarray]] = {}

    def nearest(self, frame: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Signed distance (N,) [m] (negative inside), unit normal (N, 3), index (N,) of each point's nearest face.

        Near an edge or a corner, e.g. a fingertip, the nearest face may face away from a point that is outside: there
        the corners' normals decide (after Baerentzen and Aanaes, "Signed distance computation using the angle weighted
        pseudonormal", 2005). Where the body passes through itself, e.g. in a clenched hand, the nearest face may belong
        to skin turned inside out: points that seem to be inside are so only if the surface winds round them.

        Results are cached: unchanged points at the same index of an array of the same length, as for a projected
        garment, are looked up. Do not modify the results.
        """
        key = (frame, len(points))
        if key not in self._answers:
            self._answers[key] = [points.copy(), *self._nearest(frame, points)]
        else:
            known, *answers = self._answers[key]
            changed = (points != known).any(axis=1)
            if changed.any():
                fresh = self._nearest(frame, points[changed])
                self._answers[key] = [points.copy(), *(answer.copy() for answer in answers)]
                for answer, values in zip(self._answers[key][1:], fresh):
                    answer[changed] = values
        return tuple(self._answers[key][1:])

    def _nearest(self, frame: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._trees[0] != frame:
            self._trees = (frame, ray_tree(self.vertices[frame], self._face_list))
        find = self._trees[1].find_nearest
        hits = [find(point) for point in points.tolist()]
        places = np.array([tuple(hit[0]) for hit in hits])
        normals = np.array([tuple(hit[1]) for hit in hits])
        index = np.array([hit[2] for hit in hits])
        offset = points - places
        distance = np.einsum("ni,ni->n", offset, normals)
        length = np.linalg.norm(offset, axis=1)
        at_edge = np.flatnonzero(np.abs(distance) < 0.99 * length)
        if len(at_edge):
            vertices, faces = self.vertices[frame], self.faces[index[at_edge]]
            share = _barycentric(places[at_edge], vertices[faces])
            normal = np.einsum("nk,nki->ni", share, vertex_normals(vertices, self.faces)[faces])
            side = np.einsum("ni,ni->n", offset[at_edge], normal) >= 0
            distance[at_edge] = np.where(side, 1.0, -1.0) * length[at_edge]
        inside = np.flatnonzero(distance < INSIDE)
        outside = inside[[not self._enclosed(point) for point in points[inside].tolist()]]
        distance[outside] = length[outside]
        return distance, normals, index

    def _enclosed(self, point: list[float]) -> bool:
        """Whether the surface of the latest frame winds round a point: a ray leaves it more often than it enters."""
        cast, winding = self._trees[1].ray_cast, 0
        while (hit := cast(point, _UPWARDS))[0] is not None:
            winding += 1 if np.dot(hit[1], _UPWARDS) > 0 else -1
            point = [place + _BEHIND * step for place, step in zip(hit[0], _UPWARDS)]
        return winding > 0

    def distance(self, frame: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first two of :meth:`nearest`."""
        return self.nearest(frame, points)[:2]

    def contact(self, frame: int) -> np.ndarray:
        """Body vertices (V,) bool within 12 mm of, or inside, a part of the body that is distant in the rest pose."""
        if frame not in self._contacts:
            self._contacts[frame] = facing_gap(self.vertices[frame], self.vertices[0], self.faces) < _TOUCHING
        return self._contacts[frame]

    def held(self, frame: int, points: np.ndarray) -> np.ndarray:
        """Which points (N, 3) lie where the body touches itself, (N,) bool."""
        touching = self.vertices[frame][self.contact(frame)]
        if not len(touching):
            return np.zeros(len(points), bool)
        return np.isfinite(cKDTree(touching).query(points, distance_upper_bound=_HELD)[0])

    def inside(self, frame: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance and normal of :meth:`nearest`, and whether each point counts (not at a self-contact), (N,) bool."""
        distance, normal, face = self.nearest(frame, points)
        counts = np.ones(len(points), bool)
        if (distance < INSIDE).any():
            counts = ~self.contact(frame)[self.faces[face]].any(axis=1)
        return distance, normal, counts


class LayerProbe:
    """Tells on which side of an inner garment points are, along the normals of the skin below them.

    The nearest point of crumpled cloth, e.g. a waistband in the lap, may face anywhere; the skin does not.

    Args:
        inner: The garment's vertices over time [m], shape (T, V, 3).
        faces: Its triangles, shape (F, 3).
        body: The wearer.
        reach: Search distance on either side [m].
    """

    def __init__(self, inner: np.ndarray, faces: np.ndarray, body: SurfaceProbe, reach: float = 0.03) -> None:
        self.inner, self.body, self.reach, self._face_list = inner, body, reach, faces.tolist()

    def distance(self, frame: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance (N,) [m] in front of the garment, and the skin's normal (N, 3).

        Negative behind it: then a ray from the point away from the skin meets its inside. Infinite if it is neither
        under nor over the point.
        """
        normals = self.body.nearest(frame, points)[1]
        cast = ray_tree(self.inner[frame], self._face_list).ray_cast
        distance = np.full(len(points), np.inf)
        for sign, asked in ((1.0, np.arange(len(points))), (-1.0, None)):
            asked = np.flatnonzero(np.isinf(distance)) if asked is None else asked
            rays = zip(points[asked].tolist(), (-sign * normals[asked]).tolist())
            hits = [cast(place, way, self.reach) for place, way in rays]
            met = np.array([hit[0] is not None for hit in hits], bool)
            facing = np.array([tuple(hit[1]) for hit in hits if hit[0] is not None]).reshape(-1, 3)
            length = np.array([hit[3] for hit in hits if hit[0] is not None])
            outwards = np.einsum("ni,ni->n", facing, normals[asked[met]]) > 0
            distance[asked[met][outwards]] = sign * length[outwards]
        return distance, normals


def _barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric coordinates (N, 3) of points (N, 3) in their triangles' corners (N, 3, 3)."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(first, second)
    square = np.einsum("ni,ni->n", normal, normal).clip(1e-30)
    along = points - corners[:, 0]
    b = np.einsum("ni,ni->n", np.cross(along, second), normal) / square
    c = np.einsum("ni,ni->n", np.cross(first, along), normal) / square
    return np.stack([1 - b - c, b, c], axis=1)


def facing_gap(vertices: np.ndarray, rest: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Distance of each point of a body to another part that faces it: arm to trunk, thigh to thigh.

    Args:
        vertices: Posed [m], shape (V, 3).
        rest: Rest pose [m], shape (V, 3): parts that are near there are one part.
        faces: Shape (F, 3).

    Returns:
        Height over the other part's surface [m], shape (V,); negative if one is inside the other, infinite if nothing
        is within 35 mm.
    """
    normals = vertex_normals(vertices, faces)
    gap = np.full(len(vertices), np.inf)
    pairs = cKDTree(vertices).query_pairs(0.035, output_type="ndarray")
    apart = np.linalg.norm(rest[pairs[:, 0]] - rest[pairs[:, 1]], axis=1) > 0.13
    pairs = pairs[apart]
    pairs = pairs[np.einsum("pi,pi->p", normals[pairs[:, 0]], normals[pairs[:, 1]]) < -0.2]
    for a, b in (pairs.T, pairs[:, ::-1].T):
        across = vertices[a] - vertices[b]
        height = np.einsum("pi,pi->p", across, normals[b])
        beside = np.linalg.norm(across - height[:, None] * normals[b], axis=1) < 0.02
        np.minimum.at(gap, a[beside], height[beside])
    return gap
