"""How cameras see a background: maps directions to its picture. Plain geometry, no ``bpy``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mviper.structures import Camera
from mviper.synthesis.scene.scene import Scene

#: Panoramas are magnified if the drawn visible angle exceeds the view angle by at least this factor.
_LEAST_MAGNIFICATION = 1.5
#: Assumed height of a panorama's camera above the ground [m].
PANORAMA_HEIGHT = 1.6
#: Magnified panoramas are mirrored beyond this elevation: towards the poles their pixels are stretched [rad].
_STEEPEST = 1.3


@dataclass
class Backdrop:
    """How cameras see the background's picture, by the compass bearing and elevation of a ray.

    Attributes:
        image: Linear RGB, float32 (H, W, 3), top row first.
        magnification: Angle in the picture per angle in space; for photographs shorter sides per radian.
        middles: Compass bearing and elevation of the cameras' views [rad], shape (C, 2). Each part of the surroundings
            is magnified about the nearest of them by bearing, and shows a photograph as seen by that view.
        photo: Whether it is a photograph rather than a panorama.
        yaw: Panorama: its bearing in the north [rad].
        pitch: Panorama: its elevation at the horizon [rad].
        steepest: Panorama: its elevation beyond which it is mirrored [rad].
        ground: Panorama: whether the floor under the person is the panorama's own.
        stand: Centre (2,) and radius of the person's circle on the floor [m].
        roll: Photograph: its rotation [rad].
        middle: Photograph: position of the middles in it, in units of its sides from the lower left.
    """

    image: np.ndarray
    magnification: float
    middles: tuple[tuple[float, float], ...]
    photo: bool = False
    yaw: float = 0.0
    pitch: float = 0.0
    steepest: float = np.pi / 2
    ground: bool = False
    stand: tuple[np.ndarray, float] = (np.zeros(2), 0.0)
    roll: float = 0.0
    middle: tuple[float, float] = (0.5, 0.5)


def place_backdrop(scene: Scene, cameras: Sequence[Camera]) -> Backdrop:
    """Scales a scene's background to what the cameras see.

    A panorama keeps its true directions, from which its light comes, except for long lenses. These see a part of it
    magnified about the middle of their own view, so that there the light's direction matches too.

    Args:
        scene: Has a background.
        cameras: All cameras of the scene.
    """
    background, stand = scene.background, scene.ground()
    view_angle = 2 * float(np.arctan(max(camera.width / 2 / camera.K[0, 0] for camera in cameras)))
    forward = np.concatenate([camera.R[:, 2] for camera in cameras])
    bearings = np.sort(np.arctan2(forward[:, 0], forward[:, 1]) % (2 * np.pi))
    gaps = np.diff(bearings, append=bearings[0] + 2 * np.pi)
    all_round = gaps.max() < 1.2 * view_angle
    middles, spans = [], []
    for camera in cameras:
        x, y, z = camera.R[:, 2].T
        bearing, elevation = np.unwrap(np.arctan2(x, y)), np.arcsin(z.clip(-1, 1))
        middles.append(((bearing.min() + bearing.max()) / 2, (elevation.min() + elevation.max()) / 2))
        spans.append(max(np.ptp(bearing), np.ptp(elevation)))
    if all_round:
        middles = [(middles[0][0], 0.0)]
    if background["kind"] == "photo":
        return _place_photo(background, view_angle, None if all_round else max(spans), middles, stand)
    image, yaw = background["visible_image"], background["visible_yaw"]
    magnification = background["visible"] / view_angle
    if all_round:  # an integer number of repeats has no seam
        magnification = float(round(magnification))
    if magnification < _LEAST_MAGNIFICATION:
        return Backdrop(image, 1.0, tuple(middles[:1]), yaw=yaw, ground=scene.floor, stand=stand)
    return Backdrop(
        image, magnification, tuple(middles), yaw=yaw, pitch=background["pitch"], steepest=_STEEPEST, stand=stand
    )


def _place_photo(
    background: dict, view_angle: float, span: float | None, middles: list[tuple[float, float]],
    stand: tuple[np.ndarray, float],
) -> Backdrop:  # fmt: skip
    """Of a photograph; ``span``: the cameras' range of rotation [rad], ``None``: they see all round."""
    image = background["visible_image"]
    height, width = image.shape[:2]
    shorter, roll = min(height, width), background["roll"]
    # The share is the part seen over the whole clip, unless that would enlarge its pixels too much.
    magnification = background["share"] / (view_angle + (span or 0.0))
    magnification = max(magnification, min(1.0, background["min_pixels"] / shorter) / view_angle)
    if span is not None:
        seen = magnification * (view_angle + span) * (abs(np.cos(roll)) + abs(np.sin(roll)))
        room = [max(0.0, 1 - seen * shorter / side) / 2 for side in (width, height)]
        middle = tuple(0.5 + free * place for free, place in zip(room, background["place"]))
        return Backdrop(image, magnification, tuple(middles), photo=True, stand=stand, roll=roll, middle=middle)
    # The cameras see all round: the photograph and its mirror images repeat every two sides. The nearest scale and
    # roll at which one turn about the scene leads from copy to copy leave no seam.
    sides = 2 * np.array([width, height]) / shorter
    turn = 2 * np.pi * magnification * np.array([np.cos(roll), np.sin(roll)])
    copies = np.round(turn / sides)
    if not copies.any():
        copies[0] = 1
    along, across = copies * sides
    return Backdrop(
        image, float(np.hypot(along, across) / (2 * np.pi)), tuple(middles), photo=True, stand=stand,
        roll=float(np.arctan2(across, along)),
    )  # fmt: skip


def seen_on_ground(directions: np.ndarray, eye: np.ndarray, backdrop: Backdrop) -> np.ndarray:
    """Directions in which rays look into a panorama whose ground is the floor.

    Under the person is the ground under the panorama's camera, as seen from that camera's height; away from the person,
    the panorama is seen in the ray's own direction. In between the two are blended continuously.

    Args:
        directions: Unit vectors of the rays in the world, shape (..., 3).
        eye: Their origin [m], shape (3,).
        backdrop: From :func:`place_backdrop`.

    Returns:
        Unit vectors, shape (..., 3).
    """
    if not backdrop.ground or eye[2] <= 0:
        return directions
    far = eye[2] / np.maximum(-directions[..., 2:], 1e-6)
    middle, radius = backdrop.stand
    place = eye + far * directions - [*middle, PANORAMA_HEIGHT]
    inner, outer = ground_radii(radius)
    share = ((np.linalg.norm(place[..., :2], axis=-1, keepdims=True) - inner) / (outer - inner)).clip(0, 1)
    share = share * share * (3 - 2 * share)
    place /= np.linalg.norm(place, axis=-1, keepdims=True)
    mixed = np.where(directions[..., 2:] < 0, place + share * (directions - place), directions)
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def ground_radii(radius: float) -> tuple[float, float]:
    """Radius up to which the floor is all ground, and its outer radius, for the radius of the person's circle [m]."""
    return radius + 0.5, radius + 5.0


def backdrop_places(directions: np.ndarray, backdrop: Backdrop) -> np.ndarray:
    """Positions in the background's picture of directions.

    In a panorama, a ray with compass bearing a and elevation e, nearest to a view's middle (A, E), sees the bearing
    ``yaw + A + m (a - A)`` and the elevation ``pitch + E + m (e - E)``.

    Args:
        directions: Unit vectors in the world, shape (..., 3).
        backdrop: From :func:`place_backdrop`.

    Returns:
        Shares of the picture's width and height from its upper left corner, shape (..., 2). A panorama repeats
        sideways, a photograph is mirrored.
    """
    bearing = np.arctan2(directions[..., 0], directions[..., 1])  # clockwise from north
    elevation = np.arcsin(directions[..., 2].clip(-1, 1))
    middles = np.array(backdrop.middles)
    gaps = np.stack([(bearing - middle + np.pi) % (2 * np.pi) - np.pi for middle in middles[:, 0]], -1)
    nearest = np.abs(gaps).argmin(-1)
    aside = backdrop.magnification * np.take_along_axis(gaps, nearest[..., None], -1)[..., 0]
    above = backdrop.magnification * (elevation - middles[nearest, 1])
    if not backdrop.photo:
        u = (backdrop.yaw + middles[nearest, 0] + aside) / (2 * np.pi)
        height = backdrop.pitch + middles[nearest, 1] + above
        limit = backdrop.steepest
        folded = limit - np.abs((height + limit) % (4 * limit) - 2 * limit)
        return np.stack([u, 0.5 - folded / np.pi], -1)
    height, width = backdrop.image.shape[:2]
    cos, sin = np.cos(backdrop.roll), np.sin(backdrop.roll)
    u = backdrop.middle[0] + min(width, height) / width * (aside * cos + above * sin)
    v = backdrop.middle[1] + min(width, height) / height * (above * cos - aside * sin)
    return np.stack([u, 1 - v], -1)
