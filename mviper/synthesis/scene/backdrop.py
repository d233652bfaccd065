"""How cameras see a background: which part of its picture stands in which direction. Plain geometry, no ``bpy``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mviper.structures import Camera


@dataclass
class Backdrop:
    """How the eye sees the background's picture: by the compass bearing and elevation of a ray.

    Attributes:
        image: Linear RGB, float32 (H, W, 3), top row first.
        magnification: Angles in the picture by angles in space; for photographs shorter sides by radian.
        seam: Compass bearing that no camera sees, where the picture need not join up [rad].
        yaw: Panorama: its bearing at the seam [rad].
        pitch: Panorama: its elevation at the horizon [rad].
        photo: Whether it is a photograph rather than a panorama.
        roll: Photograph: its rotation [rad].
        middle: Photograph: place in it, in units of its own sides from the lower left, of the middles.
        middles: Photograph: compass bearing and elevation of the cameras' views [rad], shape (C, 2); each part of the
            surroundings shows the photograph as the nearest of them sees it.
    """

    image: np.ndarray
    magnification: float
    seam: float
    yaw: float = 0.0
    pitch: float = 0.0
    photo: bool = False
    roll: float = 0.0
    middle: tuple[float, float] = (0.5, 0.5)
    middles: tuple[tuple[float, float], ...] = ()


def place_backdrop(background: dict, cameras: Sequence[Camera]) -> Backdrop:
    """Scales a background to what the cameras see.

    Args:
        background: As a background sampler's ``load`` gives it.
        cameras: All that will look at it.
    """
    view_angle = 2 * float(np.arctan(max(camera.width / 2 / camera.K[0, 0] for camera in cameras)))
    forward = np.concatenate([camera.R[:, 2] for camera in cameras])
    bearings = np.sort(np.arctan2(forward[:, 0], forward[:, 1]) % (2 * np.pi))
    gaps = np.diff(bearings, append=bearings[0] + 2 * np.pi)
    widest = int(gaps.argmax())
    seam = float((bearings[widest] + gaps[widest] / 2) % (2 * np.pi))
    all_round = gaps[widest] < 1.2 * view_angle
    image = background["visible_image"]
    if background["kind"] == "photo":
        return _place_photo(background, cameras, image, view_angle, seam, all_round)
    magnification = max(1.0, background["visible"] / view_angle)
    if all_round:  # a whole number of turns joins up anywhere
        magnification = float(round(magnification))
    return Backdrop(image, magnification, seam, background["visible_yaw"], background["pitch"])


def _place_photo(
    background: dict, cameras: Sequence[Camera], image: np.ndarray, view_angle: float, seam: float, all_round: bool
) -> Backdrop:
    height, width = background["visible_image"].shape[:2]
    shorter, roll = min(height, width), background["roll"]
    middles, spans = [], []
    for camera in cameras:
        x, y, z = camera.R[:, 2].T
        bearing = np.unwrap(np.arctan2(x, y))
        elevation = np.arcsin(z.clip(-1, 1))
        middles.append(((bearing.min() + bearing.max()) / 2, (elevation.min() + elevation.max()) / 2))
        spans.append(max(np.ptp(bearing), np.ptp(elevation)))
    # The share is what is seen over the whole clip, unless that would blow its pixels up too far.
    span = 0.0 if all_round else max(spans)
    magnification = background["share"] / (view_angle + span)
    magnification = max(magnification, min(1.0, background["min_pixels"] / shorter) / view_angle)
    if not all_round:
        seen = magnification * (view_angle + span) * (abs(np.cos(roll)) + abs(np.sin(roll)))
        room = [max(0.0, 1 - seen * shorter / side) / 2 for side in (width, height)]
        middle = tuple(0.5 + free * place for free, place in zip(room, background["place"]))
        return Backdrop(image, magnification, seam, photo=True, roll=roll, middle=middle, middles=tuple(middles))
    # The cameras see all round: the photograph and its mirror images repeat every two sides. The nearest scale and
    # roll at which one turn about the scene leads from a copy to a copy leave no seam.
    sides = 2 * np.array([width, height]) / shorter
    turn = 2 * np.pi * magnification * np.array([np.cos(roll), np.sin(roll)])
    copies = np.round(turn / sides)
    if not copies.any():
        copies[0] = 1
    along, across = copies * sides
    return Backdrop(
        image, float(np.hypot(along, across) / (2 * np.pi)), seam, photo=True, roll=float(np.arctan2(across, along)),
        middles=((seam + np.pi, 0.0),),
    )  # fmt: skip


def backdrop_places(directions: np.ndarray, backdrop: Backdrop) -> np.ndarray:
    """Where in the background's picture directions look.

    Of a panorama, a ray with compass bearing a and elevation e sees the bearing ``yaw + m (a - seam)`` and elevation
    ``pitch + m e``: what stands behind the person fills the frame, moves with the camera's turn, and each camera sees
    another part. At the seam the picture does not join unless m is whole.

    Args:
        directions: Unit vectors in the world, shape (..., 3).
        backdrop: From :func:`place_backdrop`.

    Returns:
        Shares of the picture's width and height from its upper left corner, shape (..., 2). A panorama repeats to the
        sides, a photograph goes on mirrored.
    """
    bearing = np.arctan2(directions[..., 0], directions[..., 1])  # clockwise from north
    elevation = np.arcsin(directions[..., 2].clip(-1, 1))
    if not backdrop.photo:
        past_seam = backdrop.seam + (bearing - backdrop.seam) % (2 * np.pi)
        u = (backdrop.yaw + backdrop.magnification * (past_seam - backdrop.seam)) / (2 * np.pi)
        v = (backdrop.pitch + backdrop.magnification * elevation).clip(-1.5, 1.5) / np.pi + 0.5
        return np.stack([u, 1 - v], -1)
    gaps = np.stack([(bearing - middle + np.pi) % (2 * np.pi) - np.pi for middle, _ in backdrop.middles], -1)
    nearest = np.abs(gaps).argmin(-1)
    aside = np.take_along_axis(gaps, nearest[..., None], -1)[..., 0]
    above = elevation - np.array([middle for _, middle in backdrop.middles])[nearest]
    height, width = backdrop.image.shape[:2]
    scale = backdrop.magnification * min(width, height)
    cos, sin = np.cos(backdrop.roll), np.sin(backdrop.roll)
    u = backdrop.middle[0] + scale / width * (aside * cos + above * sin)
    v = backdrop.middle[1] + scale / height * (above * cos - aside * sin)
    return np.stack([u, 1 - v], -1)
