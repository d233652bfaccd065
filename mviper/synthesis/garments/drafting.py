"""From a drafted pattern to a garment that can be sewn; base of all garments."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Protocol, dataclass_transform

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mviper.body import BodyShape
from mviper.errors import ConfigError
from mviper.structures import Garment
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.pattern import Edge, Panel, Pattern, PatternError, Seam
from mviper.synthesis.garments.pattern_files import read_pattern
from mviper.synthesis.garments.triangulation import triangulate
from mviper.synthesis.simulation import cloth_material


@dataclass(frozen=True)
class Fit:
    """A place where a garment goes round the body and must be at least as wide.

    Attributes:
        where: Part of the body, e.g. ``"hips"``.
        girth: The body's girth there [m].
        across: The garment's girth there: whole edges as ``(panel, edge)``, or the straight line across a panel between
            the starts of two edges as ``(panel, edge, other edge)``.
    """

    where: str
    girth: float
    across: tuple[tuple[str, ...], ...]

    def check(self, pattern: Pattern) -> None:
        """Raises if a pattern is too narrow here.

        Raises:
            PatternError: Names panels and edges.
        """
        width, names = 0.0, []
        for panel, *edges in self.across:
            panel = pattern.panel(panel)
            if len(edges) == 1:
                width += panel.length(edges[0])
                names.append(f"panel {panel.name!r}, edge {edges[0]!r}")
            else:
                start, end = (panel.curve(edge)[0] for edge in edges)
                width += float(np.linalg.norm(end - start))
                names.append(f"panel {panel.name!r} from edge {edges[0]!r} to edge {edges[1]!r}")
        if width < self.girth:
            raise PatternError(
                f"does not fit the body: {' with '.join(names)} measures {1000 * width:.0f} mm, the body's "
                f"{self.where} {1000 * self.girth:.0f} mm"
            )


class GarmentPart(Protocol):
    """A part of a garment, drafted for one body: a bodice, a pair of sleeves, a hood, a skirt."""

    def panels(self) -> tuple[Panel, ...]:
        """Its panels."""

    def seams(self) -> tuple[Seam, ...]:
        """Its own seams and those to adjoining parts."""

    def placements(self) -> Mapping[str, Callable[[np.ndarray], np.ndarray]]:
        """For each of its panels a function from flat positions (V, 2) to the world (V, 3) [m]."""

    def fits(self) -> tuple[Fit, ...]:
        """Where it must be at least as wide as the body."""


@dataclass(frozen=True)
class Draft:
    """A pattern drafted for one body.

    Attributes:
        pattern: Panels and seams.
        placements: For each panel a function from flat positions (V, 2) to the world (V, 3) [m].
        pins: For some panels a function from flat positions (V, 2) to how strongly they follow the body (V,), 0 to 1.
        fits: Where it must be at least as wide as the body.
    """

    pattern: Pattern
    placements: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    pins: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)
    fits: tuple[Fit, ...] = ()

    @classmethod
    def of(cls, *parts: GarmentPart, pins: Mapping[str, Callable[[np.ndarray], np.ndarray]] | None = None) -> Draft:
        """The draft of a garment made of parts."""
        panels = tuple(panel for part in parts for panel in part.panels())
        seams = tuple(seam for part in parts for seam in part.seams())
        placements = {name: place for part in parts for name, place in part.placements().items()}
        fits = tuple(fit for part in parts for fit in part.fits())
        return cls(Pattern(panels, seams), placements, pins or {}, fits)

    def check(self) -> None:
        """Raises if the pattern cannot be sewn or does not fit the body.

        Raises:
            PatternError: Names panels and edges.
        """
        self.pattern.check()
        for fit in self.fits:
            fit.check(self.pattern)

    def with_pattern(self, pattern: Pattern) -> Draft:
        """The same garment cut from another pattern, with this draft's placement of the panels.

        Args:
            pattern: A pattern with the same panels and edges; seams and shapes may differ.

        Raises:
            PatternError: A panel or an edge is missing or unknown.
        """
        placements, pins = {}, {}
        _same_names("pattern", "panel", self.pattern.panels, pattern.panels)
        for own in self.pattern.panels:
            other = pattern.panel(own.name)
            _same_names(f"panel {own.name!r}", "edge", own.edges, other.edges)
            warp = _warp(other, own)
            placements[own.name] = _after(warp, self.placements[own.name])
            if own.name in self.pins:
                pins[own.name] = _after(warp, self.pins[own.name])
        return Draft(pattern, placements, pins, self.fits)


def _same_names(what: str, kind: str, wanted: Sequence[Panel | Edge], given: Sequence[Panel | Edge]) -> None:
    names, found = [part.name for part in wanted], [part.name for part in given]
    missing, unknown = sorted(set(names) - set(found)), sorted(set(found) - set(names))
    if missing or unknown:
        problems = [f"lacks {kind} {name!r}" for name in missing] + [f"has unknown {kind} {name!r}" for name in unknown]
        raise PatternError(f"the {what} {', '.join(problems)}; this garment's are {', '.join(names)}")


def _warp(source: Panel, target: Panel) -> Callable[[np.ndarray], np.ndarray]:
    """A smooth map of the plane from one panel's outline to another's, edge by edge (thin-plate spline)."""
    outlines = [np.concatenate([panel.curve(e.name, 8)[:-1] for e in target.edges]) for panel in (source, target)]
    return RBFInterpolator(*outlines, kernel="thin_plate_spline", smoothing=1e-9)


def _after(warp: Callable, function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda flat: function(warp(flat))


#: Range of a design parameter, which is drawn uniformly; two equal numbers fix it.
Range = tuple[float, float]


@dataclass_transform(kw_only_default=True, eq_default=False)
@dataclass(kw_only=True, eq=False)
class ParametricGarment(ABC):
    """A garment made to measure; a subclass names its design parameters and drafts its pattern.

    The fields that a subclass adds are its design parameters, in the order of drawing; they are keyword arguments of
    its constructor, as in a dataclass::

        @GARMENTS.register_module()
        class Shorts(Trousers):
            name = "shorts"
            length: Range = (0.22, 0.48)

    Attributes:
        name: Registered type in snake case, e.g. ``"t_shirt"``.
        kind: ``"top"``, ``"bottom"`` (has legs), ``"skirt"`` or ``"dress"``.
        ranges: Each design parameter's range by name.

    Args:
        edge_length: Edge length of the mesh [m].
        material: Name of a preset in ``mviper.synthesis.simulation.materials``.
        pattern: A pattern file to cut instead of the drafted pattern (``pattern_files.py``), with the same panel and
            edge names; the design parameters still determine the panels' placement.

    Raises:
        ConfigError: A range is not two finite numbers in ascending order, the edge length is invalid, or the material
            is unknown.
        FileFormatError: The pattern file cannot be read.
        PatternError: Its pattern cannot be sewn.
    """

    name: ClassVar[str]
    kind: ClassVar[str]

    edge_length: float = 0.02
    material: str = "cotton"
    pattern: str | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(kw_only=True, eq=False)(cls)

    def __post_init__(self) -> None:
        own = [each.name for each in fields(self) if each.name not in _SHARED]
        self.ranges: dict[str, Range] = {name: getattr(self, name) for name in own}
        for key, bounds in self.ranges.items():
            pair = np.array(bounds)
            if pair.shape != (2,) or pair.dtype.kind not in "if" or not np.isfinite(pair).all() or pair[0] > pair[1]:
                raise ConfigError(f"{self.name}: {key} is (lowest, highest), e.g. (0.5, 0.7), got {bounds!r}")
        if not (isinstance(self.edge_length, int | float) and 0 < self.edge_length < np.inf):
            raise ConfigError(f"{self.name}: expected edge_length > 0 in metres, e.g. 0.02, got {self.edge_length!r}")
        try:
            cloth_material(self.material)
        except ConfigError as error:
            raise ConfigError(f"{self.name}: {error}") from error
        self._given = None if self.pattern is None else read_pattern(self.pattern)
        if self._given is not None:
            with self._named():
                self._given.check()

    @abstractmethod
    def draft(self, body: Measurements, drawn: dict[str, float]) -> Draft:
        """Drafts the pattern for a body.

        Args:
            body: The body's measurements.
            drawn: A value for each design parameter.

        Raises:
            PatternError: It does not fit this body; names panel and edge.
        """

    def design(self, rng: np.random.Generator | None) -> dict[str, float]:
        """A value for each design parameter: drawn, or without ``rng`` the middle of its range."""
        if rng is None:
            return {key: float(np.mean(bounds)) for key, bounds in self.ranges.items()}
        return {key: float(rng.uniform(*bounds)) for key, bounds in self.ranges.items()}

    def cut(self, body_shape: BodyShape, rng: np.random.Generator) -> Garment:
        """Draws the design, drafts the pattern and cuts it out.

        Args:
            body_shape: The body at rest.
            rng: Draws the design parameters.

        Returns:
            Panels placed round the body.

        Raises:
            PatternError: No pattern fits this body.
        """
        drawn = self.design(rng)
        with self._named():
            draft = self.draft(Measurements(body_shape), drawn)
            if self._given is not None:
                draft = draft.with_pattern(self._given)
            garment = cut_out(draft, self.edge_length, self.name, self.kind, self.material)
        covers = self.covers(body_shape)
        return replace(garment, parameters=drawn, fitted_to=body_shape.vertices, covers=covers)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Prefixes pattern errors with the name of the garment and its pattern file."""
        try:
            yield
        except PatternError as error:
            source = f" ({self.pattern})" if self.pattern else ""
            raise PatternError(f"{self.name}{source}: {error}") from error

    def covers(self, body_shape: BodyShape) -> np.ndarray | None:
        """Body vertices that must stay covered, shape (B,) bool; None: all that it covers at rest.

        Legs move freely under skirts and dresses: for these only vertices above the crotch.
        """
        if self.kind in ("skirt", "dress"):
            return body_shape.vertices[:, 2] > body_shape.crotch_height()
        return None


#: Every garment's fields; the others are design parameters.
_SHARED = frozenset(each.name for each in fields(ParametricGarment))


def cut_out(draft: Draft, edge_length: float, name: str, kind: str, material: str) -> Garment:
    """Triangulates a pattern's panels and places them.

    Args:
        draft: The draft, whose pattern is checked here.
        edge_length: Target edge length of the mesh [m].
        name: The garment's name.
        kind: ``"top"``, ``"bottom"``, ``"skirt"`` or ``"dress"``.
        material: Name of a cloth material.

    Returns:
        The garment, its panels separated in ``uv`` (by 5 cm), so that the fabric of one does not overlap another.

    Raises:
        PatternError: The pattern cannot be sewn.
    """
    draft.check()
    pattern = draft.pattern
    counts = pattern.edge_counts(edge_length)
    vertices, faces, uv, panel_index, pin_weights, seams = [], [], [], [], [], []
    edge_vertices: dict[tuple[str, str], np.ndarray] = {}
    total, shift = 0, 0.0
    for index, panel in enumerate(pattern.panels):
        segments = {edge.name: counts[panel.name, edge.name] for edge in panel.edges}
        flat, triangles, on_edges = triangulate(panel, segments, edge_length)
        vertices.append(draft.placements[panel.name](flat))
        faces.append(triangles + total)
        uv.append(flat - flat.min(axis=0) + [shift, 0.0])
        shift += np.ptp(flat[:, 0]) + 0.05
        panel_index.append(np.full(len(flat), index))
        pin = draft.pins.get(panel.name)
        pin_weights.append(np.zeros(len(flat)) if pin is None else pin(flat))
        edge_vertices |= {(panel.name, edge): found + total for edge, found in on_edges.items()}
        total += len(flat)
    for seam in pattern.seams:
        seams.append(_seam_pairs(*([edge_vertices[edge] for edge in side] for side in seam.sides)))
    pairs = np.concatenate([np.empty((0, 2), int), *seams])
    return Garment(
        name=name, vertices=np.concatenate(vertices), faces=np.concatenate(faces), uv=np.concatenate(uv),
        panel=np.concatenate(panel_index), panel_names=tuple(panel.name for panel in pattern.panels),
        seams=_junctions_joined(pairs, total), pins=np.concatenate(pin_weights), kind=kind,
        material=material,
    )  # fmt: skip


def _seam_pairs(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    """Vertex pairs (S, 2) of two chains of edges in opposite directions; a dart's tip needs no partner."""

    def at_each_step(chain: list[np.ndarray]) -> list[list[int]]:
        """Vertices at each step along the chain: two where edges meet."""
        steps = [[int(vertex)] for vertex in chain[0]]
        for edge in chain[1:]:
            steps[-1].append(int(edge[0]))
            steps += [[int(vertex)] for vertex in edge[1:]]
        return steps

    pairs = [
        pair
        for first, second in zip(at_each_step(a), at_each_step(b)[::-1])
        for pair in itertools.combinations([*first, *second], 2)
        if pair[0] != pair[1]
    ]
    return np.array(pairs)


def _junctions_joined(pairs: np.ndarray, count: int) -> np.ndarray:
    """Seam pairs (S, 2), completed with all pairs of vertices that several seams join in one point."""
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
