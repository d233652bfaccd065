"""FBX, USD, Alembic and .blend, written by Blender (the module ``bpy``) from our own GLB."""

from __future__ import annotations

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


def write_with_blender(path: str | Path, motions: Sequence[Motion], body: SMPL, starts: Sequence[int]) -> None:
    """Writes what Blender writes: armature, skin and blend shapes (FBX, USD, .blend), or vertices (Alembic).

    What Blender has in memory is replaced. Frames are numbered from 0.

    Args:
        path: Ends in ``.fbx``, ``.usd``, ``.usda``, ``.usdc``, ``.blend`` or ``.abc``.
        motions: People in the same world, z up.
        body: The body they belong to.
        starts: Frame at which each motion begins; before it the person stands in the first pose.

    Raises:
        MissingDependencyError: There is no ``bpy``.
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
        # With key times at whole frames of a whole rate; the true rate is set afterwards.
        write_glb(between, [replace(motion, fps=fps) for motion in motions], body, starts)
        bpy.ops.import_scene.gltf(filepath=str(between))
        scene.render.fps_base = fps / motions[0].fps
        scene.frame_start, scene.frame_end = 0, frames - 1
        scene.frame_set(0)
        for thing in [thing for thing in bpy.data.objects if thing.type == "MESH" and not thing.vertex_groups]:
            bpy.data.objects.remove(thing)  # the importer's shapes of bones
        try:
            _write(bpy, str(temporary), temporary.suffix.lower(), frames)
        except RuntimeError as error:
            raise MviperError(f"{path}: Blender cannot write it: {' '.join(str(error).split())}") from error


def _write(bpy: object, path: str, suffix: str, frames: int) -> None:
    if suffix == ".fbx":
        bpy.ops.export_scene.fbx(
            filepath=path, object_types={"ARMATURE", "MESH", "EMPTY"}, add_leaf_bones=False, bake_anim=True,
            bake_anim_use_all_bones=True, bake_anim_use_nla_strips=False, bake_anim_use_all_actions=False,
            bake_anim_simplify_factor=0.0,
        )  # fmt: skip
    elif suffix == ".abc":
        bpy.ops.wm.alembic_export(filepath=path, start=0, end=frames - 1, flatten=False, as_background_job=False)
    elif suffix == ".blend":
        bpy.ops.wm.save_as_mainfile(filepath=path, compress=True)
    else:
        bpy.ops.wm.usd_export(filepath=path, export_animation=True, export_armatures=True, export_shapekeys=True)
