"""Sews, drapes and moves garments with the cloth solver of Blender 4.5 (``bpy``)."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mviper.errors import ConfigError, SequenceRejected
from mviper.extras import import_extra
from mviper.registry import SIMULATORS
from mviper.structures import Garment, MeshSequence
from mviper.synthesis.simulation.basting import baste
from mviper.synthesis.simulation.follow import follow_surface
from mviper.synthesis.simulation.materials import ClothMaterial, cloth_material
from mviper.synthesis.simulation.meshes import (
    edges_of,
    keep_lengths,
    mean_by_group,
    merge_pairs,
    vertex_normals,
)
from mviper.synthesis.simulation.quality import (
    QualityLimits,
    SurfaceProbe,
    bare_figures,
    first_breach,
    layer_figures,
    penetration_figures,
    project_outside,
    stretch_figures,
)

#: A seam pair counts as closed below this distance [m].
CLOSED = 0.003


@dataclass
class SimulationResult:
    """Cloth that moved with a body.

    Attributes:
        meshes: One for each garment, in the order given; frame i belongs to frame i of the body's sequence, lead-in
            included.
        quality: ``{garment name: {figure: value}}``, with ``solver_steps`` and, of the runs before, ``breaches``.
        timings: CPU seconds of ``baste``, ``sew``, ``simulate``, ``project`` and ``measure``.
    """

    meshes: list[MeshSequence]
    quality: dict
    timings: dict[str, float] = field(default_factory=dict)


@dataclass
class SewnGarment:
    """A garment whose seams are merged, on the rest pose.

    Attributes:
        source: As it was cut.
        vertices: As sewn, not yet fallen into place [m], shape (V, 3).
        faces: Shape (F, 3).
        uv: Per-corner position in the pattern [m], shape (F, 3, 2).
        rest: A shape whose edges have the pattern's lengths [m], shape (V, 3).
        rest_lengths: The pattern's lengths of ``edges_of(faces)`` [m], shape (E,).
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


@SIMULATORS.register_module()
class BlenderCloth:
    """Blender's cloth solver: sew on the rest pose, then carry through the motion.

    A run whose figures break the limits is repeated with the next number of solver steps and rejected after the last.
    The solver is deterministic: the same input gives the same vertices.

    Args:
        solver_steps: Steps a frame, tried in this order.
        sew_frames: Frames without gravity in which the sewing force closes the seams.
        sew_steps: Solver steps a frame while sewing.
        drape_frames: Frames in which the sewn garments fall into place on the still body before it moves.
        distance: The solver keeps cloth so far from cloth's obstacles [m].
        self_distance: The same between parts of one garment [m].
        friction: Between cloth and body.
        limits: Values of :class:`~mviper.synthesis.simulation.quality.QualityLimits` that differ from the defaults.
    """

    def __init__(
        self,
        solver_steps: tuple[int, ...] = (10, 20, 30),
        sew_frames: int = 8,
        sew_steps: int = 6,
        drape_frames: int = 12,
        distance: float = 0.006,
        self_distance: float = 0.003,
        friction: float = 5.0,
        limits: dict[str, float] | None = None,
    ) -> None:
        self.solver_steps, self.sew_steps = tuple(solver_steps), sew_steps
        self.sew_frames, self.drape_frames = sew_frames, drape_frames
        self.distance, self.self_distance, self.friction = distance, self_distance, friction
        self.limits = QualityLimits(**(limits or {}))

    def __call__(
        self,
        garments: list[Garment],
        body: MeshSequence,
        fps: float,
        lead_in: int = 0,
        rng: np.random.Generator | None = None,
    ) -> SimulationResult:
        """Dresses a body and moves it.

        Args:
            garments: From the innermost to the outermost.
            body: Frame 0 = rest pose, then a lead-in to the captured motion, in the world.
            fps: Frames per second.
            lead_in: Frames before the first captured one; quality is judged from there on.
            rng: Not drawn from: this solver has no randomness.

        Returns:
            The garments' meshes, as many frames as the body has.

        Raises:
            SequenceRejected: The cloth broke a limit with every number of solver steps.
            ConfigError: Frame 0 of the body is not the rest pose that the garments were cut for.
        """
        timings = dict.fromkeys(("baste", "sew", "simulate", "project", "measure"), 0.0)
        sewn: list[SewnGarment] = []
        for garment in garments:
            sewn.append(self._sew(brought_along(garment, body.vertices[0]), body, fps, sewn, timings))
        probe = SurfaceProbe(body)
        reason, quality, breaches = "", {}, []
        for steps in self.solver_steps:
            with _clock(timings, "simulate"):
                raw = self._simulate(sewn, body, fps, steps)
            with _clock(timings, "measure"):
                quality = {"solver_steps": steps, **_raw_figures(sewn, raw, probe, lead_in)}
            reason = self._breach(sewn, quality)
            if reason:
                breaches.append(f"{steps} solver steps: {reason}")
                continue
            with _clock(timings, "project"):
                moved = []
                for cloth, piece in zip(raw, sewn):
                    cloth = project_outside(cloth, piece.faces, probe)
                    if moved:
                        inner = SurfaceProbe(MeshSequence(moved[-1], sewn[len(moved) - 1].faces))
                        cloth = project_outside(cloth, piece.faces, inner, reach=0.03)
                    moved.append(cloth)
            with _clock(timings, "measure"):
                for index, (piece, cloth) in enumerate(zip(sewn, moved)):
                    own = quality[piece.source.name]
                    own |= penetration_figures(cloth, probe, lead_in, "projected_")
                    if index:
                        own |= layer_figures(cloth, moved[index - 1], sewn[index - 1].faces, lead_in, "projected_")
            reason = self._breach(sewn, quality)
            if not reason:
                meshes = [
                    MeshSequence(cloth.astype(np.float32), piece.faces, piece.uv, piece.source.name)
                    for cloth, piece in zip(moved, sewn)
                ]
                return SimulationResult(meshes, quality | {"breaches": breaches}, timings)
            breaches.append(f"{steps} solver steps: {reason}")
        raise SequenceRejected(f"{reason} ({steps} solver steps a frame)", quality | {"breaches": breaches})

    def _breach(self, sewn: list[SewnGarment], quality: dict) -> str:
        for piece in sewn:
            name = piece.source.name
            breach = first_breach(quality[name], piece.source.kind, self.limits)
            if breach:
                return f"{name}: {breach}"
        return ""

    def _sew(
        self, garment: Garment, body: MeshSequence, fps: float, inner: list[SewnGarment], timings: dict[str, float]
    ) -> SewnGarment:
        """Bastes, sews with the solver's sewing springs, merges the seams."""
        obstacles = [(body.vertices[0], body.faces), *((piece.vertices, piece.faces) for piece in inner)]
        with _clock(timings, "baste"):
            surface = np.concatenate([vertices for vertices, _ in obstacles])
            normals = np.concatenate([vertex_normals(*obstacle) for obstacle in obstacles])
            basted = baste(garment, surface, normals)
            # The solver holds pinned vertices where they are: their seams must be closed before.
            group = merge_pairs(garment.seams, len(basted))
            basted = np.where(garment.pins[:, None] > 0, mean_by_group(basted, group)[group], basted)
        with _clock(timings, "sew"), _quiet_blender() as bpy:
            _empty_scene(bpy, fps, self.sew_frames)
            for index, (vertices, faces) in enumerate(obstacles):
                _add_obstacle(_add_mesh(bpy, f"obstacle{index}", vertices, faces), self.friction, skin=index == 0)
            cloth = _add_mesh(bpy, garment.name, basted, garment.faces, garment.seams)
            flat = np.column_stack([garment.uv, np.zeros(len(garment.uv))])
            settings = self._add_cloth(cloth, flat, garment.pins, _material(garment), self.sew_steps)
            settings.use_sewing_springs = True
            settings.sewing_force_max = 10.0
            # Without gravity: at this stage it would pull seams open that carry the cloth.
            settings.effector_weights.gravity = 0.0
            sewn = _step_through(bpy, [cloth], self.sew_frames)[0][-1]
        misfit = _misfit(garment, sewn, self.limits)
        if misfit:
            raise SequenceRejected(f"{garment.name} does not fit the body: {misfit}")
        return _merge_seams(garment, sewn.astype(float))

    def _simulate(self, sewn: list[SewnGarment], body: MeshSequence, fps: float, steps: int) -> list[np.ndarray]:
        """Drapes sewn garments and moves them with the body; for each its vertices (T, V, 3) [m]."""
        still = np.repeat(body.vertices[:1], self.drape_frames, axis=0)
        vertices = np.concatenate([still, body.vertices]).astype(float)
        frames = len(vertices)
        with tempfile.TemporaryDirectory(prefix="mviper_cloth_") as folder, _quiet_blender() as bpy:
            _empty_scene(bpy, fps, frames)
            skin = _add_mesh(bpy, "body", body.vertices[0], body.faces)
            _add_cache(skin, Path(folder) / "body.pc2", vertices)
            _add_obstacle(skin, self.friction, skin=True)
            cloths = []
            for index, piece in enumerate(sewn):
                cloth = _add_mesh(bpy, f"garment{index}", piece.vertices, piece.faces)
                pinned = np.flatnonzero(piece.pins > 0)
                if len(pinned):
                    path = np.repeat(piece.vertices[None].astype(np.float32), frames, axis=0)
                    path[:, pinned] = follow_surface(piece.vertices[pinned], vertices)
                    _add_cache(cloth, Path(folder) / f"garment{index}.pc2", path)
                self._add_cloth(cloth, piece.rest, piece.pins, _material(piece.source), steps)
                if index + 1 < len(sewn):
                    _add_obstacle(cloth, 2.0, skin=False)
                cloths.append(cloth)
            return [cloth[self.drape_frames :] for cloth in _step_through(bpy, cloths, frames)]

    def _add_cloth(self, cloth, rest: np.ndarray, pins: np.ndarray, material: ClothMaterial, steps: int):
        """Gives an object the cloth modifier; ``rest`` (V, 3) holds the rest lengths. Returns its settings."""
        cloth.shape_key_add(name="Basis")
        key = cloth.shape_key_add(name="rest")
        key.data.foreach_set("co", rest.astype(np.float32).ravel())
        modifier = cloth.modifiers.new("cloth", "CLOTH")
        settings, collision = modifier.settings, modifier.collision_settings
        settings.rest_shape_key = key
        settings.quality = steps
        settings.mass = material.mass
        settings.tension_stiffness = settings.compression_stiffness = settings.shear_stiffness = material.tension
        settings.tension_damping = settings.compression_damping = settings.shear_damping = material.damping
        settings.bending_stiffness, settings.bending_damping = material.bending, 0.5
        settings.air_damping = material.air
        collision.use_collision, collision.collision_quality = True, 2
        collision.distance_min, collision.friction = self.distance, self.friction
        collision.use_self_collision, collision.self_distance_min = True, self.self_distance
        collision.self_friction = 5.0
        if pins.any():
            group = cloth.vertex_groups.new(name="pins")
            for index in np.flatnonzero(pins > 0):
                group.add([int(index)], float(pins[index]), "REPLACE")
            settings.vertex_group_mass = "pins"
        frames = modifier.id_data.users_scene[0].frame_end
        modifier.point_cache.frame_start, modifier.point_cache.frame_end = 1, frames
        return settings


def brought_along(garment: Garment, body: np.ndarray) -> Garment:
    """Turns and shifts a garment's panels from the body that they were placed round to where that body stands.

    Args:
        garment: With ``fitted_to``, or placed already.
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
            f"{garment.name}: frame 0 of the body must be the T-pose that the garment was cut for, "
            f"it is off by up to {1000 * off:.0f} mm"
        )
    return replace(garment, vertices=(garment.vertices - rest_centre) @ turn.T + centre, fitted_to=None)


def _material(garment: Garment) -> ClothMaterial:
    """The garment's material for the resolution of its mesh."""
    sides = garment.uv[edges_of(garment.faces)]
    edge_length = float(np.linalg.norm(sides[:, 0] - sides[:, 1], axis=1).mean())
    return cloth_material(garment.material).for_edge_length(edge_length)


def _raw_figures(sewn: list[SewnGarment], raw: list[np.ndarray], probe: SurfaceProbe, first: int) -> dict[str, dict]:
    """Quality before projection, for each garment."""
    figures = {}
    for index, (piece, cloth) in enumerate(zip(sewn, raw)):
        own = {"seams_closed": piece.seams_closed, "seam_gap": piece.seam_gap, "vertices": cloth.shape[1]}
        own["finite"] = bool(np.isfinite(cloth).all())
        if own["finite"]:
            own |= penetration_figures(cloth, probe, first)
            own |= stretch_figures(cloth, piece.faces, piece.rest_lengths, first)
            own |= bare_figures(cloth, piece.faces, probe, first)
            if index and figures[sewn[index - 1].source.name]["finite"]:
                own |= layer_figures(cloth, raw[index - 1], sewn[index - 1].faces, first)
        figures[piece.source.name] = own
    return figures


def _misfit(garment: Garment, placed: np.ndarray, limits: QualityLimits) -> str:
    """Why sewn panels (V, 3) are not a garment on this body: open seams or cloth that is too tight; "" if they are."""
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
    now, flat = (np.linalg.norm(x[edges[:, 0]] - x[edges[:, 1]], axis=1) for x in (placed, garment.uv))
    for index, name in enumerate(garment.panel_names):
        stretch = np.percentile((now / flat)[garment.panel[edges[:, 0]] == index], 99)
        if stretch > limits.stretch_top:
            return f"panel {name!r} is stretched to {stretch:.2f} of its size, the limit {limits.stretch_top:g}"
    return ""


def _merge_seams(garment: Garment, placed: np.ndarray) -> SewnGarment:
    """One vertex for each seam pair, at their mean; each face corner keeps its place in the pattern."""
    gaps = np.linalg.norm(placed[garment.seams[:, 0]] - placed[garment.seams[:, 1]], axis=1)
    group = merge_pairs(garment.seams, len(placed))
    vertices, faces = mean_by_group(placed, group), group[garment.faces]
    uv = garment.uv[garment.faces]
    # An edge on a seam has a length in each of its panels: their mean.
    edges = edges_of(faces)
    corner_pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    sides = np.concatenate([uv[:, 0] - uv[:, 1], uv[:, 1] - uv[:, 2], uv[:, 2] - uv[:, 0]])
    _, index = np.unique(corner_pairs, axis=0, return_inverse=True)
    lengths = mean_by_group(np.linalg.norm(sides, axis=1)[:, None], index.ravel())[:, 0]
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


@contextlib.contextmanager
def _quiet_blender() -> Iterator:
    """``bpy`` with its chatter on the standard output's descriptor sent nowhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield import_extra("bpy")
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _empty_scene(bpy, fps: float, frames: int) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = round(fps), round(fps) / fps
    scene.frame_start, scene.frame_end = 1, frames


def _add_mesh(bpy, name: str, vertices: np.ndarray, faces: np.ndarray, loose_edges: np.ndarray | None = None):
    """A mesh object in the scene; loose edges are what Blender sews along."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(np.asarray(vertices, float).tolist(), [], faces.tolist())
    if loose_edges is not None:
        first = len(mesh.edges)
        mesh.edges.add(len(loose_edges))
        for index, pair in enumerate(loose_edges.tolist()):
            mesh.edges[first + index].vertices = pair
    mesh.update()  # not calc_edges: that drops loose edges
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def _add_obstacle(thing, friction: float, skin: bool) -> None:
    """Makes cloth collide with an object: the body's skin, or a garment worn below."""
    thing.modifiers.new("obstacle", "COLLISION")
    collision = thing.collision
    collision.thickness_outer = 0.006 if skin else 0.003
    collision.thickness_inner = 0.02 if skin else 0.01
    collision.cloth_friction = friction
    collision.use_culling, collision.use_normal = skin, False


def _add_cache(thing, path: Path, vertices: np.ndarray) -> None:
    """Drives an object by a PC2 file: the only way of moving it on which Blender's collisions are sound."""
    frames = np.ascontiguousarray(vertices, "<f4")
    with path.open("wb") as file:
        file.write(struct.pack("<12siiffi", b"POINTCACHE2\0", 1, frames.shape[1], 0.0, 1.0, len(frames)))
        file.write(frames.tobytes())
    modifier = thing.modifiers.new("cache", "MESH_CACHE")
    modifier.cache_format, modifier.filepath = "PC2", str(path)
    modifier.frame_start, modifier.interpolation = 1, "LINEAR"
    modifier.forward_axis, modifier.up_axis = "POS_Y", "POS_Z"


def _step_through(bpy, cloths: list, frames: int) -> list[np.ndarray]:
    """Runs the solver from frame 1 on, in order; for each cloth its vertices (T, V, 3) float32."""
    out = [np.empty((frames, len(cloth.data.vertices), 3), np.float32) for cloth in cloths]
    for frame in range(frames):
        bpy.context.scene.frame_set(frame + 1)
        graph = bpy.context.evaluated_depsgraph_get()
        for cloth, record in zip(cloths, out):
            record_frame = np.empty(record.shape[1] * 3, np.float32)
            cloth.evaluated_get(graph).data.vertices.foreach_get("co", record_frame)
            record[frame] = record_frame.reshape(-1, 3)
    return out
