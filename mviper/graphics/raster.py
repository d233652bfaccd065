"""A small z-buffer rasteriser in numpy, for meshes laid over pictures: nothing heavy to install, no GL.

Pixel (0, 0) is the centre of the top-left pixel, as everywhere in MVIPER: a pixel belongs to a triangle when its centre
does. A mesh is first put on the screen (:func:`perspective` or :func:`weak_perspective`), then rasterised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mviper.structures import Camera

#: A calm blue for predictions and a warm sand for the truth, RGB in [0, 1].
PREDICTION_COLOUR = (0.45, 0.66, 0.95)
TRUTH_COLOUR = (0.96, 0.76, 0.52)

#: Candidate pixels that are looked at in one go; bounds the memory that large triangles take.
_CHUNK = 2_000_000
#: Nothing nearer than this is drawn [m].
_NEAR = 0.01
#: Tolerance on barycentric coordinates, so that float rounding leaves no pinholes along shared edges.
_EDGE = 1e-5

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
    vertices = np.asarray(vertices, np.float32)
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # bincount sums over shared corners several times faster than np.add.at does.
    index = faces.ravel()
    normals = np.stack(
        [np.bincount(index, np.repeat(face_normals[:, axis], 3), len(vertices)) for axis in range(3)], axis=1
    )
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)).astype(np.float32)


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

    Faces are cut into rows of pixels whose ends follow from the three edges, so that only pixels inside are touched.

    Args:
        mesh: The vertices on the screen.
        faces: Shape (F, 3).
        height: Of the picture [px].
        width: Of the picture [px].
        cull: Leave out faces seen from behind (right for closed bodies; open cloth wants False).

    Returns:
        The fragments; faces with a corner behind the camera are left out.
    """
    face_of = np.full(height * width, -1, np.int32)
    nearest = np.full(height * width, -np.inf, np.float32)

    corners = mesh.points[faces]  # (F, 3, 2)
    area = _twice_area(corners)
    with np.errstate(invalid="ignore"):
        y = corners[..., 1]
        top, bottom = np.maximum(np.ceil(y.min(axis=1)), 0), np.minimum(np.floor(y.max(axis=1)), height - 1)
        kept = np.flatnonzero(((area < 0) if cull else (area != 0)) & np.isfinite(area) & (bottom >= top))
    if not len(kept):
        return Fragments(face_of.reshape(height, width), nearest.reshape(height, width))

    origin = corners[kept, 0]
    along_x, along_y = _weight_gradients(corners[kept])
    near = mesh.nearness[faces[kept]]
    top = top[kept].astype(np.int64)
    rows = bottom[kept].astype(np.int64) - top + 1

    face = np.repeat(np.arange(len(kept)), rows)  # of each row of pixels
    row_y = top[face] + _count_within(rows)
    dy = row_y - origin[face, 1]
    first, last = np.full(len(face), -np.inf), np.full(len(face), np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        for k in range(3):
            slope = along_x[face, k]
            start = along_y[face, k] * dy + (1.0 if k == 0 else 0.0) + _EDGE
            crossing = -start / slope
            first = np.where(slope > 0, np.maximum(first, crossing), first)
            last = np.where(slope < 0, np.minimum(last, crossing), last)
    first = np.maximum(np.ceil(first + origin[face, 0]), 0)
    last = np.minimum(np.floor(last + origin[face, 0]), width - 1)
    keep = last >= first
    face, row_y, dy, first, last = face[keep], row_y[keep], dy[keep], first[keep].astype(np.int64), last[keep]
    length = last.astype(np.int64) - first + 1
    dx = first - origin[face, 0]
    near_x, near_y = np.einsum("fk,fk->f", near, along_x), np.einsum("fk,fk->f", near, along_y)
    row_near = (near[face, 0] + near_x[face] * dx + near_y[face] * dy).astype(np.float32)
    row_slope = near_x[face].astype(np.float32)
    row_pixel = row_y * width + first
    face_index = kept[face]

    total = np.cumsum(length)
    begin = 0
    while begin < len(face):  # in portions, which bounds the memory that large pictures take
        done = total[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, done + _CHUNK, side="right")))
        row = np.repeat(np.arange(begin, end), length[begin:end])
        step = _count_within(length[begin:end])
        nearness = row_near[row] + row_slope[row] * step.astype(np.float32)
        pixel = row_pixel[row] + step
        np.maximum.at(nearest, pixel, nearness)
        wins = np.flatnonzero(nearness == nearest[pixel])
        face_of[pixel[wins]] = face_index[row[wins]]
        begin = end

    return Fragments(face_of.reshape(height, width), nearest.reshape(height, width))


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


def _count_within(lengths: np.ndarray) -> np.ndarray:
    """0, 1, ..., length - 1 for each of the lengths, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)


def light(normals: np.ndarray) -> np.ndarray:
    """Soft studio light on a matt surface.

    Args:
        normals: Unit normals in camera axes, shape (N, 3).

    Returns:
        Brightness in [0, 1], shape (N,).
    """
    brightness = np.full(len(normals), _AMBIENT, np.float32)
    for direction, strength in _LIGHTS:
        direction = np.asarray(direction, np.float32) / np.float32(np.linalg.norm(direction))
        brightness += np.float32(strength) * np.maximum(normals @ direction, 0)
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
    # Only the mesh's own box is rasterised. A sample's centre (i, j) of the finer grid lies at
    # (i + 0.5) / samples - 0.5 pixels from the first pixel's centre.
    fine = ScreenMesh((mesh.points - [left, top] + 0.5) * samples - 0.5, mesh.nearness, mesh.normals)
    fragments = rasterize(fine, faces, height * samples, width * samples, cull=cull)
    # Lit at the vertices and interpolated: on a body's small faces the same to the eye as light at each pixel.
    colour = np.asarray(colour, np.float32)
    tint = colour if colour.ndim == 2 else np.ones((1, 1), np.float32)  # one colour is multiplied in at the end
    lit = (light(mesh.normals)[:, None] * tint)[faces]  # (F, 3, C)
    if not cull:
        from_behind = _twice_area(fine.points[faces]) > 0
        lit[from_behind] = (light(-mesh.normals)[:, None] * tint)[faces[from_behind]]
    mask = fragments.mask
    paint = np.zeros((*mask.shape, lit.shape[-1]), np.float32)
    paint[mask] = interpolate(fine, faces, fragments, lit)
    paint = _pool(paint, samples) * (255 if colour.ndim == 2 else 255 * colour)
    coverage = _pool(mask[..., None], samples)

    part = result[top:bottom, left:right]
    part[...] = np.clip(part * (1 - alpha * coverage) + alpha * paint + 0.5, 0, 255).astype(np.uint8)
    return result


def _pool(values: np.ndarray, samples: int) -> np.ndarray:
    """Mean of each pixel's samples: (H s, W s, C) to (H, W, C)."""
    grid = values.reshape(values.shape[0] // samples, samples, -1, samples, values.shape[-1])
    return sum(grid[:, i, :, j].astype(np.float32) for i in range(samples) for j in range(samples)) / samples**2


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
