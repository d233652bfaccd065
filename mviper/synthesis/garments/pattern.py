"""Sewing patterns: flat panels, the seams between them, and their even triangulation.

A panel is a closed outline in metres, drawn as one sees the cloth's right side (x to the right, y up) and run through
counter-clockwise. Two edges that are sewn together therefore always run in opposite directions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, cKDTree

from mviper.errors import MviperError
from mviper.structures import Garment

Placement = Callable[[np.ndarray], np.ndarray]


class PatternError(MviperError):
    """A pattern that cannot be sewn; the message names panel and edge."""


@dataclass(frozen=True)
class Edge:
    """One side of a panel: a Bezier curve from ``start`` to the next edge's start.

    Attributes:
        name: Unique in its panel, e.g. ``"armhole_left"``.
        start: (x, y) [m].
        controls: Inner control points [m]: none for a straight edge, one or two for a curve.
    """

    name: str
    start: tuple[float, float]
    controls: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Panel:
    """A flat piece of cloth.

    Attributes:
        name: Unique in its pattern, e.g. ``"front"``.
        edges: Counter-clockwise.
    """

    name: str
    edges: tuple[Edge, ...]

    def curve(self, name: str, samples: int = 200) -> np.ndarray:
        """Points at even distances along an edge, both ends included, (samples + 1, 2) [m]."""
        names = [edge.name for edge in self.edges]
        if name not in names:
            raise PatternError(f"panel {self.name!r} has no edge {name!r}; its edges are {', '.join(names)}")
        index = names.index(name)
        end = self.edges[(index + 1) % len(names)].start
        edge = self.edges[index]
        dense = _bezier(np.array([edge.start, *edge.controls, end], float), 400)
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
        along = np.linspace(0.0, length[-1], samples + 1)
        return np.stack([np.interp(along, length, dense[:, axis]) for axis in (0, 1)], axis=1)

    def length(self, name: str) -> float:
        """Length of an edge [m]."""
        return float(np.linalg.norm(np.diff(self.curve(name), axis=0), axis=1).sum())

    def mirrored(self, name: str) -> Panel:
        """The panel for the other side of the body: x turned round, edge names kept."""
        edges = []
        for edge, following in zip(self.edges, (*self.edges[1:], self.edges[0])):
            turned = tuple((-x, y) for x, y in reversed(edge.controls))
            edges.append(Edge(edge.name, (-following.start[0], following.start[1]), turned))
        return Panel(name, tuple(reversed(edges)))

    def check(self) -> None:
        """Refuses an outline that is clockwise, degenerate or crosses itself.

        Raises:
            PatternError: Names the panel and the edges.
        """
        names = [edge.name for edge in self.edges]
        if len(set(names)) != len(names):
            raise PatternError(f"panel {self.name!r}: edge names are not unique: {', '.join(names)}")
        for name in names:
            if self.length(name) < 1e-3:
                raise PatternError(f"panel {self.name!r}, edge {name!r}: shorter than 1 mm")
        per_edge = 37  # a prime: edges that cross at a simple share of their length do not meet at sample points
        points = np.concatenate([self.curve(name, per_edge)[:-1] for name in names])
        a, b = points, np.roll(points, -1, axis=0)
        crossing = _crossing_segments(a, b)
        if crossing is not None:
            first, second = (names[index // per_edge] for index in crossing)
            raise PatternError(f"panel {self.name!r}: its outline crosses itself, edge {first!r} with edge {second!r}")
        area = 0.5 * float(np.sum(a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]))
        if area <= 0:
            raise PatternError(f"panel {self.name!r}: its outline runs clockwise; expected counter-clockwise")


@dataclass(frozen=True)
class Seam:
    """Two edges to be sewn together, each as ``(panel, edge)``.

    Attributes:
        a: First side.
        b: Second side.
        easing: Largest difference in length, as a share of the longer side, that the tailor eases in.
    """

    a: tuple[str, str]
    b: tuple[str, str]
    easing: float = 0.03


@dataclass(frozen=True)
class Pattern:
    """Panels and seams.

    Attributes:
        panels: By name.
        seams: What is sewn to what.
    """

    panels: tuple[Panel, ...]
    seams: tuple[Seam, ...]

    def panel(self, name: str) -> Panel:
        """The panel of that name."""
        for panel in self.panels:
            if panel.name == name:
                return panel
        names = ", ".join(panel.name for panel in self.panels)
        raise PatternError(f"the pattern has no panel {name!r}; its panels are {names}")

    def check(self) -> None:
        """Refuses what cannot be sewn.

        Raises:
            PatternError: Names the panels and edges.
        """
        for panel in self.panels:
            panel.check()
        used: set[tuple[str, str]] = set()
        for seam in self.seams:
            lengths = [self.panel(panel).length(edge) for panel, edge in (seam.a, seam.b)]
            for side in (seam.a, seam.b):
                if side in used:
                    raise PatternError(f"panel {side[0]!r}, edge {side[1]!r}: sewn twice")
                used.add(side)
            if abs(lengths[0] - lengths[1]) > seam.easing * max(lengths):
                raise PatternError(
                    f"seam between panel {seam.a[0]!r}, edge {seam.a[1]!r} ({1000 * lengths[0]:.0f} mm) and panel "
                    f"{seam.b[0]!r}, edge {seam.b[1]!r} ({1000 * lengths[1]:.0f} mm): lengths may differ by "
                    f"{100 * seam.easing:.0f} %"
                )

    def edge_counts(self, edge_length: float) -> dict[tuple[str, str], int]:
        """Number of segments of each edge: about ``edge_length`` long, the same on both sides of a seam."""
        counts = {
            (panel.name, edge.name): max(1, round(panel.length(edge.name) / edge_length))
            for panel in self.panels
            for edge in panel.edges
        }
        for seam in self.seams:
            counts[seam.a] = counts[seam.b] = max(counts[seam.a], counts[seam.b])
        return counts


def sew_ready(
    pattern: Pattern,
    placements: Mapping[str, Placement],
    edge_length: float,
    name: str,
    kind: str,
    material: str,
    pins: Mapping[str, Placement] | None = None,
    parameters: dict[str, float] | None = None,
) -> Garment:
    """Cuts a pattern: triangulates its panels and places them round the body.

    Args:
        pattern: Checked here.
        placements: For each panel a function from flat positions (V, 2) to the world (V, 3) [m].
        edge_length: Wanted edge length of the mesh [m].
        name: The garment's name.
        kind: ``"top"`` or ``"bottom"``.
        material: Name of a cloth material.
        pins: For some panels a function from flat positions (V, 2) to pin weights (V,) in [0, 1].
        parameters: Drawn design parameters.

    Returns:
        The garment, its panels apart in ``uv`` (5 cm between them) so that a fabric covers each once.

    Raises:
        PatternError: The pattern cannot be sewn.
    """
    pattern.check()
    counts = pattern.edge_counts(edge_length)
    vertices, faces, uv, panel_index, pin_weights, seams = [], [], [], [], [], []
    edge_vertices: dict[tuple[str, str], np.ndarray] = {}
    total, shift = 0, 0.0
    for index, panel in enumerate(pattern.panels):
        segments = {edge.name: counts[panel.name, edge.name] for edge in panel.edges}
        flat, triangles, on_edges = triangulate(panel, segments, edge_length)
        vertices.append(placements[panel.name](flat))
        faces.append(triangles + total)
        uv.append(flat - flat.min(axis=0) + [shift, 0.0])
        shift += np.ptp(flat[:, 0]) + 0.05
        panel_index.append(np.full(len(flat), index))
        pin = (pins or {}).get(panel.name)
        pin_weights.append(np.zeros(len(flat)) if pin is None else pin(flat))
        edge_vertices |= {(panel.name, edge): found + total for edge, found in on_edges.items()}
        total += len(flat)
    for seam in pattern.seams:
        seams.append(np.stack([edge_vertices[seam.a], edge_vertices[seam.b][::-1]], axis=1))
    return Garment(
        name=name, vertices=np.concatenate(vertices), faces=np.concatenate(faces), uv=np.concatenate(uv),
        panel=np.concatenate(panel_index), panel_names=tuple(panel.name for panel in pattern.panels),
        seams=_junctions_joined(np.concatenate(seams), total), pins=np.concatenate(pin_weights), kind=kind,
        parameters=parameters or {}, material=material,
    )  # fmt: skip


def triangulate(
    panel: Panel, segments: Mapping[str, int], edge_length: float
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Triangulates a panel with even triangles whose border follows the outline exactly.

    Border points lie at even distances along each edge; a hexagonal grid fills the inside, is relaxed by moving each
    point to its neighbours' mean, and Delaunay joins them.

    Args:
        panel: The outline.
        segments: How many mesh edges each panel edge gets.
        edge_length: Wanted edge length inside [m].

    Returns:
        Flat positions (V, 2) [m], faces (F, 3) counter-clockwise, and for each edge its vertices in order, both
        ends included.

    Raises:
        PatternError: The outline is too narrow for this edge length.
    """
    border, on_edges, count = [], {}, 0
    total = sum(segments[edge.name] for edge in panel.edges)
    for edge in panel.edges:
        points = panel.curve(edge.name, segments[edge.name])[:-1]
        on_edges[edge.name] = np.append(np.arange(count, count + len(points)), (count + len(points)) % total)
        border.append(points)
        count += len(points)
    outline = np.concatenate(border)
    inside = _hexagonal_grid(outline.min(axis=0), outline.max(axis=0), edge_length)
    inside = inside[_in_polygon(inside, outline)]
    dense = np.concatenate([panel.curve(edge.name) for edge in panel.edges])
    inside = inside[cKDTree(dense).query(inside)[0] > 0.6 * edge_length]
    points = np.concatenate([outline, inside])
    for _ in range(4):
        faces = _delaunay_inside(points, outline)
        pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        pairs = np.unique(np.sort(pairs, axis=1), axis=0)
        sums, degree = np.zeros_like(points), np.bincount(pairs.ravel(), minlength=len(points))
        np.add.at(sums, pairs[:, 0], points[pairs[:, 1]])
        np.add.at(sums, pairs[:, 1], points[pairs[:, 0]])
        points[total:] = 0.5 * points[total:] + 0.5 * sums[total:] / degree[total:, None].clip(1)
    faces = _delaunay_inside(points, outline)
    _check_border(panel, faces, on_edges, total)
    used = np.unique(np.concatenate([np.arange(total), faces.ravel()]))
    new_index = np.full(len(points), -1)
    new_index[used] = np.arange(len(used))
    return points[used], new_index[faces], on_edges


def _junctions_joined(pairs: np.ndarray, count: int) -> np.ndarray:
    """Seam pairs (S, 2), with all pairs of those vertices that meet in one point over several seams."""
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    point = connected_components(graph, directed=False)[1]
    members = np.flatnonzero(np.bincount(point)[point] > 2)
    extra = [
        pair
        for place in np.unique(point[members])
        for pair in itertools.combinations(members[point[members] == place].tolist(), 2)
    ]
    every = np.concatenate([pairs, np.array(extra, int).reshape(-1, 2)])
    return np.unique(np.sort(every, axis=1), axis=0)


def _bezier(controls: np.ndarray, samples: int) -> np.ndarray:
    """De Casteljau: points (samples + 1, 2) of the curve with these control points."""
    t = np.linspace(0.0, 1.0, samples + 1)[:, None]
    layer = [np.broadcast_to(point, (samples + 1, 2)) for point in controls]
    while len(layer) > 1:
        layer = [(1 - t) * first + t * second for first, second in itertools.pairwise(layer)]
    return layer[0]


def _crossing_segments(a: np.ndarray, b: np.ndarray) -> tuple[int, int] | None:
    """First pair of segments a[i] b[i] of a closed line that properly cross, or None."""

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        area = (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0])
        return np.where(np.abs(area) < 1e-12, 0.0, area)  # pieces of one straight edge do not cross

    a1, b1, a2, b2 = a[:, None], b[:, None], a[None], b[None]
    proper = (side(a1, b1, a2) * side(a1, b1, b2) < 0) & (side(a2, b2, a1) * side(a2, b2, b1) < 0)
    found = np.argwhere(np.triu(proper, 1))
    return (int(found[0, 0]), int(found[0, 1])) if len(found) else None


def _in_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Whether each point (N, 2) lies inside a closed polygon (M, 2): even-odd rule."""
    x, y = points[:, None, 0], points[:, None, 1]
    x1, y1 = polygon[:, 0], polygon[:, 1]
    x2, y2 = np.roll(x1, -1), np.roll(y1, -1)
    straddles = (y1 > y) != (y2 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
    return (straddles & (x < at)).sum(axis=1) % 2 == 1


def _hexagonal_grid(low: np.ndarray, high: np.ndarray, spacing: float) -> np.ndarray:
    """A hexagonal grid over a box, centred in it so that mirrored panels get mirrored meshes."""
    rows = np.arange(-np.ceil((high[1] - low[1]) / spacing), np.ceil((high[1] - low[1]) / spacing) + 1)
    columns = np.arange(-np.ceil((high[0] - low[0]) / spacing), np.ceil((high[0] - low[0]) / spacing) + 1)
    row, column = np.meshgrid(rows, columns, indexing="ij")
    grid = np.stack([spacing * (column + 0.5 * (row % 2)), spacing * np.sqrt(0.75) * row], axis=-1)
    return grid.reshape(-1, 2) + 0.5 * (low + high)


def _delaunay_inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Delaunay triangles whose centre lies inside the outline, counter-clockwise, slivers on the border left out."""
    faces = Delaunay(points).simplices
    corners = points[faces]
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = 0.5 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    faces = np.where((area < 0)[:, None], faces[:, ::-1], faces)
    size = np.linalg.norm(ab, axis=1).clip(1e-9)
    keep = _in_polygon(corners.mean(axis=1), outline) & (np.abs(area) > 1e-3 * size**2)
    return faces[keep].astype(np.int64)


def _check_border(panel: Panel, faces: np.ndarray, on_edges: Mapping[str, np.ndarray], total: int) -> None:
    """Every piece of the outline must be an edge of exactly one triangle."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed = {(int(a), int(b)) for a, b in pairs[(pairs < total).all(axis=1)]}
    for name, vertices in on_edges.items():
        for a, b in itertools.pairwise(vertices):
            if (int(a), int(b)) not in directed:
                raise PatternError(
                    f"panel {panel.name!r}, edge {name!r}: the outline is too narrow or bends too sharply here for "
                    "this edge length; use a smaller edge_length"
                )
