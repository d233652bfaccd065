"""Sewing patterns: flat panels and the seams between them.

A panel is a closed counter-clockwise outline in metres, seen from the cloth's right side (x to the right, y up). Two
edges that are sewn together therefore always run in opposite directions.

A dart is a notch in an edge whose two legs are sewn together (:meth:`Panel.with_dart`); a gathered seam draws a longer
edge up to a shorter one (:attr:`Seam.gather`); a seam may join one edge to several, as a waistband does.
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
        """The panel for the other side of the body: x negated, edge names kept."""
        edges = []
        for edge, following in zip(self.edges, (*self.edges[1:], self.edges[0])):
            turned = tuple((-x, y) for x, y in reversed(edge.controls))
            edges.append(Edge(edge.name, (-following.start[0], following.start[1]), turned))
        return Panel(name, tuple(reversed(edges)))

    def with_dart(self, name: str, place: float, width: float, depth: float) -> tuple[Panel, Seam]:
        """Cuts a dart into an edge: the notch takes ``width`` out of it and ends ``depth`` inside the panel.

        Args:
            name: The edge. Its parts before and after the notch become ``<name>_before`` and ``<name>_after``, the legs
                ``<name>_leg_in`` and ``<name>_leg_out``.
            place: Position of the notch's middle, as a share of the edge's length.
            width: Its width on the edge [m].
            depth: From the edge to its tip, at a right angle to the edge [m].

        Returns:
            The panel, and the seam that closes the dart.

        Raises:
            PatternError: The notch does not fit into the edge.
        """
        length, index = self.length(name), [edge.name for edge in self.edges].index(name)
        start, end = place - 0.5 * width / length, place + 0.5 * width / length
        if not (width > 0 and depth > 0 and start > 0.01 and end < 0.99):
            raise PatternError(
                f"panel {self.name!r}, edge {name!r} ({1000 * length:.0f} mm): a dart {1000 * width:.0f} mm wide and "
                f"{1000 * depth:.0f} mm deep at {place:.2f} of its length does not fit"
            )
        edge, following = self.edges[index], self.edges[(index + 1) % len(self.edges)]
        controls = np.array([edge.start, *edge.controls, following.start], float)
        before, after = (_bezier_part(controls, *part) for part in (
            (0.0, _parameter_at(controls, start)), (_parameter_at(controls, end), 1.0),
        ))  # fmt: skip
        along = after[0] - before[-1]
        inward = np.array([-along[1], along[0]]) / np.linalg.norm(along)
        tip = 0.5 * (before[-1] + after[0]) + depth * inward
        edges = (
            _edge(f"{name}_before", before), Edge(f"{name}_leg_in", _point(before[-1])),
            Edge(f"{name}_leg_out", _point(tip)), _edge(f"{name}_after", after),
        )  # fmt: skip
        panel = Panel(self.name, (*self.edges[:index], *edges, *self.edges[index + 1 :]))
        return panel, Seam((self.name, f"{name}_leg_in"), (self.name, f"{name}_leg_out"))

    def check(self) -> None:
        """Raises if the outline is clockwise, degenerate or crosses itself.

        Raises:
            PatternError: Names the panel and the edges.
        """
        names = [edge.name for edge in self.edges]
        if len(set(names)) != len(names):
            raise PatternError(f"panel {self.name!r}: edge names are not unique: {', '.join(names)}")
        for name in names:
            if self.length(name) < 1e-3:
                raise PatternError(f"panel {self.name!r}, edge {name!r}: shorter than 1 mm")
        per_edge = 37  # a prime: edges that cross at a simple fraction of their length do not meet at sample points
        points = np.concatenate([self.curve(name, per_edge)[:-1] for name in names])
        a, b = points, np.roll(points, -1, axis=0)
        crossing = _crossing_segments(a, b)
        if crossing is not None:
            first, second = (names[index // per_edge] for index in crossing)
            raise PatternError(f"panel {self.name!r}: its outline crosses itself, edge {first!r} with edge {second!r}")
        area = 0.5 * float(np.sum(a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]))
        if area <= 0:
            raise PatternError(f"panel {self.name!r}: its outline runs clockwise; expected counter-clockwise")


#: One side of a seam: an edge as ``(panel, edge)``, or a chain of several in order.
Side = tuple[str, str] | tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Seam:
    """Two edges to be sewn together, each as ``(panel, edge)``; either may be a chain of several.

    Attributes:
        a: First side.
        b: Second side, in the opposite direction: chains on both sides are listed in opposite order.
        easing: Largest length difference that is eased in, as a share of the longer side.
        gather: Ratio of the lengths of ``a`` and ``b``: ``a`` is gathered to ``b``'s length and falls in folds.
    """

    a: Side
    b: Side
    easing: float = 0.03
    gather: float = 1.0

    @property
    def sides(self) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """Both sides as chains of ``(panel, edge)``."""
        return tuple((side,) if isinstance(side[0], str) else tuple(side) for side in (self.a, self.b))


@dataclass(frozen=True)
class Pattern:
    """Panels and seams.

    Attributes:
        panels: By name.
        seams: All seams.
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
        """Raises if the pattern cannot be sewn.

        Raises:
            PatternError: Names the panels and edges.
        """
        for panel in self.panels:
            panel.check()
        names = [panel.name for panel in self.panels]
        if len(set(names)) != len(names):
            raise PatternError(f"panel names are not unique: {', '.join(names)}")
        used: set[tuple[str, str]] = set()
        for seam in self.seams:
            lengths = [sum(self.panel(panel).length(edge) for panel, edge in side) for side in seam.sides]
            for panel, edge in itertools.chain(*seam.sides):
                if (panel, edge) in used:
                    raise PatternError(f"panel {panel!r}, edge {edge!r}: sewn twice")
                used.add((panel, edge))
            wanted = seam.gather * lengths[1]
            if abs(lengths[0] - wanted) > seam.easing * max(lengths[0], wanted):
                first, second = (
                    " with ".join(f"panel {panel!r}, edge {edge!r}" for panel, edge in side)
                    + f" ({1000 * long:.0f} mm)"
                    for side, long in zip(seam.sides, lengths)
                )
                ratio = f"the first must be {seam.gather:g} times the second, " if seam.gather != 1 else "lengths "
                raise PatternError(f"seam between {first} and {second}: {ratio}may differ by {100 * seam.easing:.0f} %")

    def edge_counts(self, edge_length: float) -> dict[tuple[str, str], int]:
        """Number of segments of each edge: about ``edge_length`` long, equal on both sides of a seam."""
        counts = {
            (panel.name, edge.name): max(1, round(panel.length(edge.name) / edge_length))
            for panel in self.panels
            for edge in panel.edges
        }
        for seam in self.seams:
            total = max(sum(counts[edge] for edge in side) for side in seam.sides)
            for side in seam.sides:
                lengths = [self.panel(panel).length(edge) for panel, edge in side]
                counts |= dict(zip(side, _shared_out(total, lengths)))
        return counts


def _shared_out(total: int, lengths: list[float]) -> list[int]:
    """Integers >= 1, proportional to lengths, that add up to ``total``."""
    ends = np.round(np.cumsum(lengths) / np.sum(lengths) * total).astype(int)
    for index in range(len(ends)):  # at least one each
        ends[index] = np.clip(ends[index], index + 1, total - (len(ends) - 1 - index))
    return np.diff(ends, prepend=0).tolist()


def _point(place: np.ndarray) -> tuple[float, float]:
    return float(place[0]), float(place[1])


def _edge(name: str, controls: np.ndarray) -> Edge:
    """The edge along a Bezier curve's control points (K, 2)."""
    return Edge(name, _point(controls[0]), tuple(_point(point) for point in controls[1:-1]))


def _parameter_at(controls: np.ndarray, share: float) -> float:
    """A Bezier curve's parameter at a share of its length."""
    dense = _bezier(controls, 2000)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
    return float(np.interp(share * length[-1], length, np.linspace(0, 1, 2001)))


def _bezier_part(controls: np.ndarray, start: float, end: float) -> np.ndarray:
    """Control points of the part of a Bezier curve between two parameters (de Casteljau's subdivision)."""

    def first_part(points: np.ndarray, at: float) -> np.ndarray:
        kept = [points[0]]
        while len(points) > 1:
            points = (1 - at) * points[:-1] + at * points[1:]
            kept.append(points[0])
        return np.array(kept)

    upto = first_part(controls, end)
    return first_part(upto[::-1], 1 - start / end)[::-1] if start else upto


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
