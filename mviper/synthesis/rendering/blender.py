"""The parts of Blender's scene graph needed for rendering."""

from __future__ import annotations

import contextlib
import os

import numpy as np

from mviper.errors import MissingDependencyError
from mviper.extras import import_extra
from mviper.structures import Camera, MeshSequence


def import_blender(threads: int) -> None:
    """Imports Blender, if installed, with a given number of threads; once per process, before any other import of it.

    Its task scheduler (TBB) takes as many threads as the process may use cores when it is loaded; idle threads spin,
    which costs half as much again as the work.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:threads])
    try:
        with contextlib.suppress(MissingDependencyError):  # not needed without cloth and Cycles
            import_extra("bpy")
    finally:
        os.sched_setaffinity(0, cores)


def add_object(name: str, data: object) -> object:
    """Links new object data into the scene; returns the object."""
    bpy = import_extra("bpy")
    thing = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def add_mesh(mesh: MeshSequence, name: str, attributes: dict[str, np.ndarray] | None = None) -> object:
    """Makes a smooth-shaded mesh object from the first frame.

    Args:
        mesh: Triangles, normals outwards; ``uv`` becomes the UV map.
        name: The object's name.
        attributes: Vertex attributes for materials, (V, 3) or (V,) each.

    Returns:
        The ``bpy`` object.
    """
    bpy = import_extra("bpy")
    faces = np.ascontiguousarray(mesh.faces, np.int32)
    data = bpy.data.meshes.new(name)
    data.vertices.add(mesh.vertices.shape[1])
    data.vertices.foreach_set("co", np.ascontiguousarray(mesh.vertices[0], np.float32).ravel())
    data.loops.add(faces.size)
    data.loops.foreach_set("vertex_index", faces.ravel())
    data.polygons.add(len(faces))
    data.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32))
    data.update(calc_edges=True)
    data.shade_smooth()
    if mesh.uv is not None:
        layer = data.uv_layers.new(name="UVMap")
        layer.uv.foreach_set("vector", np.ascontiguousarray(mesh.uv, np.float32).ravel())
    for key, values in (attributes or {}).items():
        kind, field = ("FLOAT_VECTOR", "vector") if values.ndim == 2 else ("FLOAT", "value")
        attribute = data.attributes.new(key, kind, "POINT")
        attribute.data.foreach_set(field, np.ascontiguousarray(values, np.float32).ravel())
    return add_object(name, data)


def move_mesh(thing: object, vertices: np.ndarray) -> None:
    """Moves a mesh object's vertices to (V, 3) [m]."""
    thing.data.vertices.foreach_set("co", np.ascontiguousarray(vertices, np.float32).ravel())
    thing.data.update()


def add_camera(camera: Camera) -> object:
    """Makes a camera object with this camera's lens; :func:`move_camera` places it."""
    bpy = import_extra("bpy")
    K, width, height = camera.K, camera.width, camera.height
    if not np.isclose(K[0, 0], K[1, 1]) or not np.isclose(K[0, 1], 0):
        raise ValueError(f"Blender's camera has square pixels, got K = {K.tolist()}")
    data = bpy.data.cameras.new(camera.name)
    data.sensor_fit, data.sensor_width = "HORIZONTAL", 32.0
    data.lens = 32.0 * K[0, 0] / width
    # Blender shifts in units of the longer side; its picture's middle is (size - 1) / 2 in pixel centres.
    data.shift_x = ((width - 1) / 2 - K[0, 2]) / max(width, height)
    data.shift_y = (K[1, 2] - (height - 1) / 2) / max(width, height)
    data.clip_start, data.clip_end = 0.1, 1000.0
    return add_object(camera.name, data)


def move_camera(thing: object, R: np.ndarray, t: np.ndarray) -> None:
    """Places a camera object by OpenCV's world-to-camera R (3, 3), t (3,)."""
    from mathutils import Matrix

    world = np.eye(4)
    world[:3, :3] = R.T * [1, -1, -1]  # Blender's camera looks down its -z, y up
    world[:3, 3] = -R.T @ t
    thing.matrix_world = Matrix(world.tolist())


def add_image(name: str, pixels: np.ndarray) -> object:
    """Makes an image data-block: uint8 (H, W, 3) is sRGB, float32 (H, W, 3) is linear; top row first."""
    bpy = import_extra("bpy")
    height, width = pixels.shape[:2]
    is_float = pixels.dtype != np.uint8
    image = bpy.data.images.new(name, width, height, alpha=False, float_buffer=is_float)
    if is_float:
        image.colorspace_settings.name = "Linear Rec.709"
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = pixels[::-1] if is_float else pixels[::-1] / np.float32(255)
    image.pixels.foreach_set(rgba.ravel())
    image.update()
    image.pack()
    return image


def linear(colour: np.ndarray) -> tuple[float, float, float, float]:
    """SRGB (3,) to Blender's linear RGBA."""
    colour = np.asarray(colour, float)
    low, high = colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4
    return (*np.where(colour <= 0.04045, low, high).tolist(), 1.0)
