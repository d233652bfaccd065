"""A z-buffer rasteriser (no GL): meshes laid over pictures, and what annotation passes and renderers build on.

Pixel (0, 0) is the centre of the top-left pixel, as everywhere in MVIPER: a pixel belongs to a triangle when its centre
does. A mesh is first put on the screen (:func:`perspective` or :func:`weak_perspective`), then rasterised. The inner
loops are in ``kernels.py``, imported where they are called: who draws nothing does not load numba.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from mviper.structures import Camera

#: A calm blue for predictions and a warm sand for the truth, RGB in [0, 1].
PREDICTION_COLOUR = (0.45, 0.66, 0.95)
TRUTH_COLOUR = (0.96, 0.76, 0.52)

#: Nothing nearer than this is drawn [m].
_NEAR = 0.01

# Directions towards the lights in camera axes (x right, y down, z forward), with their strengths: a key light from the
# upper left behind the camera, a fill from the right, a little from the camera itself, and what comes from all around.
_LIGHTS = (((-0.5, -0.7, -0.7), 0.45), ((0.8, -0.1, -0.5), 0.2), ((0.0, 0.0, -1.0), 0.2))
_AMBIENT = 0.28


@dataclass
class ScreenMesh:
    """A mesh's vertices on the screen.

    Attributes:
        points: Pixels, shape (V, 2); NaN for what lies behind the camera.
        nearness: Larger is nearer, and linear over the screen (1 / z, in weak perspective -z), shape (V,).
        normals: Unit vertex normals in camera axes, shape (V, 3).
    """

    points: np.ndarray
    nearness: np.ndarray
    normals: np.ndarray


@dataclass
class Fragments:
    """What each pixel sees first.

    Attributes:
        face: Index of the face, -1 where there is none, shape (H, W) int32.
        nearness: Of the point seen, -inf where there is none, shape (H, W) float32.
    """

    face: np.ndarray
    nearness: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Where the mesh is, shape (H, W) bool."""
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
    """Puts a mesh in camera axes on the screen of a pinhole camera.

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
    """Puts a root-relative mesh on the video from the network's camera (eq. 6: ``s X + t`` in crop units).

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
    """Puts a mesh in the world on the screen of one frame of a :class:`~mviper.structures.Camera`.

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
        cull: Leave out faces seen from behind (right for closed bodies; open cloth wants False).

    Returns:
        The fragments; faces with a corner behind the camera are left out.
    """
    face_of = np.full((height, width), -1, np.int32)
    nearest = np.full((height, width), -np.inf, np.float32)
    points, nearness = (np.ascontiguousarray(values, np.float64) for values in (mesh.points, mesh.nearness))
    fill_triangles(points, nearness, np.ascontiguousarray(faces, np.int64), cull, face_of, nearest)
    return Fragments(face_of, nearest)


def fill_triangles(
    points: np.ndarray, nearness: np.ndarray, faces: np.ndarray, cull: bool, face_of: np.ndarray, nearest: np.ndarray
) -> None:
    """Draws triangles into a z-buffer, over what it holds already.

    Each triangle is cut into rows of pixels whose ends follow from its three edges, so that only pixels inside are
    touched.

    Args:
        points: Vertices on the screen [px], NaN behind the camera, shape (V, 2) float64.
        nearness: Larger is nearer, linear over the screen, shape (V,) float64.
        faces: Shape (F, 3) int64.
        cull: Leave out faces seen from behind.
        face_of: Index of the face that each pixel sees, shape (H, W) int32; changed in place.
        nearest: Its nearness there, -inf where there is none, shape (H, W) float32; changed in place.
    """
    from mviper.graphics import kernels

    kernels.fill_triangles(points, nearness, faces, cull, face_of, nearest)


def interpolate(mesh: ScreenMesh, faces: np.ndarray, fragments: Fragments, values: np.ndarray) -> np.ndarray:
    """Spreads values at the faces' corners over the pixels that see the faces, linearly over the screen.

    Args:
        mesh: The vertices on the screen, as rasterised.
        faces: Shape (F, 3).
        fragments: What :func:`rasterize` found.
        values: At each corner of each face, shape (F, 3, C).

    Returns:
        Shape (N, C) float32 for the N pixels of ``fragments.mask``, row by row.
    """
    pixel = np.flatnonzero(fragments.mask)
    face = fragments.face.ravel()[pixel]
    y, x = np.divmod(pixel, fragments.face.shape[1])
    corners = mesh.points[faces]
    with np.errstate(divide="ignore", invalid="ignore"):  # faces seen edge-on, which own no pixel
        along_x, along_y = (np.einsum("fk,fkc->fc", gradient, values) for gradient in _weight_gradients(corners))
    constant = values[:, 0] - along_x * corners[:, 0, :1] - along_y * corners[:, 0, 1:]
    channels = [
        constant[face, c] + along_x[face, c] * x + along_y[face, c] * y for c in range(values.shape[2])
    ]  # one by one: gathers from rows of two or three are several times slower
    return np.stack(channels, axis=1).astype(np.float32)


def _weight_gradients(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change of the three barycentric weights per pixel along x and y, each (F, 3), for triangles (F, 3, 2).

    The weights are affine on the screen: ``weight_k = along_x_k (x - x_0) + along_y_k (y - y_0) + [k == 0]``.
    """
    (x1, y1), (x2, y2) = ((corners[:, k] - corners[:, 0]).T for k in (1, 2))
    area = _twice_area(corners)[:, None]
    return np.stack([y1 - y2, y2, -y1], axis=1) / area, np.stack([x2 - x1, -x2, x1], axis=1) / area


def light(normals: np.ndarray) -> np.ndarray:
    """Soft studio light on a matt surface.

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
) -> np.ndarray:
    """Lays a shaded mesh over a picture.

    Args:
        image: RGB, shape (H, W, 3) uint8; left as it is.
        mesh: The vertices on the screen.
        faces: Shape (F, 3).
        colour: RGB in [0, 1] of the surface, shape (3,), or of each vertex, shape (V, 3).
        alpha: Opacity of the mesh.
        samples: Samples a pixel along each axis; more than 1 smooths the edges.
        cull: Leave out faces seen from behind; when False they are lit from their back.

    Returns:
        A new picture, shape (H, W, 3) uint8.
    """
    result = image.copy()
    box = _bounding_box(mesh.points, image.shape[0], image.shape[1])
    if box is None:
        return result
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    colour = np.asarray(colour, np.float32)
    if samples == 1 and cull:  # without smoothed edges each pixel sees one face: painted in one go
        from mviper.graphics import kernels

        shifted = ScreenMesh(mesh.points - [left, top], mesh.nearness, mesh.normals)
        face_of = rasterize(shifted, faces, height, width).face
        lit = light(mesh.normals)[:, None] * (255 * np.broadcast_to(colour, (len(mesh.points), 3)))
        kernels.paint_faces(
            result[top:bottom, left:right], face_of, shifted.points, np.ascontiguousarray(faces, np.int64),
            lit.astype(np.float32), alpha,
        )  # fmt: skip
        return result
    # Only the mesh's own box is rasterised. A sample's centre (i, j) of the finer grid lies at
    # (i + 0.5) / samples - 0.5 pixels from the first pixel's centre.
    fine = ScreenMesh((mesh.points - [left, top] + 0.5) * samples - 0.5, mesh.nearness, mesh.normals)
    fragments = rasterize(fine, faces, height * samples, width * samples, cull=cull)
    # Lit at the vertices and interpolated: on a body's small faces the same to the eye as light at each pixel.
    tint = colour if colour.ndim == 2 else np.ones((1, 1), np.float32)  # one colour is multiplied in at the end
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
    """The whole pixels round all visible points as left, top, right, bottom (exclusive); None when off the screen."""
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return None
    left, top = np.maximum(np.floor(points.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(points.max(axis=0)) + 1, [width, height]).astype(int)
    return (left, top, right, bottom) if right > left and bottom > top else None
