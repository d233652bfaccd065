"""Clothing painted onto the skin, as in SURREAL (Varol et al., "Learning from Synthetic Humans", 2017)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, identity
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from mviper.errors import SequenceRejected
from mviper.registry import SIMULATORS
from mviper.structures import Garment, MeshSequence
from mviper.synthesis.simulation.basting import baste
from mviper.synthesis.simulation.dressing import SimulationResult, brought_along
from mviper.synthesis.simulation.meshes import edges_of, incidence, mean_by_group, merge_pairs, vertex_normals
from mviper.synthesis.simulation.surface_fields import (
    CutSurface,
    SmoothFields,
    flat_triangles,
    flatten_true,
    nearest_faces,
    triangle_areas,
    vertex_areas,
)

#: Smaller holes are closed and smaller specks of paint removed [m^2]; a hand is four times as large.
SPECK = 0.01


@SIMULATORS.register_module()
class PaintedCloth:
    """Paints garments onto the body instead of simulating them: cloth without drape, folds or occlusion.

    A baseline for simulated cloth. The garments are the same, cut from the same patterns; each covers the skin on which
    it would lie if it clung to the body, and moves exactly with it.

    Args:
        lift: Distance of a garment above the skin, and of each outer garment above the inner one [m].
    """

    def __init__(self, lift: float = 0.0003) -> None:
        self.lift = lift

    def __call__(
        self, garments: list[Garment], body: MeshSequence, fps: float, lead_in: int = 0
    ) -> SimulationResult:  # fmt: skip
        """Paints garments onto a moving body.

        Args:
            garments: From the innermost to the outermost.
            body: Frame 0 = rest pose, in the world.
            fps: Not needed.
            lead_in: Not needed.

        Returns:
            The garments' meshes over the body's frames. Figures of each: ``covered``, the share of the body's skin [%];
            ``vertices``; ``fabric_scale`` and ``fabric_scale_p95``, median and 95th percentile of the ratio between the
            fabric's size on the skin and in the pattern, as a factor of 1 or more.

        Raises:
            SequenceRejected: A garment covers no skin.
            ConfigError: Frame 0 of the body is not the rest pose that the garments were cut for.
        """
        start = time.process_time()
        rest = np.asarray(body.vertices[0], float)
        pieces = [paint(brought_along(garment, rest), rest, body.faces) for garment in garments]
        quality = {garment.name: piece.figures(rest, body.faces) for garment, piece in zip(garments, pieces)}
        fitted = time.process_time()
        moved = [np.empty((len(body), piece.weights.shape[0], 3), np.float32) for piece in pieces]
        for frame, skin in enumerate(body.vertices):
            normals = vertex_normals(skin, body.faces)
            for layer, (piece, record) in enumerate(zip(pieces, moved), start=1):
                record[frame] = piece.weights @ (skin + layer * self.lift * normals)
        timings = {"fit": fitted - start, "paint": time.process_time() - fitted}
        meshes = [
            MeshSequence(vertices, piece.faces, piece.uv, garment.name)
            for vertices, piece, garment in zip(moved, pieces, garments)
        ]
        return SimulationResult(meshes, quality, timings)


@dataclass
class Paint:
    """The part of a body's skin covered by a garment.

    Attributes:
        weights: Each vertex as a mean of the body's vertices (those of the triangle that it lies in), sparse (V, B).
        faces: Shape (F, 3).
        uv: Position of each corner in the pattern [m], shape (F, 3, 2).
    """

    weights: csr_matrix
    faces: np.ndarray
    uv: np.ndarray

    def figures(self, body: np.ndarray, body_faces: np.ndarray) -> dict[str, float]:
        """Its coverage and its fabric's scale error; body (B, 3) [m] with faces (F, 3)."""
        vertices = self.weights @ body
        area = triangle_areas(vertices, self.faces)
        whole = area > 1e-9  # without slivers left by cuts
        area, flat, uv = area[whole], flat_triangles(vertices, self.faces)[whole], self.uv[whole]
        jacobian = np.linalg.solve(flat[:, 1:] - flat[:, :1], uv[:, 1:] - uv[:, :1])
        scale = np.exp(np.abs(np.log(np.linalg.svd(jacobian, compute_uv=False).clip(1e-3))).max(axis=1))
        order = np.argsort(scale)
        share = np.cumsum(area[order]) / area.sum()
        return {
            "covered": float(100 * area.sum() / triangle_areas(body, body_faces).sum()),
            "vertices": len(vertices),
            "fabric_scale": float(scale[order][np.searchsorted(share, 0.5)]),
            "fabric_scale_p95": float(scale[order][np.searchsorted(share, 0.95)]),
        }


def paint(garment: Garment, body: np.ndarray, body_faces: np.ndarray) -> Paint:
    """Finds the skin covered by a garment and the pattern on it.

    The cloth is pulled onto the skin until it clings. For each vertex of the skin, the nearest point of that cloth
    gives its distance inside or outside the garment's hems and its position in the pattern. Fields smoothed on the skin
    bridge places that the cloth does not reach (armpits, between the legs under a skirt), and the skin's triangles are
    cut where they change sign: along the hems and along the seams.

    Args:
        garment: Its panels placed round the body.
        body: Rest pose [m], shape (B, 3).
        body_faces: Shape (F, 3).

    Raises:
        SequenceRejected: It covers no skin.
    """
    normals = vertex_normals(body, body_faces)
    cloth = _cling(garment, body, normals)
    inside, distance, places = _read_off(cloth, body, normals)
    # The further the cloth moved, the less exact is its position.
    smooth = SmoothFields(body, body_faces, length=0.015 + 0.1 * cloth.way)
    trust = np.exp(-((distance.min(axis=1) / 0.02) ** 2))
    # Far from the cloth, too, the side of the hem is known: a hand is not covered.
    inside = smooth.fit(inside[:, None], trust.clip(1e-3))[:, 0]
    inside = without_specks(inside, body, body_faces)
    if not (inside > 0).any():
        raise SequenceRejected(f"{garment.name}: it covers no skin")
    score = -smooth.fit(distance.clip(0, 0.1), trust)  # of each chart: the highest wins
    lies_here = score > score.max(axis=1, keepdims=True) - 0.01
    places = [smooth.fit(place, trust * here) for place, here in zip(places, lies_here.T)]

    count = len(places)
    scores, flat = slice(1, 1 + count), slice(1 + count, None)
    surface = CutSurface(body_faces, identity(len(body), format="csr"), np.column_stack([inside, score, *places]))
    surface, side = surface.cut(surface.fields[:, 0])
    surface = surface.keep(side > 0)
    for chart in range(count if count > 1 else 0):
        score = surface.fields[:, scores]
        surface, _ = surface.cut(score[:, chart] - np.delete(score, chart, axis=1).max(axis=1))
    chart = surface.fields[:, scores][surface.faces].mean(axis=1).argmax(axis=1)
    uv = surface.fields[:, flat].reshape(-1, count, 2)[surface.faces, chart[:, None]]
    return Paint(surface.weights, surface.faces, _true_to_scale(surface.weights @ body, surface.faces, uv))


@dataclass
class _Cloth:
    """A garment that clings to the body, seams merged.

    Attributes:
        vertices: On the skin [m], shape (V, 3).
        faces: Shape (F, 3).
        normals: Normals of its triangles, with folds smoothed out, shape (F, 3).
        uv: Per corner [m], shape (F, 3, 2).
        charts: Number of each triangle's chart, shape (F,): no seam runs inside a chart.
        hem: Distance of each vertex from the nearest hem [m], shape (V,).
        way: Mean distance its vertices moved onto the skin [m].
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    charts: np.ndarray
    hem: np.ndarray
    way: float


def _cling(garment: Garment, body: np.ndarray, normals: np.ndarray, drape: int = 120, cling: int = 120) -> _Cloth:
    """Bastes a garment, lets it sink round the body and pulls it onto the skin.

    While pulled onto the skin cloth may shrink round the body but not stretch, and not shrink from hem to hem: a wide
    skirt narrows to the legs and keeps its length.

    Args:
        garment: Its panels placed round the body.
        body: Rest pose, upright [m], shape (B, 3).
        normals: Its unit normals, shape (B, 3).
        drape: Rounds of sinking.
        cling: Rounds of pulling.
    """
    basted = baste(garment, body, normals, margin=0.002)
    group = merge_pairs(garment.seams, len(basted))
    vertices, faces = mean_by_group(basted, group), group[garment.faces]
    start, free = vertices, np.ones(len(vertices))
    np.minimum.at(free, group, 1 - garment.pins)

    edges = edges_of(garment.faces)
    lengths = np.linalg.norm(garment.uv[edges[:, 0]] - garment.uv[edges[:, 1]], axis=1)
    edges = group[edges]
    hem = _open_edges(faces)
    graph = coo_matrix((lengths, edges.T), shape=(len(vertices),) * 2)
    to_hem = dijkstra(graph, directed=False, indices=np.unique(hem), min_only=True)
    # 1 for edges perpendicular to a hem, 0 for those parallel to it.
    lengthwise = (np.abs(to_hem[edges[:, 0]] - to_hem[edges[:, 1]]) / lengths).clip(0, 1) ** 4
    matrix = incidence(edges, len(vertices))
    transposed = matrix.T.tocsr()
    share = (free / np.bincount(edges.ravel(), minlength=len(vertices)))[:, None]
    tree = cKDTree(body)
    # No vertex is further from where the garment rests on the body than the cloth is long ("long range attachments",
    # Kim et al., 2012).
    held = np.flatnonzero((tree.query(vertices)[0] < 0.03) | (free < 1))
    reach, _, support = dijkstra(graph, directed=False, indices=held, min_only=True, return_predecessors=True)
    reach *= 0.93  # paths along edges are longer than straight lines by this factor
    loose = np.flatnonzero(np.isfinite(reach) & (reach > 0))
    for step in range(drape + cling):
        sinking = step < drape
        if sinking:  # only vertices away from the skin: the rest is in place
            stands_off = ((tree.query(vertices)[0] - 0.04) / 0.06).clip(0, 1) * free
            vertices = vertices - stands_off[:, None] * [0, 0, 0.012 * (1 - step / drape)]
            arm = vertices[loose] - vertices[support[loose]]
            arm *= np.minimum(1, reach[loose] / np.linalg.norm(arm, axis=1).clip(1e-9))[:, None]
            vertices[loose] = vertices[support[loose]] + arm
        _, nearest = tree.query(vertices)
        height = np.einsum("vi,vi->v", vertices - body[nearest], normals[nearest])
        push = (0.002 - height).clip(0, 0.02) if sinking else -0.1 * height
        vertices = vertices + push[:, None] * normals[nearest]
        for _ in range(3):
            vectors = matrix @ vertices
            now = np.linalg.norm(vectors, axis=1).clip(1e-9)
            missing = (lengths - now) / now
            missing *= np.where(missing > 0, 0.0 if sinking else lengthwise, 1.0)
            vertices = vertices + 1.2 * share * (transposed @ (vectors * (0.5 * missing)[:, None]))
        if step == drape:
            facing = _facing(vertices, faces, edges)
    from_hem = cKDTree(_along(vertices[hem])).query(vertices)[0]
    way = float(np.linalg.norm(vertices - start, axis=1).mean())
    return _Cloth(vertices, faces, facing, garment.uv[garment.faces], _charts(garment), from_hem, way)


def _facing(vertices: np.ndarray, faces: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Normal of each triangle's surroundings, with folds smoothed out, (F, 3)."""
    degree = np.bincount(edges.ravel(), minlength=len(vertices))[:, None]
    link = coo_matrix((np.ones(2 * len(edges)), (edges.T.ravel(), edges[:, ::-1].T.ravel()))).tocsr()
    normals = vertex_normals(vertices, faces)
    for _ in range(10):
        normals = 0.5 * normals + 0.5 * (link @ normals) / degree
    facing = normals[faces].mean(axis=1)
    return facing / np.linalg.norm(facing, axis=1, keepdims=True).clip(1e-12)


def _open_edges(faces: np.ndarray) -> np.ndarray:
    """Border edges, (H, 2)."""
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    sides, number = np.unique(sides, axis=0, return_counts=True)
    return sides[number == 1]


def _along(segments: np.ndarray, pieces: int = 10) -> np.ndarray:
    """Points along segments (S, 2, 3), both ends included: (S * (pieces + 1), 3)."""
    share = np.linspace(0, 1, pieces + 1)[:, None]
    return (segments[:, None, 0] * (1 - share) + segments[:, None, 1] * share).reshape(-1, 3)


def _charts(garment: Garment) -> np.ndarray:
    """Chart of each triangle (F,): its panel; a panel sewn to itself (a sleeve, a dart) is split between the sides."""
    panel, flat = garment.panel, garment.uv
    half = np.zeros(len(panel), int)
    own = garment.seams[panel[garment.seams[:, 0]] == panel[garment.seams[:, 1]]]
    for index in np.unique(panel[own[:, 0]]):
        first, second = own[panel[own[:, 0]] == index].T
        across = flat[second] - flat[first]
        # Direction from one side of the seam to the other.
        turned = across @ np.linalg.svd(across)[2][0] < 0
        first, second = np.where(turned, second, first), np.where(turned, first, second)
        members = np.flatnonzero(panel == index)
        to_first, to_second = (cKDTree(flat[side]).query(flat[members])[0] for side in (first, second))
        half[members] = to_second < to_first
    label = 2 * panel + half
    corners = label[garment.faces]
    of_face = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0])  # the majority
    return np.unique(of_face, return_inverse=True)[1]


def _read_off(cloth: _Cloth, body: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """The cloth's values at each vertex of the skin.

    Returns:
        Distance inside the hems (negative: outside) (B,) [m], distance to each chart (B, C) [m], and for each chart the
        position in the pattern (B, 2) [m].
    """
    inside, distance, places = [], [], []
    for chart in range(cloth.charts.max() + 1):
        own = np.flatnonzero(cloth.charts == chart)
        faces, facing = cloth.faces[own], cloth.normals[own]
        face, place = nearest_faces(body, normals, cloth.vertices, faces, facing)
        corners = cloth.vertices[faces[face]]
        offset = body - np.einsum("nk,nki->ni", place, corners)
        upright = np.einsum("ni,ni->n", offset, facing[face])
        aside = np.linalg.norm(offset - upright[:, None] * facing[face], axis=1)
        inside.append(np.einsum("nk,nk->n", place, cloth.hem[faces[face]]) - aside)
        distance.append(np.linalg.norm(offset, axis=1))
        places.append(np.einsum("nk,nki->ni", place, cloth.uv[own[face]]))
    distance = np.stack(distance, axis=1)
    # Maximum over the charts here: layers of one garment cover what any of them covers.
    here = distance <= distance.min(axis=1, keepdims=True) + 0.015
    inside = np.where(here, np.stack(inside, axis=1), -np.inf).max(axis=1)
    return inside.clip(-0.05, 0.05), distance, places


def without_specks(values: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """A field (V,) on a surface with the sign of small islands flipped: no specks and no holes below ``SPECK``."""
    values = np.where(values == 0, 1e-9, values)
    edges = edges_of(faces)
    for sign in (1, -1):
        same = values[edges[:, 0]] * values[edges[:, 1]] > 0
        graph = coo_matrix((np.ones(same.sum()), edges[same].T), shape=(len(values),) * 2)
        island = connected_components(graph, directed=False)[1]
        area = np.bincount(island, vertex_areas(vertices, faces), len(values))
        shore = np.bincount(island[edges[~same]].ravel(), minlength=len(values))  # none: a piece of its own, an eye
        small = (area[island] < SPECK) & (shore[island] > 0) & (sign * values > 0)
        values = np.where(small, -values, values)
    return values


def _true_to_scale(vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Relaxes uv (F, 3, 2) until lengths on the skin match the fabric's, separately for each piece between seams."""
    # Merge a vertex's corners whose flat positions nearly coincide.
    corner = np.arange(3 * len(faces))
    order = np.argsort(faces.ravel(), kind="stable")
    place = uv.reshape(-1, 2)
    pairs = []
    for step in range(1, 12):
        a, b = order[:-step], order[step:]
        same = (faces.ravel()[a] == faces.ravel()[b]) & (np.linalg.norm(place[a] - place[b], axis=1) < 0.02)
        pairs.append(np.stack([a[same], b[same]], axis=1))
    group = merge_pairs(np.concatenate(pairs), len(corner))
    flat_faces = group.reshape(-1, 3)
    source = np.zeros(group.max() + 1, int)
    source[group] = faces.ravel()
    flat = flatten_true(vertices[source], flat_faces, mean_by_group(place, group))
    return flat[flat_faces]
