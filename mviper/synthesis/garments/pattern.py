"""Sewing patterns: flat panels and the seams between them.

A panel is a closed outline in metres, drawn as one sees the cloth's right side (x to the right, y up) and run through
counter-clockwise. Two edges that are sewn together therefore always run in opposite directions.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from mviper.errors import MviperError


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
