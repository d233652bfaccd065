"""Dresses a body with any cloth engine: baste, sew, drape, simulate, measure, retry with more steps, or reject."""

from __future__ import annotations

import contextlib
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from mviper.errors import ConfigError, SequenceRejected
from mviper.structures import Garment, MeshSequence
from mviper.synthesis.simulation.basting import baste
from mviper.synthesis.simulation.meshes import edges_of, keep_lengths, mean_by_group, merge_pairs, vertex_normals
from mviper.synthesis.simulation.probes import LayerProbe, SurfaceProbe, facing_gap
from mviper.synthesis.simulation.projection import project_outside
from mviper.synthesis.simulation.quality import (
    QualityLimits,
    bare_figures,
    first_breach,
    layer_figures,
    penetration_figures,
    stretch_figures,
)

#: A seam pair counts as closed below this distance [m].
CLOSED = 0.003
#: How far skin under a garment may move in one solver step in the first attempt [m].
STRIDE = 0.02

#: How much slimmer the body is during sewing [m]: between touching thighs, cloth that keeps an engine's distance from
#: both would never meet. The cloth is still a few millimetres outside the skin when the body is restored.
SLIMMER = 0.008

#: Space for cloth between two parts of the body [m]: twice the distances that engines keep, plus its thickness.
ROOM = 0.028
#: The largest retraction of the body for it [m]: a hand is not much thicker than twice this.
FARTHEST_BACK = 0.012
#: Distance of the floor for cloth below the body's lowest point [m]: the distance that engines keep from both.
BELOW_SOLES = 0.015
#: Time that cloth has to fall back into place after its wearer was upside down [s].
SETTLING = 0.5


@dataclass(frozen=True)
class Attempt:
    """One run of a solver.

    Attributes:
        steps: Solver steps per frame.
        frames: Simulated frames, draping included.
        seconds: CPU time [s].
    """

    steps: int
    frames: int
    seconds: float


@dataclass
class SimulationResult:
    """Simulated cloth on a body.

    Attributes:
        meshes: One for each garment, in the order given; frame i belongs to frame i of the body's sequence, lead-in
            included.
        quality: ``{garment name: {figure: value}}``, with ``solver_steps`` and the ``breaches`` of earlier runs.
        timings: CPU seconds of ``baste``, ``sew``, ``simulate``, ``project`` and ``measure``.
        attempts: The solver's runs over the sequence, in order.
    """

    meshes: list[MeshSequence]
    quality: dict
    timings: dict[str, float] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)


class ClothRejected(SequenceRejected):
    """Cloth that exceeded a limit in every run.

    Args:
        reason: One sentence with the figure that exceeded its limit.
        result: Result of the last run, with the solver's raw meshes.
    """

    def __init__(self, reason: str, result: SimulationResult) -> None:
        super().__init__(reason, result.quality)
        self.result = result


@dataclass
class SewnGarment:
    """A garment with merged seams, on the rest pose.

    Attributes:
        source: The cut garment.
        vertices: As sewn, not yet draped [m], shape (V, 3).
        faces: Shape (F, 3).
        uv: Per-corner position in the pattern [m], shape (F, 3, 2).
        rest: A shape with the pattern's edge lengths [m], shape (V, 3).
        rest_lengths: Lengths of ``edges_of(faces)`` in the pattern [m], shape (E,).
        pins: Shape (V,).
        seams_closed: Share of seam pairs nearer than 3 mm before merging [%].
        seam_gap: Largest distance of a seam pair before merging [mm].
    """

    source: Garment
    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    rest: np.ndarray
    rest_lengths: np.ndarray
    pins: np.ndarray
    seams_closed: float
    seam_gap: float


class ClothSimulator(ABC):
    """Base of cloth engines, which implement :meth:`sew` and :meth:`simulate`.

    The body's speed under the garments determines the first number of solver steps (:func:`first_rung`). A run whose
    figures exceed the limits is repeated with the next number, and rejected after the last.

    Args:
        solver_steps: Steps per frame, tried in this order, skipping those too few for the motion.
        drape_frames: Frames in which the sewn garments settle on the still body before it moves.
        limits: Values of :class:`~mviper.synthesis.simulation.quality.QualityLimits` that differ from the defaults.

    Raises:
        ConfigError: The steps are not ascending integers, or a limit is unknown.
    """

    def __init__(
        self,
        solver_steps: tuple[int, ...] = (10, 20, 30),
        drape_frames: int = 12,
        limits: dict[str, float] | None = None,
    ) -> None:
        self.solver_steps, self.drape_frames = _checked_steps(solver_steps), drape_frames
        self.limits = _checked_limits(limits or {})

    @abstractmethod
    def sew(
        self, garment: Garment, placed: np.ndarray, obstacles: list[tuple[np.ndarray, np.ndarray]], fps: float
    ) -> np.ndarray:
        """Pulls a garment's seams together on the still body.

        Args:
            garment: Its panels, seams and pins; pinned vertices stay where they are.
            placed: Its vertices, basted [m], shape (V, 3).
            obstacles: Vertices [m] and faces of the body, then of the garments worn below, innermost first.
            fps: Frames per second.

        Returns:
            Its vertices, seams not yet merged [m], shape (V, 3).
        """

    @abstractmethod
    def simulate(self, sewn: list[SewnGarment], body: MeshSequence, fps: float, steps: int) -> list[np.ndarray]:
        """Simulates sewn garments on a moving body.

        Args:
            sewn: Innermost first, as they lie on the body's frame 0; pinned vertices follow its surface
                (:func:`~mviper.synthesis.simulation.follow.follow_surface`).
            body: ``drape_frames`` still frames, then the motion; the floor below it is part of it.
            fps: Frames per second.
            steps: Solver steps per frame.

        Returns:
            Each garment's vertices in every frame of the body [m], shape (T, V, 3).
        """

    def __call__(
        self, garments: list[Garment], body: MeshSequence, fps: float, lead_in: int = 0
    ) -> SimulationResult:  # fmt: skip
        """Dresses a body and simulates its clothes.

        Args:
            garments: From the innermost to the outermost.
            body: Frame 0 = rest pose, then a lead-in to the captured motion, in the world.
            fps: Frames per second.
            lead_in: Number of frames before the first captured one, where quality measurement starts.

        Returns:
            The garments' meshes over the body's frames.

        Raises:
            ClothRejected: The cloth exceeded a limit with every number of solver steps.
            SequenceRejected: A garment cannot be sewn round this body.
            ConfigError: Frame 0 of the body is not the rest pose that the garments were cut for.
        """
        timings = dict.fromkeys(("baste", "sew", "simulate", "project", "measure"), 0.0)
        sewn: list[SewnGarment] = []
        still = np.repeat(body.vertices[:1], self.drape_frames, axis=0).astype(float)
        for garment in garments:
            if sewn:  # inner garments are draped first: a shirt does not fit round a skirt that stands off
                with _clock(timings, "sew"):
                    sewn = self._drape(sewn, replace(body, vertices=still), fps)
            sewn.append(self._dress(brought_along(garment, body.vertices[0]), body, fps, sewn, timings))
        path = with_floor(replace(body, vertices=np.concatenate([still, make_room(body)])))
        probe = SurfaceProbe(body)
        attempts, breaches = [], []
        for steps in self.solver_steps[first_rung(self.solver_steps, body.vertices, sewn) :]:
            with _clock(timings, "simulate"):
                start = time.process_time()
                raw = self.simulate(sewn, path, fps, steps)
                attempts.append(Attempt(steps, len(path), time.process_time() - start))
                raw = [cloth[self.drape_frames :] for cloth in raw]
            with _clock(timings, "measure"):
                quality = {"solver_steps": steps, **_raw_figures(sewn, raw, probe, lead_in, round(SETTLING * fps))}
            reason = self._breach(sewn, quality)
            if not reason:
                with _clock(timings, "project"):
                    moved = _projected(sewn, raw, probe)
                with _clock(timings, "measure"):
                    for name, figures in _projected_figures(sewn, moved, probe, lead_in).items():
                        quality[name] |= figures
                reason = self._breach(sewn, quality)
            if not reason:
                return SimulationResult(_meshes(sewn, moved), quality | {"breaches": breaches}, timings, attempts)
            breaches.append(f"{steps} solver steps: {reason}")
        last = SimulationResult(_meshes(sewn, raw), quality | {"breaches": breaches}, timings, attempts)
        raise ClothRejected(f"{reason} ({steps} solver steps per frame)", last)

    def _drape(self, sewn: list[SewnGarment], still: MeshSequence, fps: float) -> list[SewnGarment]:
        """Sewn garments draped on a still body, with the first number of steps that keeps them intact."""
        for steps in self.solver_steps:
            draped = [cloth[-1].astype(float) for cloth in self.simulate(sewn, still, fps, steps)]
            if all(np.isfinite(cloth).all() for cloth in draped):
                return [replace(piece, vertices=cloth) for piece, cloth in zip(sewn, draped)]
        names = " and ".join(piece.source.name for piece in sewn)
        raise SequenceRejected(f"{names}: the draped cloth has NaN vertices ({steps} solver steps)")

    def _breach(self, sewn: list[SewnGarment], quality: dict) -> str:
        for piece in sewn:
            name = piece.source.name
            breach = first_breach(quality[name], piece.source.kind, self.limits)
            if breach:
                return f"{name}: {breach}"
        return ""

    def _dress(
        self, garment: Garment, body: MeshSequence, fps: float, inner: list[SewnGarment], timings: dict[str, float]
    ) -> SewnGarment:
        """Bastes, has the engine sew, checks the fit and merges the seams."""
        obstacles = [(body.vertices[0], body.faces), *((piece.vertices, piece.faces) for piece in inner)]
        with _clock(timings, "baste"):
            surface = np.concatenate([vertices for vertices, _ in obstacles])
            normals = np.concatenate([vertex_normals(*obstacle) for obstacle in obstacles])
            basted = baste(garment, surface, normals)
            # Engines keep pinned vertices fixed: their seams must be closed before.
            group = merge_pairs(garment.seams, len(basted))
            basted = np.where(garment.pins[:, None] > 0, mean_by_group(basted, group)[group], basted)
        with _clock(timings, "sew"):
            skin = body.vertices[0] - SLIMMER * vertex_normals(body.vertices[0], body.faces)
            placed = self.sew(garment, basted, [(skin, body.faces), *obstacles[1:]], fps)
        if not np.isfinite(placed).all():
            raise SequenceRejected(f"{garment.name}: the sewn cloth has NaN vertices")
        # Cloth spread by inner garments hangs down later: only the body can be too big for a garment.
        on_skin = cKDTree(surface).query(placed)[1] < len(body.vertices[0])
        misfit = _misfit(garment, placed, on_skin, self.limits)
        if misfit:
            raise SequenceRejected(f"{garment.name} does not fit the body: {misfit}")
        return _merge_seams(garment, placed.astype(float))


def _checked_steps(steps: Sequence[int]) -> tuple[int, ...]:
    listed = list(steps) if isinstance(steps, Sequence | np.ndarray) else []
    whole = listed and all(isinstance(count, int | np.integer) and count > 0 for count in listed)
    if not whole or any(after <= before for before, after in itertools.pairwise(listed)):
        raise ConfigError(f"expected solver_steps as increasing integers, e.g. (10, 20, 30), got {steps!r}")
    return tuple(listed)


def _checked_limits(limits: dict[str, float]) -> QualityLimits:
    known = [limit.name for limit in fields(QualityLimits)]
    if not isinstance(limits, dict) or set(limits) - set(known):
        raise ConfigError(f"limits takes numbers for {', '.join(known)}; got {limits!r}")
    for name, value in limits.items():
        if not isinstance(value, int | float):
            raise ConfigError(f"limits takes numbers, got {name}={value!r}")
    return QualityLimits(**limits)


def first_rung(solver_steps: tuple[int, ...], body: np.ndarray, sewn: list[SewnGarment]) -> int:
    """Index of the first number of solver steps with which a motion is worth trying.

    A limb that moves far in one step passes through the cloth before the solver detects it. So the fastest skin near a
    garment (99th percentile, worst frame) must not move by more than ``STRIDE`` per step; bare skin may.

    Args:
        solver_steps: Steps per frame, ascending.
        body: Vertices over time [m], shape (T, V, 3).
        sewn: The garments on the body's frame 0.
    """
    cloth = cKDTree(np.concatenate([piece.vertices for piece in sewn]))
    covered = np.flatnonzero(cloth.query(body[0], distance_upper_bound=0.1)[0] < 0.1)
    if not len(covered) or len(body) < 2:
        return 0
    travel = np.linalg.norm(np.diff(body[:, covered], axis=0), axis=2)
    fastest = np.percentile(travel, 99, axis=1).max()
    enough = [index for index, steps in enumerate(solver_steps) if fastest <= STRIDE * steps]
    return enough[0] if enough else len(solver_steps) - 1


def make_room(body: MeshSequence) -> np.ndarray:
    """The body for cloth collisions: parts too near each other are retracted so that cloth fits between them.

    Otherwise cloth that an arm presses on the trunk is pushed out of both, and ends up on the arm's other side. With
    retraction the cloth is slightly inside the body, which projection repairs (compare Baraff, Witkin and Kass,
    "Untangling cloth", 2003, who let such cloth pass).

    Args:
        body: Frame 0 = rest pose.

    Returns:
        Vertices over time [m], shape (T, V, 3).
    """
    vertices, rest = np.asarray(body.vertices, float), np.asarray(body.vertices[0], float)
    depth = np.stack([0.5 * (ROOM - facing_gap(frame, rest, body.faces)) for frame in vertices]).clip(0, FARTHEST_BACK)
    edges = edges_of(body.faces)
    degree = np.bincount(edges.ravel(), minlength=len(rest)).clip(1)
    for _ in range(2):
        sums = [np.bincount(edges.ravel(), row[edges[:, ::-1]].ravel(), minlength=len(rest)) for row in depth]
        depth = np.maximum(depth, np.stack(sums) / degree)
    depth = gaussian_filter1d(depth, 1.0, axis=0, mode="nearest")
    drawn = vertices.copy()
    for frame in np.flatnonzero(depth.max(axis=1) > 1e-4):
        drawn[frame] -= depth[frame][:, None] * vertex_normals(vertices[frame], body.faces)
    return drawn


def with_floor(body: MeshSequence) -> MeshSequence:
    """The body and a square of floor below it, for skirts when their wearer crawls.

    The floor is at z = 0, or just below the lowest point of a body that sinks into it.

    Args:
        body: In the world.
    """
    vertices = np.asarray(body.vertices, float)
    low, high = vertices.min(axis=(0, 1)), vertices.max(axis=(0, 1))
    (left, front), (right, back) = low[:2] - 2.0, high[:2] + 2.0
    z = min(0.0, low[2] - BELOW_SOLES)
    corners = np.array([[left, front, z], [right, front, z], [right, back, z], [left, back, z]])
    count = vertices.shape[1]
    square = np.repeat(corners[None], len(vertices), axis=0)
    faces = np.concatenate([body.faces, count + np.array([[0, 1, 2], [0, 2, 3]])])
    return replace(body, vertices=np.concatenate([vertices, square], axis=1), faces=faces, uv=None)


def brought_along(garment: Garment, body: np.ndarray) -> Garment:
    """Rotates and translates a garment's panels from the body they were placed round to that body's position.

    Args:
        garment: With ``fitted_to``, or already placed.
        body: The same body's vertices [m], shape (B, 3).

    Raises:
        ConfigError: It is not the same body in the same pose.
    """
    if garment.fitted_to is None:
        return garment
    place, rest = np.asarray(body, float), np.asarray(garment.fitted_to, float)
    if place.shape != rest.shape:
        raise ConfigError(f"{garment.name} was cut for a body of {len(rest)} vertices, this one has {len(place)}")
    centre, rest_centre = place.mean(axis=0), rest.mean(axis=0)
    u, _, vt = np.linalg.svd((place - centre).T @ (rest - rest_centre))
    turn = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    off = np.linalg.norm((rest - rest_centre) @ turn.T + centre - place, axis=1).max()
    if off > 0.005:
        raise ConfigError(
            f"{garment.name}: frame 0 of the body must be the T-pose that the garment was cut for; it is off by up "
            f"to {1000 * off:.0f} mm"
        )
    return replace(garment, vertices=(garment.vertices - rest_centre) @ turn.T + centre, fitted_to=None)


def _raw_figures(
    sewn: list[SewnGarment], raw: list[np.ndarray], probe: SurfaceProbe, first: int, settling: int
) -> dict[str, dict]:
    """Quality before projection, for each garment."""
    figures = {}
    for index, (piece, cloth) in enumerate(zip(sewn, raw)):
        own = {"seams_closed": piece.seams_closed, "seam_gap": piece.seam_gap, "vertices": cloth.shape[1]}
        own["finite"] = bool(np.isfinite(cloth).all())
        if own["finite"]:
            own |= penetration_figures(cloth, probe, first)
            own |= stretch_figures(cloth, piece.faces, piece.rest_lengths, probe, first)
            fall = np.stack([piece.vertices, cloth[0]])
            own["bare_draped"] = bare_figures(fall, piece.faces, probe, 1, among=piece.source.covers)["bare_worst"]
            own |= bare_figures(cloth, piece.faces, probe, first, among=piece.source.covers, settling=settling)
            if index and figures[sewn[index - 1].source.name]["finite"]:
                own |= layer_figures(cloth, LayerProbe(raw[index - 1], sewn[index - 1].faces, probe), first)
        figures[piece.source.name] = own
    return figures


def _projected(sewn: list[SewnGarment], raw: list[np.ndarray], probe: SurfaceProbe) -> list[np.ndarray]:
    """Each garment's vertices (T, V, 3), projected outside the body and the garment below it."""
    moved: list[np.ndarray] = []
    for cloth, piece in zip(raw, sewn):
        cloth = project_outside(cloth, piece.faces, probe.distance)
        if moved:
            inner = LayerProbe(moved[-1], sewn[len(moved) - 1].faces, probe)
            cloth = project_outside(cloth, piece.faces, inner.distance)
            cloth = project_outside(cloth, piece.faces, probe.distance)  # undo pushes into the body
        moved.append(cloth)
    return moved


def _projected_figures(
    sewn: list[SewnGarment], moved: list[np.ndarray], probe: SurfaceProbe, first: int
) -> dict[str, dict]:
    """Quality after projection, for each garment."""
    figures = {}
    for index, (piece, cloth) in enumerate(zip(sewn, moved)):
        own = penetration_figures(cloth, probe, first, "projected_")
        if index:
            inner = LayerProbe(moved[index - 1], sewn[index - 1].faces, probe)
            own |= layer_figures(cloth, inner, first, "projected_")
        figures[piece.source.name] = own
    return figures


def _meshes(sewn: list[SewnGarment], moved: list[np.ndarray]) -> list[MeshSequence]:
    return [
        MeshSequence(cloth.astype(np.float32), piece.faces, piece.uv, piece.source.name)
        for cloth, piece in zip(moved, sewn)
    ]


def _misfit(garment: Garment, placed: np.ndarray, on_skin: np.ndarray, limits: QualityLimits) -> str:
    """Why sewn panels (V, 3) do not fit this body: open seams, cloth too tight on the skin; "" if they fit."""
    gaps = np.linalg.norm(placed[garment.seams[:, 0]] - placed[garment.seams[:, 1]], axis=1)
    closed = 100 * np.mean(gaps < CLOSED)
    if closed < limits.seams_closed:
        worst = garment.seams[gaps.argmax()]
        names = " and ".join(repr(garment.panel_names[panel]) for panel in garment.panel[worst])
        return (
            f"{closed:.1f} % of its seams are closed, the limit {limits.seams_closed:g}; "
            f"widest gap {1000 * gaps.max():.0f} mm, between panels {names}"
        )
    edges = edges_of(garment.faces)
    edges = edges[on_skin[edges].all(axis=1)]
    now, flat = (np.linalg.norm(x[edges[:, 0]] - x[edges[:, 1]], axis=1) for x in (placed, garment.uv))
    for index, name in enumerate(garment.panel_names):
        stretches = (now / flat)[garment.panel[edges[:, 0]] == index]
        if len(stretches) and (stretch := np.percentile(stretches, 99)) > limits.stretch_top:
            return f"panel {name!r} is stretched to {stretch:.2f} of its size, the limit {limits.stretch_top:g}"
    return ""


def _merge_seams(garment: Garment, placed: np.ndarray) -> SewnGarment:
    """Merges each seam pair at its mean; face corners keep their position in the pattern."""
    gaps = np.linalg.norm(placed[garment.seams[:, 0]] - placed[garment.seams[:, 1]], axis=1)
    group = merge_pairs(garment.seams, len(placed))
    vertices, faces = mean_by_group(placed, group), group[garment.faces]
    uv = garment.uv[garment.faces]
    # An edge on a seam has a length in each of its panels: use the shortest, since gathering shortens the longer one.
    edges = edges_of(faces)
    corner_pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    sides = np.concatenate([uv[:, 0] - uv[:, 1], uv[:, 1] - uv[:, 2], uv[:, 2] - uv[:, 0]])
    _, index = np.unique(corner_pairs, axis=0, return_inverse=True)
    lengths = np.full(len(edges), np.inf)
    np.minimum.at(lengths, index.ravel(), np.linalg.norm(sides, axis=1))
    pins = np.zeros(len(vertices))
    np.maximum.at(pins, group, garment.pins)
    return SewnGarment(
        garment, vertices, faces, uv, keep_lengths(vertices, edges, lengths, 100), lengths, pins,
        float(100 * np.mean(gaps < CLOSED)), float(1000 * gaps.max()),
    )  # fmt: skip


@contextlib.contextmanager
def _clock(timings: dict[str, float], name: str) -> Iterator[None]:
    """Adds the CPU seconds of a block to ``timings[name]``."""
    start = time.process_time()
    try:
        yield
    finally:
        timings[name] += time.process_time() - start
