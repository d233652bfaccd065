"""The rasteriser's inner loops, compiled by numba; imported only where called (numba takes 0.2 s and 60 MB)."""

from __future__ import annotations

import math

import numba
import numpy as np

#: Tolerance on barycentric coordinates, so that float rounding leaves no pinholes along shared edges.
_EDGE = 1e-5


@numba.njit(cache=True, nogil=True)
def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """As :func:`mviper.graphics.vertex_normals`, for float32 vertices and int64 faces."""
    normals = np.zeros((len(vertices), 3))
    for index in range(len(faces)):
        a, b, c = faces[index, 0], faces[index, 1], faces[index, 2]
        x1, y1, z1 = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        x2, y2, z2 = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        x, y, z = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
        for corner in (a, b, c):
            normals[corner, 0] += x
            normals[corner, 1] += y
            normals[corner, 2] += z
    for index in range(len(normals)):
        length = math.sqrt(normals[index, 0] ** 2 + normals[index, 1] ** 2 + normals[index, 2] ** 2)
        normals[index] /= max(length, 1e-20)
    return normals.astype(np.float32)


@numba.njit(cache=True, nogil=True)
def fill_triangles(
    points: np.ndarray, nearness: np.ndarray, faces: np.ndarray, cull: bool, face_of: np.ndarray, nearest: np.ndarray
) -> None:
    """As :func:`mviper.graphics.fill_triangles`."""
    height, width = face_of.shape
    slope_x, slope_y = np.empty(3), np.empty(3)
    for index in range(len(faces)):
        a, b, c = faces[index, 0], faces[index, 1], faces[index, 2]
        x0, y0 = points[a, 0], points[a, 1]
        x1, y1 = points[b, 0] - x0, points[b, 1] - y0
        x2, y2 = points[c, 0] - x0, points[c, 1] - y0
        area = x1 * y2 - x2 * y1  # negative seen from outside, since y points down
        if not np.isfinite(area) or area == 0 or (cull and area > 0):
            continue
        top = max(math.ceil(y0 + min(0.0, y1, y2)), 0)
        bottom = min(math.floor(y0 + max(0.0, y1, y2)), height - 1)
        # Most faces of a distant body cover no pixel centre.
        if bottom < top or math.floor(x0 + max(0.0, x1, x2) + _EDGE) < math.ceil(x0 + min(0.0, x1, x2) - _EDGE):
            continue
        slope_x[0], slope_x[1], slope_x[2] = (y1 - y2) / area, y2 / area, -y1 / area
        slope_y[0], slope_y[1], slope_y[2] = (x2 - x1) / area, -x2 / area, x1 / area
        near, near_1, near_2 = nearness[a], nearness[b], nearness[c]
        near_x = near * slope_x[0] + near_1 * slope_x[1] + near_2 * slope_x[2]
        near_y = near * slope_y[0] + near_1 * slope_y[1] + near_2 * slope_y[2]
        for y in range(top, bottom + 1):
            dy = y - y0
            first, last = -x0, width - 1 - x0
            for k in range(3):
                start = slope_y[k] * dy + _EDGE + (1.0 if k == 0 else 0.0)
                if slope_x[k] > 0:
                    first = max(first, -start / slope_x[k])
                elif slope_x[k] < 0:
                    last = min(last, -start / slope_x[k])
                elif start < 0:
                    last = -np.inf
            if not last >= first:
                continue
            for x in range(math.ceil(first + x0), math.floor(last + x0) + 1):
                value = np.float32(near + near_x * (x - x0) + near_y * dy)
                if value > nearest[y, x]:
                    nearest[y, x] = value
                    face_of[y, x] = index


@numba.njit(cache=True, nogil=True)
def paint_faces(
    image: np.ndarray, face_of: np.ndarray, points: np.ndarray, faces: np.ndarray, lit: np.ndarray, alpha: float
) -> None:
    """Paints faces over a picture, interpolating vertex colours linearly in screen space.

    Args:
        image: RGB, shape (H, W, 3) uint8; changed in place.
        face_of: Index of the face visible in each pixel, -1 if none, shape (H, W) int32.
        points: Vertices on the screen [px], shape (V, 2) float64.
        faces: Shape (F, 3) int64.
        lit: Colours at the vertices, 0 to 255, shape (V, 3) float32.
        alpha: Opacity.
    """
    height, width = face_of.shape
    keep = np.float32(1 - alpha)
    last, along_1, along_2, down_1, down_2 = -1, 0.0, 0.0, 0.0, 0.0
    x0, y0 = 0.0, 0.0
    a, b, c = 0, 0, 0
    for y in range(height):
        for x in range(width):
            face = face_of[y, x]
            if face < 0:
                continue
            if face != last:
                last = face
                a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
                x0, y0 = points[a, 0], points[a, 1]
                x1, y1 = points[b, 0] - x0, points[b, 1] - y0
                x2, y2 = points[c, 0] - x0, points[c, 1] - y0
                area = x1 * y2 - x2 * y1
                along_1, down_1 = y2 / area, -x2 / area
                along_2, down_2 = -y1 / area, x1 / area
            second = np.float32(along_1 * (x - x0) + down_1 * (y - y0))
            third = np.float32(along_2 * (x - x0) + down_2 * (y - y0))
            first = np.float32(1) - second - third
            for channel in range(3):
                value = first * lit[a, channel] + second * lit[b, channel] + third * lit[c, channel]
                mixed = keep * image[y, x, channel] + np.float32(alpha) * value + np.float32(0.5)
                image[y, x, channel] = np.uint8(min(max(mixed, np.float32(0)), np.float32(255)))
