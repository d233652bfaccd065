"""One phone's lens and sensor: depth of field, motion blur, defocus, gains and noise, in linear light."""

from __future__ import annotations

import math

import cv2
import numba
import numpy as np

from mviper.graphics import fill_triangles
from mviper.structures import Camera
from mviper.synthesis.scene import Scene, ground_radii

#: Linear light by sRGB code.
_LINEAR = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_LINEAR <= 0.04045, _LINEAR / 12.92, ((_LINEAR + 0.055) / 1.055) ** 2.4).astype(np.float32)
#: sRGB code, not rounded, by linear light in steps of 1 / 4095.
_CODES = np.linspace(0, 1, 4096)
_CODES = np.where(_CODES <= 0.0031308, 12.92 * _CODES, 1.055 * _CODES ** (1 / 2.4) - 0.055) * 255
#: Maximum number of motion cells along a side of the picture.
_CELLS = 128
#: Longest motion blur to either side, as a share of the picture's width.
_LONGEST = 0.08
#: Largest radius of the disc as which a point out of focus appears, as a share of the picture's width.
_WIDEST = 0.03
#: Offsets that fill the unit disc evenly (sunflower pattern), shape (64, 2).
_TAPS = np.sqrt((np.arange(64) + 0.5) / 64)[:, None] * np.stack(
    [trig(np.arange(64) * math.pi * (3 - math.sqrt(5))) for trig in (np.cos, np.sin)], -1
)
#: Excess size of the noise field over the picture, of which each frame takes another part [px].
_SPARE = 64
#: Light at which the sensor's own noise equals the light's.
_DARK = 0.02


class Phone:
    """Records one view.

    Args:
        scene: The rendered scene.
        camera: The view's camera.
        drawn: The draws of :class:`PhoneRecording` for it.
    """

    def __init__(self, scene: Scene, camera: Camera, drawn: dict) -> None:
        self.scene, self.camera, self.drawn = scene, camera, drawn
        self.stand = scene.ground()
        rng = np.random.default_rng(drawn["seed"])
        self.places = rng.integers(0, _SPARE, size=(len(scene), 2))
        self.noise = np.zeros((camera.height + _SPARE, camera.width + _SPARE, 3), np.float32)
        if drawn["noise"]:
            # A phone's own smoothing leaves noise that is correlated between pixels.
            self.noise = cv2.GaussianBlur(rng.standard_normal(self.noise.shape, np.float32), (0, 0), 0.6)
            self.noise *= drawn["noise"] / self.noise.std()

    def record(self, frame: int, picture: np.ndarray) -> np.ndarray:
        """The recorded picture, uint8 (H, W, 3)."""
        light = _expose(picture, np.array(self.drawn["gains"], np.float32), _LINEAR)
        if self.drawn.get("aperture"):
            light = self._focus(frame, light)
        if self.drawn["exposure"]:
            light = self._smear(frame, light)
        if self.drawn["defocus"]:
            light = cv2.GaussianBlur(light, (0, 0), max(self.drawn["defocus"] * self.camera.width, 0.05))
        row, column = self.places[frame]
        return _develop(light, self.noise[row:, column:], _DARK, _CODES)

    def _focus(self, frame: int, light: np.ndarray) -> np.ndarray:
        """Depth of field, with the focus on the middle of the body.

        A point at depth z appears as a disc of diameter ``aperture focal |1/z - 1/focus|`` about its place.
        """
        camera, R, t = self.camera, self.camera.R[frame], self.camera.t[frame]
        nearness = np.full(light.shape[:2], -np.inf, np.float32)  # 1 / z
        face_of = np.full(nearness.shape, -1, np.int32)
        for part in self.scene.meshes:
            place = part.mesh.vertices[frame] @ R.T + t
            z = np.where(place[:, 2] > 0.01, place[:, 2], np.nan)
            points = (place @ camera.K.T)[:, :2] / z[:, None]
            fill_triangles(points, 1 / z, part.mesh.faces.astype(np.int64), False, face_of, nearness)
        empty = face_of < 0
        nearness[empty] = self._ground(R, t)[empty] if self.scene.floor else 0
        # Pixels on an edge show both sides; they count as the nearer one, whose outline stays sharp.
        nearness = cv2.dilate(nearness, np.ones((3, 3), np.uint8))
        focus = 1 / (self.scene.meshes[0].mesh.vertices[frame].mean(0) @ R[2] + t[2])
        radius = self.drawn["aperture"] * camera.K[0, 0] / 2 * np.abs(nearness - np.float32(focus))
        return _blur(light, nearness, np.minimum(radius, np.float32(_WIDEST * camera.width)), _TAPS)

    def _ground(self, R: np.ndarray, t: np.ndarray) -> np.ndarray:
        """1 / z of the floor about the person, 0 where the background is at infinity, shape (H, W)."""
        camera, eye = self.camera, -R.T @ t
        middle, reach = self.stand
        rays = np.stack([*np.meshgrid(np.arange(camera.width), np.arange(camera.height)),
                         np.ones((camera.height, camera.width))], -1) @ np.linalg.inv(camera.K).T @ R  # fmt: skip
        z = eye[2] / np.maximum(-rays[..., 2], 1e-9)
        away = np.linalg.norm(eye[:2] + z[..., None] * rays[..., :2] - middle, axis=-1)
        return np.where(away < ground_radii(reach)[1], 1 / z, 0)

    def _smear(self, frame: int, light: np.ndarray) -> np.ndarray:
        """Motion blur."""
        before, after = max(frame - 1, 0), min(frame + 1, len(self.scene) - 1)
        if before == after:
            return light
        camera, meshes = self.camera, self.scene.meshes
        side = math.ceil(max(camera.width, camera.height) / _CELLS)
        rows, columns = math.ceil(camera.height / side), math.ceil(camera.width / side)
        times = [frame, before, after]
        half = self.drawn["exposure"] / 2 / (after - before)
        way = np.empty((rows, columns, 2), np.float32)
        nearness = np.zeros((rows, columns), np.float32)
        longest = _LONGEST * camera.width
        _turn_background(camera.K, camera.R[times], side, half, longest, way)
        moving = float(np.abs(way).max()) > 0.5
        for part in meshes:
            now, old, new = (part.mesh.vertices[time] for time in times)
            moving |= _move_points(
                now, old, new, camera.K, camera.R[times], camera.t[times], side, half, longest, way, nearness
            )
        if not moving:
            return light
        _close_gaps(way, nearness)
        return _smear(light, way, nearness, _fastest(way, math.ceil(longest / side)), side, math.ceil(longest / side))


@numba.njit(cache=True)
def _expose(picture, gains, linear):
    light = np.empty(picture.shape, np.float32)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            for c in range(3):
                light[y, x, c] = min(gains[c] * linear[picture[y, x, c]], np.float32(1))
    return light


@numba.njit(cache=True)
def _blur(light, nearness, radius, taps):
    """Averages over the discs of the points around each pixel, whose light is spread evenly over them.

    A point reaches a pixel if its disc does; one behind the pixel's own is seen only through the pixel's own disc, so
    that the background does not bleed over a sharp person.
    """
    height, width = radius.shape
    widest = radius.max()
    area = np.float32(math.pi) * widest * widest / len(taps)  # of the picture, for each tap
    result = np.empty_like(light)
    total = np.empty(3, np.float32)
    for y in range(height):
        for x in range(width):
            weight = 1 / max(np.float32(math.pi) * radius[y, x] ** 2, np.float32(1))
            for c in range(3):
                total[c] = weight * light[y, x, c]
            for k in range(len(taps)):
                across, down = widest * taps[k, 0], widest * taps[k, 1]
                i = min(max(math.floor(y + down + 0.5), 0), height - 1)
                j = min(max(math.floor(x + across + 0.5), 0), width - 1)
                reach = radius[i, j] if nearness[i, j] >= nearness[y, x] else min(radius[i, j], radius[y, x])
                if reach * reach >= across * across + down * down:
                    share = area / max(np.float32(math.pi) * radius[i, j] ** 2, np.float32(1))
                    weight += share
                    for c in range(3):
                        total[c] += share * light[i, j, c]
            for c in range(3):
                result[y, x, c] = total[c] / weight
    return result


@numba.njit(cache=True)
def _develop(light, noise, dark, codes):
    """SRGB of light with noise whose variance grows with the light, uint8 (H, W, 3)."""
    picture = np.empty(light.shape, np.uint8)
    for y in range(light.shape[0]):
        for x in range(light.shape[1]):
            for c in range(3):
                value = light[y, x, c]
                value += noise[y, x, c] * math.sqrt(value + dark)
                picture[y, x, c] = int(codes[int(min(max(value, 0.0), 1.0) * 4095 + 0.5)] + 0.5)
    return picture


@numba.njit(cache=True)
def _shortened(x, y, longest):
    length = math.sqrt(x * x + y * y)
    share = min(1.0, longest / max(length, 1e-9))
    return x * share, y * share


@numba.njit(cache=True)
def _turn_background(K, R, side, half, longest, way):
    """Half the blur length of infinitely distant points, as the camera rotates, in each cell [px]."""
    inverse = np.linalg.inv(K)
    old, new = K @ R[1] @ R[0].T @ inverse, K @ R[2] @ R[0].T @ inverse
    for i in range(way.shape[0]):
        for j in range(way.shape[1]):
            x, y = (j + 0.5) * side - 0.5, (i + 0.5) * side - 0.5
            a = old[0, 0] * x + old[0, 1] * y + old[0, 2], old[1, 0] * x + old[1, 1] * y + old[1, 2]
            b = new[0, 0] * x + new[0, 1] * y + new[0, 2], new[1, 0] * x + new[1, 1] * y + new[1, 2]
            c, d = old[2, 0] * x + old[2, 1] * y + old[2, 2], new[2, 0] * x + new[2, 1] * y + new[2, 2]
            x, y = _shortened(half * (b[0] / d - a[0] / c), half * (b[1] / d - a[1] / c), longest)
            way[i, j, 0], way[i, j, 1] = x, y


@numba.njit(cache=True)
def _move_points(now, old, new, K, R, t, side, half, longest, way, nearness):
    """Writes half the blur length of the nearest points into the cells; returns whether any is significant."""
    moving = False
    focal_x, focal_y, middle_x, middle_y = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    pixel = np.empty((3, 2))
    for n in range(len(now)):
        near = 0.0
        for k in range(3):
            point = now[n] if k == 0 else (old[n] if k == 1 else new[n])
            a, b, c = point[0], point[1], point[2]
            z = R[k, 2, 0] * a + R[k, 2, 1] * b + R[k, 2, 2] * c + t[k, 2]
            if z < 0.05:
                near = -1.0
                break
            if k == 0:
                near = 1 / z
            pixel[k, 0] = focal_x * (R[k, 0, 0] * a + R[k, 0, 1] * b + R[k, 0, 2] * c + t[k, 0]) / z + middle_x
            pixel[k, 1] = focal_y * (R[k, 1, 0] * a + R[k, 1, 1] * b + R[k, 1, 2] * c + t[k, 1]) / z + middle_y
        if near <= 0:
            continue
        i, j = math.floor((pixel[0, 1] + 0.5) / side), math.floor((pixel[0, 0] + 0.5) / side)
        if 0 <= i < way.shape[0] and 0 <= j < way.shape[1] and near > nearness[i, j]:
            nearness[i, j] = near
            x, y = _shortened(half * (pixel[2, 0] - pixel[1, 0]), half * (pixel[2, 1] - pixel[1, 1]), longest)
            way[i, j, 0], way[i, j, 1] = x, y
            moving = moving or abs(x) > 0.5 or abs(y) > 0.5
    return moving


@numba.njit(cache=True)
def _close_gaps(way, nearness):
    """Fills background cells surrounded mostly by foreground."""
    before = nearness.copy()
    for i in range(1, way.shape[0] - 1):
        for j in range(1, way.shape[1] - 1):
            if before[i, j] > 0:
                continue
            count, best, best_i, best_j = 0, np.float32(0), i, j
            for k in range(i - 1, i + 2):
                for m in range(j - 1, j + 2):
                    if before[k, m] > 0:
                        count += 1
                        if before[k, m] > best:
                            best, best_i, best_j = before[k, m], k, m
            if count >= 5:
                nearness[i, j] = best
                way[i, j, 0], way[i, j, 1] = way[best_i, best_j, 0], way[best_i, best_j, 1]


@numba.njit(cache=True)
def _fastest(way, tile):
    """The longest blur in each tile of cells and the tiles around it, (tiles, tiles, 2)."""
    rows, columns = (way.shape[0] + tile - 1) // tile, (way.shape[1] + tile - 1) // tile
    own, result = np.zeros((rows, columns, 2), np.float32), np.zeros((rows, columns, 2), np.float32)
    for i in range(way.shape[0]):
        for j in range(way.shape[1]):
            a, b = own[i // tile, j // tile], way[i, j]
            if b[0] * b[0] + b[1] * b[1] > a[0] * a[0] + a[1] * a[1]:
                a[0], a[1] = b[0], b[1]
    for i in range(rows):
        for j in range(columns):
            for k in range(max(0, i - 1), min(rows, i + 2)):
                for m in range(max(0, j - 1), min(columns, j + 2)):
                    a, b = result[i, j], own[k, m]
                    if b[0] * b[0] + b[1] * b[1] > a[0] * a[0] + a[1] * a[1]:
                        a[0], a[1] = b[0], b[1]
    return result


@numba.njit(cache=True)
def _smear(light, way, nearness, fastest, side, tile):
    """Averages over the exposure time.

    At each moment a pixel shows what has moved there with the fastest motion nearby, if that is in front of it, or else
    what has moved there with the pixel's own motion.
    """
    height, width = light.shape[:2]
    result = np.empty_like(light)
    total = np.empty(3, np.float32)
    for y in range(height):
        for x in range(width):
            i, j = y // side, x // side
            fast_x, fast_y = fastest[i // tile, j // tile, 0], fastest[i // tile, j // tile, 1]
            length = math.sqrt(fast_x * fast_x + fast_y * fast_y)
            if length < 0.5:
                for c in range(3):
                    result[y, x, c] = light[y, x, c]
                continue
            own_x, own_y = way[i, j, 0], way[i, j, 1]
            same = (own_x - fast_x) ** 2 + (own_y - fast_y) ** 2 < 0.25
            moments = min(2 * math.ceil(length) + 1, 15)
            total[:] = 0
            for k in range(moments):
                time = (2 * k + 1) / moments - 1
                row = min(max(math.floor(y - own_y * time + 0.5), 0), height - 1)
                column = min(max(math.floor(x - own_x * time + 0.5), 0), width - 1)
                if not same:
                    p = min(max(math.floor(y - fast_y * time + 0.5), 0), height - 1)
                    q = min(max(math.floor(x - fast_x * time + 0.5), 0), width - 1)
                    gap_x, gap_y = way[p // side, q // side, 0] - fast_x, way[p // side, q // side, 1] - fast_y
                    is_its = gap_x * gap_x + gap_y * gap_y < 0.25 * length * length
                    if is_its and nearness[p // side, q // side] > nearness[row // side, column // side]:
                        row, column = p, q
                for c in range(3):
                    total[c] += light[row, column, c]
            for c in range(3):
                result[y, x, c] = total[c] / moments
    return result
