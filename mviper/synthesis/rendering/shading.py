"""The z-buffer renderer, compiled by numba: light at the vertices, shadows, and visibility of each sample.

Light is computed at the vertices, once per frame for all cameras: the surroundings as spherical harmonics, dimmed by
surfaces overhead; each lamp through a shadow map with soft edges. The floor is the background, darkened by the lamps'
shadows and by surfaces close above it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numba
import numpy as np

from mviper.graphics import fill_triangles, vertex_normals
from mviper.structures import Camera
from mviper.synthesis.scene import Backdrop, Material, Scene, SceneMesh, backdrop_places, place_backdrop, seen_on_ground

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
#: Side of a lamp's shadow map [px].
_MAP_SIDE = 192
#: Shadow bias: surfaces closer than this behind an occluder are not shaded [m].
_BIAS = 0.02
#: Side of a cell of the floor's shadow grid [m], and the grid's margin round the person [m].
_CELL, _REACH = 0.05, 3.0
#: Occlusion from overhead: side of a cell, and radius within which it dims the light from the surroundings [m].
_SKY_CELL, _SKY_RADIUS = 0.02, 0.12
#: Radius within which a part of the body darkens the floor [m].
_CONTACT_RADIUS = 0.6
#: Pixels between the directions in which the background is looked up, with interpolation between them.
_STRIDE = 8
#: Sine of the depression below which the ground is looked up in a top view, and that view's extent, in heights above
#: the ground.
_STEEP, _BELOW = 0.4, 2.6
#: Reflectance of cloth and skin at normal incidence.
_SPECULAR = 0.024

#: Fast-math flags of the compiler; infinities (for nothing there) keep their meaning.
_FAST = {"reassoc", "contract", "arcp", "afn", "nsz"}
#: sRGB by linear light in [0, 1].
_CODES = np.linspace(0, 1, 4096)
_CODES = np.where(_CODES <= 0.0031308, 12.92 * _CODES, 1.055 * _CODES ** (1 / 2.4) - 0.055)
_CODES = np.round(255 * _CODES).astype(np.uint8)
#: Offsets that fill the unit disc evenly (sunflower pattern), shape (12, 2).
_TAPS = np.stack(
    [
        np.sqrt((np.arange(12) + 0.5) / 12) * np.cos(np.arange(12) * math.pi * (3 - math.sqrt(5))),
        np.sqrt((np.arange(12) + 0.5) / 12) * np.sin(np.arange(12) * math.pi * (3 - math.sqrt(5))),
    ],
    -1,
)


def shaded_pictures(
    scene: Scene, cameras: Sequence[Camera], frames: Iterable[int], samples: int, shadows: bool
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Renders; arguments and yields as for :class:`RasterRenderer`."""
    surfaces = _Surfaces.of(scene)
    surroundings = _Surroundings.of(scene, cameras)
    for frame in frames:
        vertices = np.concatenate([part.mesh.vertices[frame] for part in scene.meshes]).astype(np.float64)
        normals = surfaces.normals(vertices)
        solid = surfaces.solid(vertices) if shadows else None
        lamps = [_Lamp.of(lamp, vertices, solid) for lamp in scene.lamps]
        dimmed = np.ones(len(vertices)) if solid is None else _under_sky(vertices, solid)
        light = _light(vertices, normals, lamps, surroundings.harmonics, dimmed, surfaces.shine)
        floor = _Floor.of(solid, lamps, surroundings.sky) if shadows and scene.floor else None
        for index, camera in enumerate(cameras):
            behind = surroundings.seen(camera, frame, floor)
            gloss = _gloss(camera, frame, vertices, normals, lamps, surroundings.harmonics, dimmed, surfaces)
            yield frame, index, _picture(camera, frame, samples, vertices, light, gloss, surfaces, behind)


def _picture(
    camera: Camera, frame: int, samples: int, vertices: np.ndarray, light: tuple[np.ndarray, np.ndarray],
    gloss: np.ndarray, surfaces: _Surfaces, behind: np.ndarray,
) -> np.ndarray:  # fmt: skip
    R, t, s = camera.R[frame], camera.t[frame], samples
    place = vertices @ R.T + t
    depth = np.where(place[:, 2] > 0.01, place[:, 2], np.nan)
    points = (place @ camera.K.T)[:, :2] / depth[:, None]
    points = (points + 0.5) * s - 0.5
    face_of = np.full((camera.height * s, camera.width * s), -1, np.int32)
    nearest = np.full(face_of.shape, -np.inf, np.float32)
    fill_triangles(points, 1 / depth, surfaces.faces, False, face_of, nearest)
    pixel = float(np.nanmedian(depth)) / (camera.K[0, 0] * s)  # [m]
    levels = np.clip(np.log2(np.maximum(pixel / surfaces.texel, 1e-9)), 0, None)
    return _shade(
        face_of, points, surfaces.faces, surfaces.mesh_of, surfaces.colour, *light, gloss, surfaces.uv,
        surfaces.texels, surfaces.starts[np.arange(len(levels)), np.minimum(np.rint(levels), 7).astype(int)],
        surfaces.sides[np.arange(len(levels)), np.minimum(np.rint(levels), 7).astype(int)], surfaces.emission,
        behind, s, _CODES,
    )  # fmt: skip


@dataclass
class _Surfaces:
    """All meshes of a scene as one, and their materials.

    Attributes:
        faces: Shape (F, 3).
        mesh_of: Mesh of each face, shape (F,).
        colour: Linear RGB of each vertex, shape (V, 3).
        sharpness: Blinn-Phong exponent at each vertex, shape (V,).
        shine: Reflectance at normal incidence at each vertex, shape (V,).
        uv: Texture coordinates of the faces' corners, in repeats, shape (F, 3, 2).
        texels: All textures with their mipmaps, linear RGB, shape (N, 3).
        starts: First texel of each mesh's texture by mipmap level (-1: no texture), shape (M, 8).
        sides: Height and width of each level, shape (M, 8, 2).
        texel: Side of a full-size texel on the surface [m], shape (M,).
        emission: Emission strength of each mesh, shape (M,).
    """

    faces: np.ndarray
    mesh_of: np.ndarray
    colour: np.ndarray
    sharpness: np.ndarray
    shine: np.ndarray
    uv: np.ndarray
    texels: np.ndarray
    starts: np.ndarray
    sides: np.ndarray
    texel: np.ndarray
    emission: np.ndarray

    @classmethod
    def of(cls, scene: Scene) -> _Surfaces:
        count = len(scene.meshes)
        sizes = [part.mesh.vertices.shape[1] for part in scene.meshes]
        first = np.cumsum([0, *sizes])
        faces = [part.mesh.faces + start for part, start in zip(scene.meshes, first)]
        starts, sides = np.full((count, 8), -1), np.zeros((count, 8, 2), np.int64)
        texels, texel, total = [np.zeros((1, 3), np.float32)], np.ones(count), 1
        uv, colour, sharpness, shine = [], [], [], []
        for index, (part, size) in enumerate(zip(scene.meshes, sizes)):
            material = part.material
            colour.append(_vertex_colours(material, size))
            rough, level = _vertex_surface(part, size)
            sharpness.append(2 / np.maximum(rough, 0.1) ** 4 - 2)
            shine.append(_SPECULAR * level / 0.3)
            has_texture = material.image is not None and part.mesh.uv is not None
            uv.append(part.mesh.uv / material.metres if has_texture else np.zeros((len(part.mesh.faces), 3, 2)))
            if not has_texture:
                continue
            image = _linear(material.image.astype(np.float32) / 255)
            texel[index] = _texel(part, image.shape)
            for level in range(8):
                starts[index, level], sides[index, level] = total, image.shape[:2]
                texels.append(image.reshape(-1, 3))
                total += image.shape[0] * image.shape[1]
                smaller = (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2))
                image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        return cls(
            np.ascontiguousarray(np.concatenate(faces), np.int64),
            np.repeat(np.arange(count), [len(part) for part in faces]),
            np.concatenate(colour), np.concatenate(sharpness), np.concatenate(shine),
            np.concatenate(uv).astype(np.float64),
            np.concatenate(texels).astype(np.float32), starts, sides, texel,
            np.array([part.material.emission for part in scene.meshes], float),
        )  # fmt: skip

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Vertex normals, shape (V, 3)."""
        return vertex_normals(vertices, self.faces).astype(np.float64)

    def solid(self, vertices: np.ndarray) -> np.ndarray:
        """Points on the surface, dense enough for shadow maps, shape (V + F, 3): much faster than faces."""
        return _with_middles(vertices, self.faces)


def _vertex_surface(part: SceneMesh, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Roughness and specular level at a mesh's vertices, (V,) each."""
    material = part.material
    if material.surface is None:
        return np.full(count, material.roughness), np.full(count, 0.3)
    rows, columns = material.surface.shape[:2]
    u, v = np.moveaxis(part.mesh.uv / material.metres, -1, 0)
    row, column = (((1 - v) * rows).astype(int) % rows, (u * columns).astype(int) % columns)
    result = np.full((count, 2), 128, np.uint8)
    result[part.mesh.faces] = material.surface[row, column, :2]
    return result[:, 0] / 255, result[:, 1] / 255


def _texel(part: SceneMesh, shape: tuple[int, ...]) -> float:
    """Mean side of a texel of a mesh's texture on the surface, in the first frame [m]."""
    corners, uv = part.mesh.vertices[0][part.mesh.faces].astype(float), part.mesh.uv / part.material.metres
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    across, along = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    texels = np.abs(across[:, 0] * along[:, 1] - across[:, 1] * along[:, 0]).sum() * shape[0] * shape[1]
    return float(np.sqrt(area / max(texels, 1e-9)))


def _linear(colour: np.ndarray) -> np.ndarray:
    colour = np.asarray(colour)
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def _vertex_colours(material: Material, count: int) -> np.ndarray:
    """A material's colour at each of its mesh's vertices, with its spots and regions, linear RGB (V, 3)."""
    colours = np.tile(_linear(np.asarray(material.colour, float)), (count, 1))
    for spot in material.spots:
        radius = np.linalg.norm((material.rest - spot.centre) / spot.radii, axis=1)
        share = spot.strength * np.clip((1 - radius) / spot.softness, 0, 1)
        colours += share[:, None] * (_linear(np.asarray(spot.colour, float)) - colours)
    for region in material.regions:
        colours[region.value > 0] = _linear(np.asarray(region.colour, float))
    return colours


# --- surroundings ----------------------------------------------------------------------------------------------------


@dataclass
class _Surroundings:
    """Light from the surroundings, and the background behind the person.

    Attributes:
        harmonics: Light reflected by a white surface as a function of its normal, as coefficients of the nine
            polynomials of :func:`_harmonics`, shape (9, 3).
        sky: Luminance of a white floor in this light.
        backdrop: How cameras see the background; None: black.
        picture: Its picture, downscaled to about the cameras' resolution, linear float32 (H, W, 3).
        below: Top view of a panorama's ground, as a plane under it, shape (S, S, 3); see :func:`_below_place`.
    """

    harmonics: np.ndarray
    sky: float
    backdrop: Backdrop | None
    picture: np.ndarray | None
    below: np.ndarray | None = None

    @classmethod
    def of(cls, scene: Scene, cameras: Sequence[Camera]) -> _Surroundings:
        background = scene.background
        if background is None:
            return cls(np.zeros((9, 3)), 0.0, None, None)
        harmonics = _irradiance(background["light_image"], background["light_yaw"])
        sky = float(_harmonics(np.array([[0.0, 0.0, 1.0]]))[0] @ harmonics @ _LUMINANCE)
        backdrop = place_backdrop(scene, cameras)
        picture = backdrop.image
        # Source pixels per camera pixel: without downscaling, pixels skipped in between would flicker.
        spread = backdrop.magnification / max(camera.K[0, 0] for camera in cameras)  # per pixel, in the picture's units
        in_one = spread * (min(picture.shape[:2]) if backdrop.photo else picture.shape[1] / (2 * np.pi))
        if in_one > 1:
            size = [max(1, round(side / in_one)) for side in picture.shape[1::-1]]
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        picture = np.ascontiguousarray(picture, np.float32)
        below = None
        if not backdrop.photo and backdrop.magnification == 1:
            side = picture.shape[1]
            cells = np.linspace(-_BELOW, _BELOW, side)
            rays = np.stack([*np.meshgrid(cells, cells), np.full((side, side), -1.0)], -1)
            places = backdrop_places(rays / np.linalg.norm(rays, axis=-1, keepdims=True), backdrop)
            places = (places * picture.shape[1::-1] - 0.5).astype(np.float32)
            below = cv2.remap(picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return cls(harmonics, max(sky, 0.0), backdrop, picture, below)

    def seen(self, camera: Camera, frame: int, floor: _Floor | None) -> np.ndarray:
        """The view without the person, linear float32 (H, W, 3)."""
        if self.backdrop is None:
            return np.zeros((camera.height, camera.width, 3), np.float32)
        R, t, K = camera.R[frame], camera.t[frame], camera.K
        x, y = (np.append(np.arange(0, side - 1, _STRIDE), side - 1) for side in (camera.width, camera.height))
        rays = np.stack([*np.meshgrid((x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1]), np.ones((len(y), len(x)))], -1)
        eye = -R.T @ t
        rays = seen_on_ground((rays / np.linalg.norm(rays, axis=-1, keepdims=True)) @ R, eye, self.backdrop)
        places = backdrop_places(rays, self.backdrop)
        if not self.backdrop.photo:  # panoramas repeat at each integer
            places[..., 0] -= np.round(places[..., 0] - places[len(y) // 2, len(x) // 2, 0])
        sides = np.array(self.picture.shape[1::-1])
        places = _between(places * sides - 0.5, x, y)
        border = cv2.BORDER_REFLECT if self.backdrop.photo else cv2.BORDER_WRAP
        picture = cv2.remap(self.picture, places, None, cv2.INTER_LINEAR, borderMode=border)
        if self.below is not None and rays[..., 2].min() < -_STEEP:
            # Towards the nadir bearings crowd together; a top view of the ground avoids them.
            flat = rays[..., :2] / np.maximum(-rays[..., 2:], 0.25)
            steep = _between(np.concatenate([_below_place(flat, len(self.below)), rays[..., 2:]], -1), x, y)
            ground = cv2.remap(self.below, np.ascontiguousarray(steep[..., :2]), None, cv2.INTER_LINEAR)
            picture = np.where(steep[..., 2:] < -_STEEP, ground, picture)
        if floor is not None:
            _darken(picture, eye, np.ascontiguousarray(R.T @ np.linalg.inv(K)), floor.corner, floor.share)
        return picture


def _below_place(flat: np.ndarray, side: int) -> np.ndarray:
    """Pixels in the top view of the ground by position on it, in heights above it, shape (..., 2)."""
    return (flat / _BELOW + 1) / 2 * (side - 1)


def _between(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values at a grid of pixels, linearly interpolated to all pixels, float32 (H, W, C)."""
    all_x, all_y = np.arange(x[-1] + 1), np.arange(y[-1] + 1)
    column = np.interp(all_x, x, np.arange(len(x))).astype(np.float32)
    row = np.interp(all_y, y, np.arange(len(y))).astype(np.float32)
    where = np.meshgrid(column, row)
    return cv2.remap(values.astype(np.float32), *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _harmonics(normals: np.ndarray) -> np.ndarray:
    """The nine real spherical harmonics up to order 2 without their constants: (N, 3) to (N, 9)."""
    x, y, z = np.asarray(normals).T
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, z * x, 3 * z * z - 1, x * x - y * y], -1)


def _irradiance(image: np.ndarray, yaw: float) -> np.ndarray:
    """Light that a white surface reflects under a panorama, by its normal (Ramamoorthi and Hanrahan, 2001).

    Args:
        image: Linear RGB (H, W, 3), top row first; its middle column is in direction +x, bearings decrease to the
            right.
        yaw: Its rotation about the vertical [rad].

    Returns:
        Coefficients (9, 3) of :func:`_harmonics`.
    """
    image = cv2.resize(image, (64, 32), interpolation=cv2.INTER_AREA).astype(float)
    elevation = (0.5 - (np.arange(32) + 0.5) / 32) * np.pi
    angle = -((np.arange(64) + 0.5) / 64 - 0.5) * 2 * np.pi - yaw
    angle, elevation = np.meshgrid(angle, elevation)
    flat = np.cos(elevation)
    directions = np.stack([flat * np.cos(angle), flat * np.sin(angle), np.sin(elevation)], -1).reshape(-1, 3)
    solid = (flat * (np.pi / 32) * (2 * np.pi / 64)).ravel()
    norms = np.array([1 / (4 * np.pi), *[3 / (4 * np.pi)] * 3, *[15 / (4 * np.pi)] * 3, 5 / (16 * np.pi),
                      15 / (16 * np.pi)])  # fmt: skip
    cosine = np.array([1.0, *[2 / 3] * 3, *[1 / 4] * 5])
    basis = _harmonics(directions)
    return (norms * cosine)[:, None] * np.einsum("nk,n,nc->kc", basis, solid, image.reshape(-1, 3))


# --- lamps and shadows -----------------------------------------------------------------------------------------------


@dataclass
class _Lamp:
    """A lamp and its shadow map.

    Attributes:
        position: [m], shape (3,).
        axis: Unit vector of its direction, shape (3,).
        strength: Linear RGB reflected by a facing white surface at 1 m, shape (3,).
        R, t, focal: Its shadow map's camera.
        nearest: The shadow map, 1 / z [1/m], shape (S, S).
        around: Maximum of the map within its blur, shape (S, S).
        blur: Radius of the shadows' soft edge in the map [px].
        arriving: Linear RGB that each vertex would reflect if white and facing the lamp, shape (V, 3).
    """

    position: np.ndarray
    axis: np.ndarray
    strength: np.ndarray
    R: np.ndarray
    t: np.ndarray
    focal: float
    nearest: np.ndarray
    around: np.ndarray
    blur: float
    arriving: np.ndarray

    @classmethod
    def of(cls, lamp: dict, vertices: np.ndarray, solid: np.ndarray | None) -> _Lamp:
        position = np.asarray(lamp["position"], float)
        low, high = vertices.min(0), vertices.max(0)
        middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
        away = middle - position
        distance = max(float(np.linalg.norm(away)), 1.2 * radius)
        forward = away / np.linalg.norm(away)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= max(np.linalg.norm(right), 1e-9)
        R = np.stack([right, np.cross(forward, right), forward])
        t = -R @ position
        focal = (_MAP_SIDE / 2 - 2) / math.tan(math.asin(min(radius / distance, 0.95)))
        nearest = np.full((_MAP_SIDE, _MAP_SIDE), -np.inf, np.float32)
        if solid is not None:
            _put(solid, np.concatenate([focal * R[:2], R[2:]]), np.array([*(focal * t[:2]), t[2]]), True, nearest)
            nearest = _closed(nearest)
        aim = np.asarray(lamp["target"], float) - position
        # The penumbra half a metre behind an occluder, for a lamp of this size at this distance.
        blur = 0.5 * lamp["size"] / 2 / distance * focal / distance
        strength = np.asarray(lamp["colour"], float) * lamp["power"] / np.pi**2
        blur = max(blur, 0.7)
        around = cv2.dilate(nearest, np.ones((2 * math.ceil(blur) + 3,) * 2, np.uint8))
        made = cls(position, aim / np.linalg.norm(aim), strength, R, t, focal, nearest, around, blur, np.empty(0))
        light, share = made.light(vertices)
        made.arriving = (light * share)[:, None] * strength
        return made

    def light(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Luminance that white surfaces facing the lamp would reflect without shadows, and the unshadowed share.

        Args:
            points: Their positions [m], shape (N, 3).

        Returns:
            Relative to :attr:`strength`, shape (N,); in [0, 1], shape (N,).
        """
        return _lamp_light(
            points, self.position, self.axis, self.R, self.t, self.focal, self.nearest, self.around, self.blur, _TAPS
        )


@numba.njit(cache=True, fastmath=_FAST)
def _lamp_light(points, position, axis, R, t, focal, nearest, around, blur, taps):
    side = nearest.shape[0]
    light, share = np.zeros(len(points)), np.ones(len(points))
    for n in range(len(points)):
        dx, dy, dz = points[n, 0] - position[0], points[n, 1] - position[1], points[n, 2] - position[2]
        square = dx * dx + dy * dy + dz * dz
        facing = (dx * axis[0] + dy * axis[1] + dz * axis[2]) / math.sqrt(square)
        if facing <= 0:
            continue
        light[n] = facing / square
        z = R[2, 0] * points[n, 0] + R[2, 1] * points[n, 1] + R[2, 2] * points[n, 2] + t[2]
        if z < 0.05:
            continue
        x = (R[0, 0] * points[n, 0] + R[0, 1] * points[n, 1] + R[0, 2] * points[n, 2] + t[0]) * focal / z
        y = (R[1, 0] * points[n, 0] + R[1, 1] * points[n, 1] + R[1, 2] * points[n, 2] + t[1]) * focal / z
        x, y = x + (side - 1) / 2, y + (side - 1) / 2
        i, j = int(y + 0.5), int(x + 0.5)
        limit = 1 / max(z - _BIAS, 1e-3)
        if not (0 <= i < side and 0 <= j < side) or around[i, j] <= limit:
            continue  # no occluder near it in the map
        shaded = 0
        for k in range(len(taps)):
            i, j = int(y + blur * taps[k, 1] + 0.5), int(x + blur * taps[k, 0] + 0.5)
            if 0 <= i < side and 0 <= j < side and nearest[i, j] > limit:
                shaded += 1
        share[n] = 1 - shaded / len(taps)
    return light, share


def _light(
    vertices: np.ndarray, normals: np.ndarray, lamps: list[_Lamp], harmonics: np.ndarray, dimmed: np.ndarray,
    shine: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Light reflected by a white matt surface under a glossy one at each vertex, front and back, linear RGB (V, 3)."""
    front, back = np.empty_like(normals), np.empty_like(normals)
    _from_around(front, back, normals, dimmed, harmonics)
    for lamp in lamps:
        _add_lamp(front, back, vertices, normals, lamp.position, lamp.arriving)
    return front * (1 - shine[:, None]), back


@numba.njit(cache=True, fastmath=_FAST)
def _even_and_odd(k, x, y, z):
    """Spherical harmonics in a direction; in the opposite one the even part is the same, the odd part negative."""
    even = k[0] + k[4] * x * y + k[5] * y * z + k[6] * z * x + k[7] * (3 * z * z - 1) + k[8] * (x * x - y * y)
    return even, k[1] * x + k[2] * y + k[3] * z


@numba.njit(cache=True, fastmath=_FAST)
def _from_around(front, back, normals, dimmed, coefficients):
    for n in range(len(normals)):
        x, y, z = normals[n, 0], normals[n, 1], normals[n, 2]
        # Surfaces that face down are lit from the ground, whatever is overhead.
        up = 0.5 + 0.5 * z
        share_front, share_back = 1 - (1 - dimmed[n]) * up, 1 - (1 - dimmed[n]) * (1 - up)
        for c in range(3):
            even, odd = _even_and_odd(coefficients[:, c], x, y, z)
            front[n, c], back[n, c] = max(even + odd, 0) * share_front, max(even - odd, 0) * share_back


@numba.njit(cache=True, fastmath=_FAST)
def _add_lamp(front, back, vertices, normals, position, arriving):
    for n in range(len(vertices)):
        dx, dy, dz = position[0] - vertices[n, 0], position[1] - vertices[n, 1], position[2] - vertices[n, 2]
        cosine = (dx * normals[n, 0] + dy * normals[n, 1] + dz * normals[n, 2]) / math.sqrt(dx * dx + dy * dy + dz * dz)
        for c in range(3):
            if cosine > 0:
                front[n, c] += cosine * arriving[n, c]
            else:
                back[n, c] -= cosine * arriving[n, c]


def _gloss(
    camera: Camera, frame: int, vertices: np.ndarray, normals: np.ndarray, lamps: list[_Lamp], harmonics: np.ndarray,
    dimmed: np.ndarray, surfaces: _Surfaces,
) -> np.ndarray:  # fmt: skip
    """What each vertex reflects of lamps and surroundings towards a camera like a rough mirror, linear RGB (V, 3)."""
    gloss, eye = np.zeros((len(vertices), 3)), -camera.R[frame].T @ camera.t[frame]
    _add_mirrored(gloss, vertices, normals, eye, harmonics, dimmed, surfaces.sharpness, surfaces.shine)
    for lamp in lamps:
        _add_gloss(gloss, vertices, normals, eye, lamp.position, lamp.arriving, surfaces.sharpness, surfaces.shine)
    return gloss


@numba.njit(cache=True, fastmath=_FAST)
def _add_mirrored(gloss, vertices, normals, eye, coefficients, dimmed, sharpness, shine):
    """Adds the surroundings' reflection at each vertex, by Schlick's approximation; rough surfaces mask grazing light.

    The surroundings are as blurred as a matt surface sees them, more than a surface of medium roughness would.
    """
    for n in range(len(vertices)):
        ex, ey, ez = eye[0] - vertices[n, 0], eye[1] - vertices[n, 1], eye[2] - vertices[n, 2]
        away = math.sqrt(ex * ex + ey * ey + ez * ez)
        cosine = (ex * normals[n, 0] + ey * normals[n, 1] + ez * normals[n, 2]) / away
        if cosine <= 0:
            continue
        x = 2 * cosine * normals[n, 0] - ex / away
        y = 2 * cosine * normals[n, 1] - ey / away
        z = 2 * cosine * normals[n, 2] - ez / away
        smooth = 1 - (2 / (sharpness[n] + 2)) ** 0.25
        share = dimmed[n] * (shine[n] + max(0.4 * smooth - shine[n], 0.0) * (1 - cosine) ** 5)
        for c in range(3):
            even, odd = _even_and_odd(coefficients[:, c], x, y, z)
            gloss[n, c] += share * max(even + odd, 0)


@numba.njit(cache=True, fastmath=_FAST)
def _add_gloss(gloss, vertices, normals, eye, position, arriving, sharpness, shine):
    """Adds a lamp's specular reflection at each vertex (normalised Blinn-Phong model)."""
    for n in range(len(vertices)):
        if arriving[n, 1] <= 0 or sharpness[n] < 1:
            continue
        lx, ly, lz = position[0] - vertices[n, 0], position[1] - vertices[n, 1], position[2] - vertices[n, 2]
        ex, ey, ez = eye[0] - vertices[n, 0], eye[1] - vertices[n, 1], eye[2] - vertices[n, 2]
        a, b = math.sqrt(lx * lx + ly * ly + lz * lz), math.sqrt(ex * ex + ey * ey + ez * ez)
        hx, hy, hz = lx / a + ex / b, ly / a + ey / b, lz / a + ez / b
        length = math.sqrt(hx * hx + hy * hy + hz * hz)
        cosine = (hx * normals[n, 0] + hy * normals[n, 1] + hz * normals[n, 2]) / max(length, 1e-9)
        if cosine > 0.6 and lx * normals[n, 0] + ly * normals[n, 1] + lz * normals[n, 2] > 0:
            lobe = shine[n] * (sharpness[n] + 2) / 8 * cosine ** sharpness[n]
            for c in range(3):
                gloss[n, c] += lobe * arriving[n, c]


def _closed(nearest: np.ndarray) -> np.ndarray:
    """Closes the gaps between a map's points."""
    return cv2.morphologyEx(nearest, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))


@numba.njit(cache=True, fastmath=_FAST)
def _put(points, turn, shift, is_perspective, nearest):
    """Draws points on a map that keeps the nearest for each pixel; its centre is where ``turn x + shift`` is 0."""
    middle_x, middle_y = (nearest.shape[1] - 1) / 2, (nearest.shape[0] - 1) / 2
    for n in range(len(points)):
        a, b, c = points[n, 0], points[n, 1], points[n, 2]
        x = turn[0, 0] * a + turn[0, 1] * b + turn[0, 2] * c + shift[0]
        y = turn[1, 0] * a + turn[1, 1] * b + turn[1, 2] * c + shift[1]
        z = turn[2, 0] * a + turn[2, 1] * b + turn[2, 2] * c + shift[2]
        if is_perspective:
            if z < 0.05:
                continue
            z = 1 / z
            x, y = x * z, y * z
        i, j = int(y + middle_y + 0.5), int(x + middle_x + 0.5)
        if 0 <= i < nearest.shape[0] and 0 <= j < nearest.shape[1] and z > nearest[i, j]:
            nearest[i, j] = z


@numba.njit(cache=True, fastmath=_FAST)
def _with_middles(vertices, faces):
    """Vertices (V, 3) and centres of faces (F, 3)."""
    result = np.empty((len(vertices) + len(faces), 3))
    result[: len(vertices)] = vertices
    for n in range(len(faces)):
        for c in range(3):
            total = vertices[faces[n, 0], c] + vertices[faces[n, 1], c] + vertices[faces[n, 2], c]
            result[len(vertices) + n, c] = total / 3
    return result


def _map_from(solid: np.ndarray, low: np.ndarray, cell: float, size: np.ndarray, sign: float) -> np.ndarray:
    """Heights of the highest (sign 1) or negative heights of the lowest (sign -1) points over a grid of the floor."""
    nearest = np.full((size[1], size[0]), -np.inf, np.float32)
    middle = low + cell * (size - 1) / 2
    _put(solid, np.diag([1 / cell, 1 / cell, sign]), np.array([*(-middle / cell), 0.0]), False, nearest)
    return nearest


def _under_sky(vertices: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Share of the sky overhead that each vertex sees, in [0, 1], shape (V,)."""
    low = solid[:, :2].min(0) - _SKY_RADIUS
    size = np.ceil((solid[:, :2].max(0) + _SKY_RADIUS - low) / _SKY_CELL).astype(int) + 1
    highest = _closed(_map_from(solid, low, _SKY_CELL, size, 1.0))
    points = (vertices[:, :2] - low) / _SKY_CELL
    return _open_above(points, np.ascontiguousarray(vertices[:, 2]), highest, _SKY_RADIUS / _SKY_CELL, _TAPS)


@numba.njit(cache=True, fastmath=_FAST)
def _open_above(points, heights, highest, radius, taps):
    result = np.ones(len(points))
    for n in range(len(points)):
        covered = 0
        for k in range(len(taps)):
            i, j = int(points[n, 1] + radius * taps[k, 1] + 0.5), int(points[n, 0] + radius * taps[k, 0] + 0.5)
            if 0 <= i < highest.shape[0] and 0 <= j < highest.shape[1] and highest[i, j] > heights[n] + 2 * _BIAS:
                covered += 1
        result[n] = 1 - 0.75 * covered / len(taps)
    return result


# --- the floor -------------------------------------------------------------------------------------------------------


@dataclass
class _Floor:
    """Shadows on the floor.

    Attributes:
        corner: Centre of the grid's first cell [m], shape (2,).
        share: Remaining share of the light in each cell, in [0, 1], shape (Y, X).
    """

    corner: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, solid: np.ndarray, lamps: list[_Lamp], sky: float) -> _Floor:
        low, high = solid[:, :2].min(0) - _REACH, solid[:, :2].max(0) + _REACH
        size = np.ceil((high - low) / _CELL).astype(int) + 1
        x, y = (low[k] + _CELL * np.arange(size[k]) for k in (0, 1))
        cells = np.stack([*np.meshgrid(x, y), np.zeros((size[1], size[0]))], -1).reshape(-1, 3)
        lowest = _map_from(solid, low, _CELL, size, -1.0)
        light = sky * _open_from(-lowest, _CONTACT_RADIUS / _CELL, _CELL)
        whole = np.full_like(light, sky)
        for lamp in lamps:
            gap = lamp.position - cells
            drop = np.maximum(gap[:, 2], 0) / np.linalg.norm(gap, axis=1) * (lamp.strength @ _LUMINANCE)
            arriving, seen = lamp.light(cells)
            whole += (drop * arriving).reshape(whole.shape)
            light += (drop * arriving * seen).reshape(whole.shape)
        share = cv2.GaussianBlur(light / np.maximum(whole, 1e-6), (0, 0), 0.7)
        # Towards the grid's border the floor fades into the background, which has no shadows.
        edge = np.minimum.outer(np.minimum(y - low[1], high[1] - y), np.minimum(x - low[0], high[0] - x))
        return cls(low, 1 - (1 - share) * np.clip(edge / 0.8, 0, 1))


@numba.njit(cache=True, fastmath=_FAST)
def _open_from(lowest, radius, cell):
    """Share of the sky that each cell of the floor sees past the surfaces above it.

    A horizontal patch of area A at height h, seen at distance r along the floor, blocks ``h^2 A / (pi (h^2 + r^2)^2)``
    of the light (the form factor between parallel patches).
    """
    rows, columns = lowest.shape
    reach = int(radius)
    hidden = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            if not np.isfinite(lowest[i, j]):
                continue
            height = max(lowest[i, j], 0.5 * cell)
            for k in range(max(0, i - reach), min(rows, i + reach + 1)):
                for m in range(max(0, j - reach), min(columns, j + reach + 1)):
                    square = height * height + ((k - i) ** 2 + (m - j) ** 2) * cell * cell
                    hidden[k, m] += height * height * cell * cell / (math.pi * square * square)
    return 1 - np.minimum(hidden, 0.95)


@numba.njit(cache=True, fastmath=_FAST)
def _darken(picture, eye, to_ray, corner, share):
    """Multiplies a picture of the background by the floor's share of light."""
    rows, columns = share.shape
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            dz = to_ray[2, 0] * x + to_ray[2, 1] * y + to_ray[2, 2]
            if dz >= -1e-6 or eye[2] <= 0:
                continue
            far = -eye[2] / dz
            dx = to_ray[0, 0] * x + to_ray[0, 1] * y + to_ray[0, 2]
            dy = to_ray[1, 0] * x + to_ray[1, 1] * y + to_ray[1, 2]
            u, v = (eye[0] + far * dx - corner[0]) / _CELL, (eye[1] + far * dy - corner[1]) / _CELL
            if not (0 <= u < columns - 1 and 0 <= v < rows - 1):
                continue
            i, j = int(v), int(u)
            a, b = v - i, u - j
            value = (1 - a) * ((1 - b) * share[i, j] + b * share[i, j + 1]) + a * (
                (1 - b) * share[i + 1, j] + b * share[i + 1, j + 1]
            )
            for c in range(3):
                picture[y, x, c] *= value


# --- the picture -----------------------------------------------------------------------------------------------------


@numba.njit(cache=True, fastmath=_FAST)
def _shade(
    face_of,
    points,
    faces,
    mesh_of,
    colour,
    front,
    back,
    gloss,
    uv,
    texels,
    starts,
    sides,
    emission,
    behind,
    samples,
    codes,
):
    """Composites the samples over the background, in linear light; sRGB uint8 (H, W, 3)."""
    height, width = behind.shape[:2]
    picture = np.empty((height, width, 3), np.uint8)
    total, one = np.empty(3), np.empty(3)
    weight = np.empty(3)
    for y in range(height):
        for x in range(width):
            seen = False
            for i in range(y * samples, (y + 1) * samples):
                for j in range(x * samples, (x + 1) * samples):
                    seen = seen or face_of[i, j] >= 0
            total[:] = 0
            if not seen:
                for c in range(3):
                    value = min(max(behind[y, x, c], 0.0), 1.0)
                    picture[y, x, c] = codes[int(value * (len(codes) - 1) + 0.5)]
                continue
            for sample in range(samples * samples):
                i, j = y * samples + sample // samples, x * samples + sample % samples
                face = face_of[i, j]
                if face < 0:
                    for c in range(3):
                        total[c] += behind[y, x, c]
                    continue
                p, q, r = faces[face]
                x0, y0 = points[p, 0], points[p, 1]
                x1, y1, x2, y2 = points[q, 0] - x0, points[q, 1] - y0, points[r, 0] - x0, points[r, 1] - y0
                area = x1 * y2 - x2 * y1
                weight[1] = ((j - x0) * y2 - (i - y0) * x2) / area
                weight[2] = ((i - y0) * x1 - (j - x0) * y1) / area
                weight[0] = 1 - weight[1] - weight[2]
                mesh = mesh_of[face]
                if starts[mesh] >= 0:
                    u = weight[0] * uv[face, 0, 0] + weight[1] * uv[face, 1, 0] + weight[2] * uv[face, 2, 0]
                    v = weight[0] * uv[face, 0, 1] + weight[1] * uv[face, 1, 1] + weight[2] * uv[face, 2, 1]
                    _texture(texels, starts[mesh], sides[mesh, 0], sides[mesh, 1], u, 1 - v, one)
                else:
                    for c in range(3):
                        one[c] = weight[0] * colour[p, c] + weight[1] * colour[q, c] + weight[2] * colour[r, c]
                if emission[mesh] > 0:
                    for c in range(3):
                        total[c] += emission[mesh] * one[c]
                    continue
                outside = area < 0
                light = front if outside else back
                for c in range(3):
                    lit = weight[0] * light[p, c] + weight[1] * light[q, c] + weight[2] * light[r, c]
                    total[c] += one[c] * lit
                    if outside:
                        total[c] += weight[0] * gloss[p, c] + weight[1] * gloss[q, c] + weight[2] * gloss[r, c]
            for c in range(3):
                value = min(max(total[c] / (samples * samples), 0.0), 1.0)
                picture[y, x, c] = codes[int(value * (len(codes) - 1) + 0.5)]
    return picture


@numba.njit(cache=True, fastmath=_FAST)
def _texture(texels, start, rows, columns, u, v, result):
    """A repeating texture at (u, v), bilinear."""
    x, y = u * columns - 0.5, v * rows - 0.5
    left, top = math.floor(x), math.floor(y)
    a, b = y - top, x - left
    j0, j1, i0, i1 = left % columns, (left + 1) % columns, top % rows, (top + 1) % rows
    for c in range(3):
        upper = (1 - b) * texels[start + i0 * columns + j0, c] + b * texels[start + i0 * columns + j1, c]
        lower = (1 - b) * texels[start + i1 * columns + j0, c] + b * texels[start + i1 * columns + j1, c]
        result[c] = (1 - a) * upper + a * lower
