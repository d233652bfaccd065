"""FBX, USD, Alembic and .blend, written by Blender (the module ``bpy``) from our GLB."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mviper.body import SMPL
from mviper.errors import MviperError
from mviper.export.glb import write_glb
from mviper.extras import import_extra, quiet
from mviper.files import atomic_path
from mviper.structures import Motion

_CENTIMETRES = 100.0


def write_with_blender(path: str | Path, motions: Sequence[Motion], body: SMPL, starts: Sequence[int]) -> None:
    """Writes armature, skin and blend shapes (FBX, USD, .blend), or vertices (Alembic).

    Replaces the scene that Blender has in memory. Frames are numbered from 0. FBX is y up, in centimetres, as game
    engines expect, and none of its objects is rotated or scaled; the others are in metres, z up (Alembic: y up). Each
    person is an armature ``person_1`` with a mesh ``person_1_mesh``; actions and FBX's clip have the motion's name.

    Args:
        path: Ends in ``.fbx``, ``.usd``, ``.usda``, ``.usdc``, ``.blend`` or ``.abc``.
        motions: People in the same world, z up.
        body: The body they belong to.
        starts: Frame at which each motion begins; before it the person holds the first pose.

    Raises:
        MissingDependencyError: ``bpy`` is not installed.
        MviperError: Blender could not write the file.
    """
    bpy = import_extra("bpy")
    fps = max(1, round(motions[0].fps))
    frames = max(start + len(motion) for motion, start in zip(motions, starts))
    with tempfile.TemporaryDirectory() as folder, quiet(), atomic_path(path) as temporary:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = bpy.context.scene
        scene.render.fps, scene.render.fps_base = fps, 1.0
        between = Path(folder) / "motion.glb"
        # Import with key times at whole frames of an integer rate; the true rate is set afterwards.
        write_glb(between, [replace(motion, fps=fps) for motion in motions], body, starts)
        bpy.ops.import_scene.gltf(filepath=str(between))
        scene.render.fps_base = fps / motions[0].fps
        scene.frame_start, scene.frame_end = 0, frames - 1
        scene.frame_set(0)
        _tidy(bpy, motions[0].name or "motion")
        try:
            _write(bpy, str(temporary), temporary.suffix.lower(), frames)
        except RuntimeError as error:
            raise MviperError(f"{path}: Blender cannot write it: {' '.join(str(error).split())}") from error


def _tidy(bpy: object, name: str) -> None:
    """Names objects after the motion, and removes what the GLB importer adds."""
    bpy.context.scene.name = name  # becomes the name of FBX's clip
    for thing in list(bpy.data.objects):
        if thing.type == "EMPTY" or (thing.type == "MESH" and not thing.vertex_groups):  # nodes; bone shapes
            bpy.data.objects.remove(thing)
    for thing in bpy.data.objects:
        if thing.type == "MESH":
            thing.name = thing.data.name = f"{thing.parent.name}_mesh"
            if thing.data.shape_keys:
                thing.data.shape_keys.name = thing.name


def _to_engines(bpy: object) -> None:
    """Converts the scene to centimetres, y up, so that FBX's objects have no rotation and no scale."""
    from mathutils import Matrix

    scene, upright = bpy.context.scene, Matrix.Rotation(math.pi / 2, 4, "X")
    scene.unit_settings.system, scene.unit_settings.scale_length = "METRIC", 1 / _CENTIMETRES
    content = upright.inverted() @ Matrix.Scale(_CENTIMETRES, 4)
    for thing in bpy.data.objects:
        if thing.type == "ARMATURE":
            thing.data.transform(content)
            thing.matrix_world = upright  # cancels the exporter's rotation to y up
        else:
            thing.data.transform(content, shape_keys=True)
            thing.matrix_parent_inverse = thing.matrix_basis = Matrix.Identity(4)
    for action in bpy.data.actions:
        for channels in (bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags):
            for curve in channels.fcurves:
                if curve.data_path.endswith(".location"):
                    for key in curve.keyframe_points:
                        key.co.y, key.handle_left.y, key.handle_right.y = (
                            _CENTIMETRES * value for value in (key.co.y, key.handle_left.y, key.handle_right.y)
                        )


def _write(bpy: object, path: str, suffix: str, frames: int) -> None:
    if suffix == ".fbx":
        _to_engines(bpy)
        bpy.ops.export_scene.fbx(
            filepath=path, object_types={"ARMATURE", "MESH"}, add_leaf_bones=False, bake_anim=True,
            bake_anim_use_all_bones=True, bake_anim_use_nla_strips=False, bake_anim_use_all_actions=False,
            bake_anim_simplify_factor=0.0,
        )  # fmt: skip
    elif suffix == ".abc":
        bpy.ops.wm.alembic_export(filepath=path, start=0, end=frames - 1, flatten=False, as_background_job=False)
    elif suffix == ".blend":
        bpy.ops.wm.save_as_mainfile(filepath=path, compress=True)
    else:
        bpy.ops.wm.usd_export(filepath=path, export_animation=True, export_armatures=True, export_shapekeys=True)
