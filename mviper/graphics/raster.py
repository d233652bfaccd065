"""A z-buffer rasteriser without OpenGL, for mesh overlays, annotation passes and renderers.

Pixel (0, 0) is the centre of the top-left pixel, as everywhere in MVIPER: a pixel belongs to a triangle when its centre
does. A mesh is first put on the screen (:func:`perspective` or :func:`weak_perspective`), then rasterised. The inner
loops are in ``kernels.py``, imported on call, so that numba is loaded only for drawing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from mviper.structures import Camera

#: Blue for predictions and sand for the ground truth, RGB in [0, 1].
PREDICTION_COLOUR = (0.45, 0.66, 0.95)
TRUTH_COLOUR = (0.96, 0.76, 0.52)

#: Nothing nearer than this is drawn [m].
_NEAR = 0.01

# Directions towards the lights in camera axes (x right, y down, z forward), with their intensities: a key light from
# the upper left behind the camera, a fill light from the right, a weak light from the camera, and ambient light.
_LIGHTS = (((-0.5, -0.7, -0.7), 0.45), ((0.8, -0.1, -0.5), 0.2), ((0.0, 0.0, -1.0), 0.2))
_AMBIENT = 0.28


@dataclass
class ScreenMesh:
    """A mesh's vertices on the screen.

    Attributes:
        points: Pixels, shape (V, 2); NaN behind the camera.
        nearness: Larger is nearer, and linear over the screen (1 / z, in weak perspective -z), shape (V,).
        normals: Unit vertex normals in camera axes, shape (V, 3).
    """

    points: np.ndarray
    nearness: np.ndarray
    normals: np.ndarray


@dataclass
class Fragments:
    """The nearest surface at each pixel.

    Attributes:
        face: Index of the face, -1 if none, shape (H, W) int32.
        nearness: Nearness of the visible point, -inf if none, shape (H, W) float32.
    """

    face: np.ndarray
    nearness: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Pixels covered by the mesh, shape (H, W) bool."""
        return self.face >= 0


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals of the vertices, pointing out of counter-clockwise faces.

    Args:
        vertices: Shape (V, 3).
        faces: Shape (F, 3).

    Returns:
        Shape (V, 3) float32; zero for vertices that no face uses.
    """
    from mviper.graphics import kernels

    return kernels.vertex_normals(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int64))


def perspective(vertices: np.ndarray, faces: np.ndarray, K: np.ndarray) -> ScreenMesh:
    """Projects a mesh in camera axes with a pinhole camera.

    Args:
        vertices: OpenCV's camera axes [m], shape (V, 3).
        faces: Counter-clockwise seen from outside, shape (F, 3).
        K: Intrinsics [px], shape (3, 3).
    """
    vertices = np.asarray(vertices, np.float64)
    z = np.where(vertices[:, 2] > _NEAR, vertices[:, 2], np.nan)
    points = (vertices @ np.asarray(K, np.float64).T)[:, :2] / z[:, None]
    return ScreenMesh(points, 1.0 / z, vertex_normals(vertices, faces))


def weak_perspective(vertices: np.ndarray, faces: np.ndarray, camera: np.ndarray, crop: np.ndarray) -> ScreenMesh:
    """Projects a root-relative mesh into the video with the network's camera (eq. 6: ``s X + t`` in crop units).

    Args:
        vertices: Camera axes with SMPL joint 0 at the origin [m], shape (V, 3).
        faces: Counter-clockwise seen from outside, shape (F, 3).
        camera: (s, tx, ty), shape (3,); [-1, 1] spans the crop.
        crop: Centre x, centre y, side of the square crop in video pixels, shape (3,).
    """
    vertices = np.asarray(vertices, np.float64)
    camera, crop = np.asarray(camera, np.float64), np.asarray(crop, np.float64)
    points = crop[:2] + (camera[0] * vertices[:, :2] + camera[1:3]) * (crop[2] / 2)
    return ScreenMesh(points, -vertices[:, 2], vertex_normals(vertices, faces))


def view(vertices: np.ndarray, faces: np.ndarray, camera: Camera, frame: int = 0) -> ScreenMesh:
    """Projects a mesh in the world into one frame of a :class:`~mviper.structures.Camera`.

    Args:
        vertices: World [m], shape (V, 3).
        faces: Counter-clockwise seen from outside, shape (F, 3).
        camera: The camera.
        frame: Which of its frames.
    """
    return perspective(np.asarray(vertices) @ camera.R[frame].T + camera.t[frame], faces, camera.K)


def rasterize(mesh: ScreenMesh, faces: np.ndarray, height: int, width: int, *, cull: bool = True) -> Fragments:
    """Finds the nearest face at the centre of every pixel.

    Args:
        mesh: The vertices on the screen.
        faces: Shape (F, 3).
        height: Of the picture [px].
        width: Of the picture [px].
        cull: Omit faces seen from behind (right for closed bodies; use False for open cloth).

    Returns:
        The fragments; faces with a corner behind the camera are omitted.
    """
    face_of = np.full((height, width), -1, np.int32)
    nearest = np.full((height, width), -np.inf, np.float32)
    points, nearness = (np.ascontiguousarray(values, np.float64) for values in (mesh.points, mesh.nearness))
    fill_triangles(points, nearness, np.ascontiguousarray(faces, np.int64), cull, face_of, nearest)
    return Fragments(face_of, nearest)


def fill_triangles(
    points: np.ndarray, nearness: np.ndarray, faces: np.ndarray, cull: bool, face_of: np.ndarray, nearest: np.ndarray
) -> None:
    """Draws triangles into an existing z-buffer.

    Each triangle is split into rows of pixels bounded by its edges, so that only pixels inside are visited.

    Args:
        points: Vertices on the screen [px], NaN behind the camera, shape (V, 2) float64.
        nearness: Larger is nearer, linear over the screen, shape (V,) float64.
        faces: Shape (F, 3) int64.
        cull: Omit faces seen from behind.
        face_of: Index of the face visible in each pixel, shape (H, W) int32; changed in place.
        nearest: Its nearness there, -inf if none, shape (H, W) float32; changed in place.
    """
    from mviper.graphics import kernels

    kernels.fill_triangles(points, nearness, faces, cull, face_of, nearest)


def interpolate(mesh: ScreenMesh, faces: np.ndarray, fragments: Fragments, values: np.ndarray) -> np.ndarray:
    """Interpolates values at the faces' corners over the pixels where the faces are visible, linearly in screen space.

    Args:
        mesh: The vertices on the screen, as rasterised.
        faces: Shape (F, 3).
        fragments: Result of :func:`rasterize`.
        values: At each corner of each face, shape (F, 3, C).

    Returns:
        Shape (N, C) float32 for the N pixels of ``fragments.mask``, row by row.
    """
    pixel = np.flatnonzero(fragments.mask)
    face = fragments.face.ravel()[pixel]
    y, x = np.divmod(pixel, fragments.face.shape[1])
    corners = mesh.points[faces]
    with np.errstate(divide="ignore", invalid="ignore"):  # faces seen edge-on, which cover no pixel
        along_x, along_y = (np.einsum("fk,fkc->fc", gradient, values) for gradient in _weight_gradients(corners))
    constant = values[:, 0] - along_x * corners[:, 0, :1] - along_y * corners[:, 0, 1:]
    channels = [
        constant[face, c] + along_x[face, c] * x + along_y[face, c] * y for c in range(values.shape[2])
    ]  # separately: gathering rows of two or three is several times slower
    return np.stack(channels, axis=1).astype(np.float32)


def uv_map(faces: np.ndarray, corners: np.ndarray, values: np.ndarray, side: int, border: int = 4) -> np.ndarray:
    """Spreads a mesh's vertex values over its texture.

    Args:
        faces: Shape (F, 3).
        corners: Texture coordinates of the faces' corners in [0, 1], v upwards, shape (F, 3, 2).
        values: Shape (V, C).
        side: Of the texture [px].
        border: Pixels by which islands are extended.

    Returns:
        Shape (side, side, C) float64, top row first; zero outside the islands.
    """
    import cv2

    points = np.stack([corners[..., 0] * side - 0.5, (1 - corners[..., 1]) * side - 0.5], -1).reshape(-1, 2)
    alone = np.arange(len(points)).reshape(-1, 3)
    screen = ScreenMesh(points, np.zeros(len(points)), np.zeros((len(points), 3)))
    fragments = rasterize(screen, alone, side, side, cull=False)
    result = np.zeros((side, side, values.shape[1]))
    result[fragments.mask] = interpolate(screen, alone, fragments, values[faces])
    filled = fragments.mask.astype(np.float64)
    for _ in range(border):
        near = cv2.blur(filled, (3, 3))
        spread = cv2.blur(result * filled[..., None], (3, 3)).reshape(result.shape)
        new = (filled == 0) & (near > 0)
        result[new] = spread[new] / near[new, None]
        filled[new] = 1
    return result


def _weight_gradients(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change of the three barycentric weights per pixel along x and y, each (F, 3), for triangles (F, 3, 2).

    The weights are affine in screen space: ``weight_k = along_x_k (x - x_0) + along_y_k (y - y_0) + [k == 0]``.
    """
    (x1, y1), (x2, y2) = ((corners[:, k] - corners[:, 0]).T for k in (1, 2))
    area = _twice_area(corners)[:, None]
    return np.stack([y1 - y2, y2, -y1], axis=1) / area, np.stack([x2 - x1, -x2, x1], axis=1) / area


def light(normals: np.ndarray) -> np.ndarray:
    """Soft studio light on a matte surface.

    Args:
        normals: Unit normals in camera axes, shape (N, 3).

    Returns:
        Brightness in [0, 1], shape (N,).
    """
    brightness = np.full(len(normals), _AMBIENT, np.float32)
    for direction, strength in _LIGHTS:
        towards = np.asarray(direction, np.float32) / np.float32(np.linalg.norm(direction))
        brightness += np.float32(strength) * np.maximum(normals @ towards, 0)
    return np.minimum(brightness, 1)


def overlay(
    image: np.ndarray,
    mesh: ScreenMesh,
    faces: np.ndarray,
    *,
    colour: tuple[float, float, float] | np.ndarray = PREDICTION_COLOUR,
    alpha: float = 0.9,
    samples: int = 2,
    cull: bool = True,
    in_place: bool = False,
) -> np.ndarray:
    """Overlays a shaded mesh on a picture.

    Args:
        image: RGB, shape (H, W, 3) uint8.
        mesh: The vertices on the screen.
        faces: Shape (F, 3).
        colour: RGB in [0, 1] of the surface, shape (3,), or of each vertex, shape (V, 3).
        alpha: Opacity of the mesh.
        samples: Samples per pixel along each axis; more than 1 antialiases the edges.
        cull: Omit faces seen from behind; if False, they are lit on their back.
        in_place: Draw on ``image`` itself instead of on a copy.

    Returns:
        The picture with the mesh, shape (H, W, 3) uint8.
    """
    result = image if in_place else image.copy()
    box = _bounding_box(mesh.points, image.shape[0], image.shape[1])
    if box is None:
        return result
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    colour = np.asarray(colour, np.float32)
    if samples == 1 and cull:  # without antialiasing each pixel shows one face: paint in one pass
        from mviper.graphics import kernels

        shifted = ScreenMesh(mesh.points - [left, top], mesh.nearness, mesh.normals)
        face_of = rasterize(shifted, faces, height, width).face
        lit = light(mesh.normals)[:, None] * (255 * np.broadcast_to(colour, (len(mesh.points), 3)))
        kernels.paint_faces(
            result[top:bottom, left:right], face_of, shifted.points, np.ascontiguousarray(faces, np.int64),
            lit.astype(np.float32), alpha,
        )  # fmt: skip
        return result
    # Only the mesh's bounding box is rasterised. A sample's centre (i, j) of the finer grid lies at (i + 0.5) / samples
    # - 0.5 pixels from the first pixel's centre.
    fine = ScreenMesh((mesh.points - [left, top] + 0.5) * samples - 0.5, mesh.nearness, mesh.normals)
    fragments = rasterize(fine, faces, height * samples, width * samples, cull=cull)
    # Gouraud shading: on a body's small faces indistinguishable from per-pixel lighting.
    tint = colour if colour.ndim == 2 else np.ones((1, 1), np.float32)  # a single colour is multiplied in at the end
    lit = (light(mesh.normals)[:, None] * tint)[faces]  # (F, 3, C)
    if not cull:
        from_behind = _twice_area(fine.points[faces]) > 0
        lit[from_behind] = (light(-mesh.normals)[:, None] * tint)[faces[from_behind]]
    mask = fragments.mask
    paint: np.ndarray = np.zeros((*mask.shape, lit.shape[-1]), np.float32)
    paint[mask] = interpolate(fine, faces, fragments, lit)
    paint = _pool(paint, samples) * (255 if colour.ndim == 2 else 255 * colour)
    coverage = _pool(mask[..., None], samples)

    part = result[top:bottom, left:right]
    part[...] = np.clip(part * (1 - alpha * coverage) + alpha * paint + 0.5, 0, 255).astype(np.uint8)
    return result


def _pool(values: np.ndarray, samples: int) -> np.ndarray:
    """Mean of each pixel's samples: (H s, W s, C) to (H, W, C)."""
    grid = values.reshape(values.shape[0] // samples, samples, -1, samples, values.shape[-1])
    parts = (grid[:, i, :, j].astype(np.float32) for i in range(samples) for j in range(samples))
    return functools.reduce(np.add, parts) / samples**2


def _twice_area(corners: np.ndarray) -> np.ndarray:
    """Twice the signed area of triangles on the screen (F, 3, 2); y points down: negative seen from outside."""
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return edge_1[:, 0] * edge_2[:, 1] - edge_1[:, 1] * edge_2[:, 0]


def _bounding_box(points: np.ndarray, height: int, width: int) -> tuple[int, int, int, int] | None:
    """Integer bounding box of all visible points: left, top, right, bottom (exclusive); None if off the screen."""
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return None
    left, top = np.maximum(np.floor(points.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(points.max(axis=0)) + 1, [width, height]).astype(int)
    return (left, top, right, bottom) if right > left and bottom > top else None
