"""Figures that tell cloth that moved well from cloth that tore, fell off or sank into the body."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from mviper.extras import import_extra
from mviper.structures import MeshSequence
from mviper.synthesis.simulation.meshes import border_vertices, edges_of, vertex_normals

#: Cloth counts as inside when it lies deeper than this [m].
INSIDE = -0.001

#: Where cloth is stretched less, nobody asks whether the body holds it [share of its length].
_STRETCHED = 1.3

#: Parts of the body nearer than this touch each other [m].
_TOUCHING = 0.012

#: Cloth nearer than this to skin that touches other skin is held between the two [m].
_HELD = 0.03


@dataclass(frozen=True)
class QualityLimits:
    """What a simulated sequence may show at most; shares in percent, depths in millimetres.

    "Inside" counts the garment's vertices that are inside the body, outside of places where the body touches itself.
    The values separated good runs from torn ones on runs, kicks, flips and squats.

    Attributes:
        inside_mean: Before projection, mean over the frames.
        inside_worst: Before projection, worst frame.
        deepest: Before projection.
        projected_inside_mean: After projection.
        projected_inside_worst: After projection.
        projected_deepest: After projection.
        stretch_top: 99th percentile of the edges' length over their rest length, mean over the frames, for tops,
            skirts and dresses.
        stretch_bottom: The same for what has legs (``kind`` "bottom").
        bare: Skin that the garment covered and that is bare, worst frame; and skin that it covered as it was sewn and
            that is bare once it has been draped (it has fallen off).
        layers: Vertices of the outer garment, near the inner one, that lie behind it, mean over the frames; before
            projection (an outer garment further in than that is caught on the inner one) and after.
        seams_closed: Seam pairs that are within 3 mm when they are merged, at least.
    """

    inside_mean: float = 0.5
    inside_worst: float = 5.0
    deepest: float = 25.0
    projected_inside_mean: float = 0.1
    projected_inside_worst: float = 0.5
    projected_deepest: float = 10.0
    stretch_top: float = 1.5
    stretch_bottom: float = 2.0
    bare: float = 20.0
    layers: float = 3.0
    seams_closed: float = 99.0


def _tree(vertices: np.ndarray, faces: list[list[int]]) -> object:
    """Blender's ``BVHTree`` of a mesh."""
    import_extra("bpy")  # brings mathutils
    return importlib.import_module("mathutils.bvhtree").BVHTree.FromPolygons(vertices.tolist(), faces)


class SurfaceProbe:
    """Answers where points lie relative to a moving body; built once a sequence.

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

        Before an edge or a corner, a fingertip say, the nearest face may look away from a point that is outside: there
        the corners' normals decide (after Baerentzen and Aanaes, "Signed distance computation using the angle weighted
        pseudonormal", 2005).

        The answers are kept: points that are asked for again at the same place of an array of the same length, as a
        garment's that has been projected, are looked up. They are not to be changed.
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
            self._trees = (frame, _tree(self.vertices[frame], self._face_list))
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
        return distance, normals, index

    def distance(self, frame: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first two of :meth:`nearest`."""
        return self.nearest(frame, points)[:2]

    def contact(self, frame: int) -> np.ndarray:
        """Body vertices (V,) bool within 12 mm of, or inside, a part of the body that is far away in the rest pose."""
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
        """Distance, normal as :meth:`nearest`, and whether each point counts (not at a self-contact), (N,) bool."""
        distance, normal, face = self.nearest(frame, points)
        counts = np.ones(len(points), bool)
        if (distance < INSIDE).any():
            counts = ~self.contact(frame)[self.faces[face]].any(axis=1)
        return distance, normal, counts


class LayerProbe:
    """Answers on which side of an inner garment points lie, seen along the normals of the skin below them.

    The nearest place of cloth that is crumpled, a waistband in the lap say, faces anywhere; the skin does not.

    Args:
        inner: The garment's vertices over time [m], shape (T, V, 3).
        faces: Its triangles, shape (F, 3).
        body: Who wears it.
        reach: How far it is looked for on either side [m].
    """

    def __init__(self, inner: np.ndarray, faces: np.ndarray, body: SurfaceProbe, reach: float = 0.03) -> None:
        self.inner, self.body, self.reach, self._face_list = inner, body, reach, faces.tolist()

    def distance(self, frame: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance (N,) [m] before the garment, and the skin's normal (N, 3).

        Negative behind it: then a ray from the point away from the skin meets its inside. Infinite where it is neither
        under nor over the point.
        """
        normals = self.body.nearest(frame, points)[1]
        cast = _tree(self.inner[frame], self._face_list).ray_cast
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
    """Shares (N, 3) of three corners (N, 3, 3) in points (N, 3) of their triangles."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(first, second)
    square = np.einsum("ni,ni->n", normal, normal).clip(1e-30)
    along = points - corners[:, 0]
    b = np.einsum("ni,ni->n", np.cross(along, second), normal) / square
    c = np.einsum("ni,ni->n", np.cross(first, along), normal) / square
    return np.stack([1 - b - c, b, c], axis=1)


def facing_gap(vertices: np.ndarray, rest: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """How far each point of a body is from another part of it that faces it: an arm from the trunk, thigh from thigh.

    Args:
        vertices: Posed [m], shape (V, 3).
        rest: Rest pose [m], shape (V, 3): parts that are near there are one part.
        faces: Shape (F, 3).

    Returns:
        Height over the other part's surface [m], shape (V,); negative where one is inside the other, infinite where
        nothing is within 35 mm.
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


def penetration_figures(cloth: np.ndarray, probe: SurfaceProbe, first: int, prefix: str = "") -> dict[str, float]:
    """Share and depth of cloth inside the body, outside self-contact.

    Args:
        cloth: Vertices over time [m], shape (T, V, 3), as long as the body's sequence.
        probe: The body.
        first: First frame that counts.
        prefix: Put before the figures' names.

    Returns:
        ``inside_mean``, ``inside_worst`` [%] and ``deepest`` [mm].
    """
    shares, depths = [], []
    for frame in range(first, len(cloth)):
        distance, _, counts = probe.inside(frame, cloth[frame])
        shares.append(100 * np.mean((distance < INSIDE) & counts))
        depths.append(-1000 * min(0.0, distance[counts].min(initial=0.0)))
    return {
        f"{prefix}inside_mean": float(np.mean(shares)),
        f"{prefix}inside_worst": float(np.max(shares)),
        f"{prefix}deepest": float(np.max(depths)),
    }


def stretch_figures(
    cloth: np.ndarray, faces: np.ndarray, rest_lengths: np.ndarray, probe: SurfaceProbe, first: int
) -> dict[str, float]:
    """99th percentile of the edges' stretch, outside self-contact: mean over the frames and the worst frame.

    Args:
        cloth: Vertices over time [m], shape (T, V, 3).
        faces: Shape (F, 3).
        rest_lengths: Of ``edges_of(faces)`` [m], shape (E,).
        probe: The body.
        first: First frame that counts.
    """
    edges = edges_of(faces)
    worst = []
    for frame in range(first, len(cloth)):
        ends = cloth[frame][edges]
        stretch = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) / rest_lengths
        p99 = np.percentile(stretch, 99)
        if p99 > _STRETCHED:
            free = ~probe.held(frame, ends.mean(axis=1))
            p99 = np.percentile(stretch[free], 99) if free.any() else 1.0
        worst.append(p99)
    return {"stretch_p99": float(np.mean(worst)), "stretch_p99_worst": float(np.max(worst))}


def bare_figures(
    cloth: np.ndarray,
    faces: np.ndarray,
    probe: SurfaceProbe,
    first: int,
    every: int = 4,
    among: np.ndarray | None = None,
) -> dict[str, float]:
    """Share of skin that the garment covered in the rest pose, 6 cm or more from its hems, and that is bare now.

    Skin is covered when a ray along its normal meets the garment (within 10 cm in the rest pose, 30 cm in motion). With
    ``among``, under skirts and dresses, skin that faces the ground is looked at from the side: nothing hides it from
    below.

    Args:
        cloth: Vertices over time [m], shape (T, V, 3); frame 0 = draped on the rest pose.
        faces: Shape (F, 3).
        probe: The body.
        first: First frame that counts.
        every: Looks at each so manieth frame.
        among: Body vertices that count, shape (B,) bool; None: all.

    Returns:
        ``bare_mean`` and ``bare_worst`` [%]; with ``among`` also ``bare_anywhere_worst``, of all skin. All are 0 for a
        garment without a place so far from its hems, 100 where it has some that cover nothing.
    """
    face_list = faces.tolist()

    def cast(frame: int, skin: np.ndarray, reach: float) -> list:
        tree = _tree(cloth[frame], face_list)
        body = probe.vertices[frame]
        normals = vertex_normals(body, probe.faces)
        if among is not None:
            normals[:, 2] = np.maximum(normals[:, 2], 0.0)  # a ray's length is not its direction's
        return [tree.ray_cast(body[i].tolist(), normals[i].tolist(), reach)[0] for i in skin]

    box = cloth[0].min(axis=0) - 0.02, cloth[0].max(axis=0) + 0.02
    rest = probe.vertices[0]
    skin = np.flatnonzero(((rest > box[0]) & (rest < box[1])).all(axis=1))[::2]
    hits = cast(0, skin, 0.10)
    hem = cKDTree(cloth[0][border_vertices(faces)])
    if hem.query(cloth[0])[0].max() <= 0.06:  # a belt: it cannot bare what it is not asked to cover
        return {"bare_mean": 0.0, "bare_worst": 0.0} | ({} if among is None else {"bare_anywhere_worst": 0.0})
    covered = np.array([hit is not None and hem.query(tuple(hit))[0] > 0.06 for hit in hits], bool)
    skin = skin[covered]
    counts = np.ones(len(skin), bool) if among is None else among[skin]
    if not counts.any():
        return {"bare_mean": 100.0, "bare_worst": 100.0}
    shares, anywhere = [], []
    for frame in range(first, len(cloth), every):
        free = ~probe.contact(frame)[skin]
        bare = np.array([hit is None for hit in cast(frame, skin[free], 0.30)], bool)
        anywhere.append(100 * bare.mean() if len(bare) else 0.0)
        own = bare[counts[free]]
        shares.append(100 * own.mean() if len(own) else 0.0)
    figures = {"bare_mean": float(np.mean(shares)), "bare_worst": float(np.max(shares))}
    return figures if among is None else figures | {"bare_anywhere_worst": float(np.max(anywhere))}


def layer_figures(
    outer: np.ndarray, inner: LayerProbe, first: int, prefix: str = "", every: int = 4
) -> dict[str, float]:  # fmt: skip
    """Share of the outer garment that lies behind the inner one, outside self-contact, mean and worst frame [%].

    It is a share of the vertices that have the inner garment under or over them, in the rest pose or now, whichever are
    more: of a shirt that has ridden up little is left to be a share of.

    Args:
        outer: Vertices over time [m], shape (T, V, 3).
        inner: The inner garment.
        first: First frame that counts.
        prefix: Before the figures' names.
        every: Looks at each so manieth frame.
    """
    overlap = np.isfinite(inner.distance(0, outer[0])[0]).sum()
    shares = []
    for frame in range(first, len(outer), every):
        distance = inner.distance(frame, outer[frame])[0]
        behind = distance < INSIDE
        if behind.any():
            behind &= ~inner.body.held(frame, outer[frame])
        shares.append(100 * behind.sum() / max(overlap, np.isfinite(distance).sum(), 1))
    return {f"{prefix}layers_mean": float(np.mean(shares)), f"{prefix}layers_worst": float(np.max(shares))}


def project_outside(
    cloth: np.ndarray,
    faces: np.ndarray,
    measure: Callable[[int, np.ndarray], tuple[np.ndarray, np.ndarray]],
    margin: float = 0.003,
    rounds: int = 3,
) -> np.ndarray:
    """Pushes cloth that lies inside the body, or behind an inner garment, to just outside of it.

    Bad vertices go to ``margin`` along the normal; the push is spread over their neighbours so that no spike is left.

    Args:
        cloth: Vertices over time [m], shape (T, V, 3).
        faces: Shape (F, 3).
        measure: Gives for a frame and points (N, 3) the signed distance (N,) [m] and the normal (N, 3), as
            :meth:`SurfaceProbe.distance` and :meth:`LayerProbe.distance` do.
        margin: Distance to keep [m].
        rounds: At most so many pushes a frame.

    Returns:
        Shape (T, V, 3).
    """
    edges = edges_of(faces)
    degree = np.bincount(edges.ravel(), minlength=cloth.shape[1]).clip(1)[:, None]
    out = np.array(cloth, float)
    for frame in range(len(out)):
        for step in range(rounds):
            distance, normal = measure(frame, out[frame])
            if step and distance.min() >= 0.0005:
                break
            bad = distance < margin
            if not bad.any():
                break
            own = np.zeros_like(out[frame])
            own[bad] = normal[bad] * (margin - distance[bad])[:, None]
            push = own
            for _ in range(3):
                sums = np.zeros_like(push)
                np.add.at(sums, edges[:, 0], push[edges[:, 1]])
                np.add.at(sums, edges[:, 1], push[edges[:, 0]])
                push = 0.5 * push + 0.5 * sums / degree
                push[bad] = own[bad]
            out[frame] += push
    return out


def upper_limits(kind: str, limits: QualityLimits) -> dict[str, float]:
    """Each figure's largest accepted value, for garments of a kind."""
    return {
        "inside_mean": limits.inside_mean,
        "inside_worst": limits.inside_worst,
        "deepest": limits.deepest,
        "stretch_p99": limits.stretch_bottom if kind == "bottom" else limits.stretch_top,
        "bare_draped": limits.bare,
        "bare_worst": limits.bare,
        "layers_mean": limits.layers,
        "projected_layers_mean": limits.layers,
        "projected_inside_mean": limits.projected_inside_mean,
        "projected_inside_worst": limits.projected_inside_worst,
        "projected_deepest": limits.projected_deepest,
    }


def first_breach(figures: dict[str, float], kind: str, limits: QualityLimits) -> str | None:
    """The first figure of one garment that breaks its limit, as a sentence, or None."""
    if not figures.get("finite", True):
        return "the cloth has vertices that are not numbers"
    for name, bound in upper_limits(kind, limits).items():
        if name in figures and figures[name] > bound:
            return f"{name} is {figures[name]:.2f}, the limit {bound:g}"
    return None
