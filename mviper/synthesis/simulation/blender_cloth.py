"""Blender 4.5's cloth solver (``bpy``) as an engine that sews and simulates garments."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import numpy as np

from mviper.extras import import_extra, quiet
from mviper.registry import SIMULATORS
from mviper.structures import Garment, MeshSequence
from mviper.synthesis.simulation.blender_units import AIR_DRAG, BlenderMaterial, blender_material, time_scale
from mviper.synthesis.simulation.dressing import ClothSimulator, SewnGarment
from mviper.synthesis.simulation.follow import follow_surface
from mviper.synthesis.simulation.materials import cloth_material
from mviper.synthesis.simulation.meshes import edges_of


@SIMULATORS.register_module()
class BlenderCloth(ClothSimulator):
    """Blender's cloth solver. It is deterministic: the same input gives the same vertices.

    Args:
        solver_steps: Steps per frame, tried in this order.
        sew_frames: Frames without gravity in which the sewing force closes the seams.
        sew_steps: Solver steps per frame while sewing.
        drape_frames: Frames in which the sewn garments fall into place on the still body before it moves.
        distance: Distance that the solver keeps between cloth and obstacles [m].
        self_distance: The same between parts of one garment [m].
        friction: Between cloth and body.
        air_drag: Drag of the air per area and speed [N s/m3].
        limits: Values of :class:`~mviper.synthesis.simulation.quality.QualityLimits` that differ from the defaults.
    """

    def __init__(
        self,
        solver_steps: tuple[int, ...] = (10, 20, 30),
        sew_frames: int = 12,
        sew_steps: int = 6,
        drape_frames: int = 12,
        distance: float = 0.006,
        self_distance: float = 0.003,
        friction: float = 5.0,
        air_drag: float = AIR_DRAG,
        limits: dict[str, float] | None = None,
    ) -> None:
        super().__init__(solver_steps, drape_frames, limits)
        self.sew_frames, self.sew_steps = sew_frames, sew_steps
        self.distance, self.self_distance, self.friction = distance, self_distance, friction
        self.air_drag = air_drag

    def sew(
        self, garment: Garment, placed: np.ndarray, obstacles: list[tuple[np.ndarray, np.ndarray]], fps: float
    ) -> np.ndarray:
        """See the base class; uses the solver's sewing springs."""
        bpy = import_extra("bpy")
        with quiet():
            _empty_scene(bpy, fps, self.sew_frames)
            for index, (vertices, faces) in enumerate(obstacles):
                _add_obstacle(_add_mesh(bpy, f"obstacle{index}", vertices, faces), self.friction, skin=index == 0)
            cloth = _add_mesh(bpy, garment.name, placed, garment.faces, garment.seams)
            flat = np.column_stack([garment.uv, np.zeros(len(garment.uv))])
            settings = self._add_cloth(cloth, flat, garment.pins, self._material(garment, len(placed)), self.sew_steps)
            # Basting has separated the layers; keeping a distance here would hold seams open.
            cloth.modifiers["cloth"].collision_settings.use_self_collision = False
            settings.use_sewing_springs = True
            settings.sewing_force_max = 10.0
            # Without gravity, which would pull open the seams that carry the cloth.
            settings.effector_weights.gravity = 0.0
            return _step_through(bpy, [cloth], self.sew_frames)[0][-1]

    def simulate(self, sewn: list[SewnGarment], body: MeshSequence, fps: float, steps: int) -> list[np.ndarray]:
        """See the base class; all garments are in one scene."""
        frames = len(body)
        bpy = import_extra("bpy")
        with tempfile.TemporaryDirectory(prefix="mviper_cloth_") as folder, quiet():
            _empty_scene(bpy, fps, frames)
            skin = _add_mesh(bpy, "body", body.vertices[0], body.faces)
            _add_cache(skin, Path(folder) / "body.pc2", body.vertices)
            _add_obstacle(skin, self.friction, skin=True)
            cloths = []
            for index, piece in enumerate(sewn):
                cloth = _add_mesh(bpy, f"garment{index}", piece.vertices, piece.faces)
                pinned = np.flatnonzero(piece.pins > 0)
                if len(pinned):
                    path = np.repeat(piece.vertices[None].astype(np.float32), frames, axis=0)
                    path[:, pinned] = follow_surface(piece.vertices[pinned], body.vertices)
                    _add_cache(cloth, Path(folder) / f"garment{index}.pc2", path)
                material = self._material(piece.source, len(piece.vertices))
                self._add_cloth(cloth, piece.rest, piece.pins, material, steps).time_scale = time_scale(fps, steps)
                if index + 1 < len(sewn):
                    _add_obstacle(cloth, 2.0, skin=False)
                cloths.append(cloth)
            return _step_through(bpy, cloths, frames)

    def _add_cloth(self, cloth, rest: np.ndarray, pins: np.ndarray, material: BlenderMaterial, steps: int):
        """Adds the cloth modifier to an object; ``rest`` (V, 3) gives the rest lengths. Returns its settings."""
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
        settings.bending_stiffness, settings.bending_damping = material.bending, material.bending_damping
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

    def _material(self, garment: Garment, vertices: int) -> BlenderMaterial:
        """Solver settings of the garment's material for a mesh with this number of vertices."""
        corners = garment.uv[garment.faces]
        sides = garment.uv[edges_of(garment.faces)]
        edge_length = float(np.linalg.norm(sides[:, 0] - sides[:, 1], axis=1).mean())
        area = 0.5 * np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])).sum()
        return blender_material(cloth_material(garment.material), edge_length, float(area) / vertices, self.air_drag)


def _empty_scene(bpy, fps: float, frames: int) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = round(fps), round(fps) / fps
    scene.frame_start, scene.frame_end = 1, frames


def _add_mesh(bpy, name: str, vertices: np.ndarray, faces: np.ndarray, loose_edges: np.ndarray | None = None):
    """Adds a mesh object to the scene; Blender sews along loose edges."""
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
    """Animates an object with a PC2 file, the only way with which Blender's collisions are reliable."""
    frames = np.ascontiguousarray(vertices, "<f4")
    with path.open("wb") as file:
        file.write(struct.pack("<12siiffi", b"POINTCACHE2\0", 1, frames.shape[1], 0.0, 1.0, len(frames)))
        file.write(frames.tobytes())
    modifier = thing.modifiers.new("cache", "MESH_CACHE")
    modifier.cache_format, modifier.filepath = "PC2", str(path)
    modifier.frame_start, modifier.interpolation = 1, "LINEAR"
    modifier.forward_axis, modifier.up_axis = "POS_Y", "POS_Z"


def _step_through(bpy, cloths: list, frames: int) -> list[np.ndarray]:
    """Runs the solver from frame 1 on, in order; returns each cloth's vertices (T, V, 3) float32."""
    out = [np.empty((frames, len(cloth.data.vertices), 3), np.float32) for cloth in cloths]
    for frame in range(frames):
        bpy.context.scene.frame_set(frame + 1)
        graph = bpy.context.evaluated_depsgraph_get()
        for cloth, record in zip(cloths, out):
            record_frame = np.empty(record.shape[1] * 3, np.float32)
            cloth.evaluated_get(graph).data.vertices.foreach_get("co", record_frame)
            record[frame] = record_frame.reshape(-1, 3)
    return out
