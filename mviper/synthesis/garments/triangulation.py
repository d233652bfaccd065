"""Even triangulation of a flat panel."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from scipy.spatial import Delaunay, cKDTree

from mviper.synthesis.garments.pattern import Panel, PatternError


def triangulate(
    panel: Panel, segments: Mapping[str, int], edge_length: float
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Triangulates a panel evenly, with a border that follows the outline exactly.

    Border points are evenly spaced along each edge; a hexagonal grid fills the interior and is relaxed by moving each
    point to its neighbours' mean; the result is a Delaunay triangulation.

    Args:
        panel: The outline.
        segments: Number of mesh edges for each panel edge.
        edge_length: Target edge length in the interior [m].

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
    """Delaunay triangles with their centre inside the outline, counter-clockwise, without slivers on the border."""
    faces = Delaunay(points).simplices
    corners = points[faces]
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = 0.5 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    faces = np.where((area < 0)[:, None], faces[:, ::-1], faces)
    size = np.linalg.norm(ab, axis=1).clip(1e-9)
    keep = _in_polygon(corners.mean(axis=1), outline) & (np.abs(area) > 1e-3 * size**2)
    return faces[keep].astype(np.int64)


def _check_border(panel: Panel, faces: np.ndarray, on_edges: Mapping[str, np.ndarray], total: int) -> None:
    """Checks that every segment of the outline is an edge of exactly one triangle."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed = {(int(a), int(b)) for a, b in pairs[(pairs < total).all(axis=1)]}
    for name, vertices in on_edges.items():
        for a, b in itertools.pairwise(vertices):
            if (int(a), int(b)) not in directed:
                raise PatternError(
                    f"panel {panel.name!r}, edge {name!r}: the outline is too narrow or bends too sharply here for "
                    "this edge length; use a smaller edge_length"
                )
