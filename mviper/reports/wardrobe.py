"""Pictures of clothes: dressed bodies from all sides, and flat patterns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mviper.graphics import draw_label, overlay, view
from mviper.structures import Camera, MeshSequence

if TYPE_CHECKING:
    from mviper.synthesis.garments import Pattern

#: RGB in [0, 1] of skin, and of an outfit's garments, innermost first.
SKIN_COLOUR = (0.86, 0.74, 0.65)
CLOTH_COLOURS = ((0.33, 0.47, 0.72), (0.86, 0.42, 0.35), (0.45, 0.66, 0.45), (0.75, 0.65, 0.35))

_PAPER = (238, 240, 243)
_CLOTH, _INK = (226, 222, 214), (60, 62, 66)


def dressed_views(
    body: MeshSequence,
    cloth: Sequence[MeshSequence],
    frame: int,
    heading: float = 0.0,
    *,
    views: Sequence[str] = ("front", "side", "back"),
    size: int = 256,
) -> list[np.ndarray]:
    """A dressed body from several sides, at one scale in all views of a frame, but not across frames.

    Args:
        body: In the world.
        cloth: Its garments, innermost first.
        frame: Index of the frame.
        heading: The body's heading, see :func:`mviper.motion.heading` [rad].
        views: Of ``"front"``, ``"side"`` (the body's left) and ``"back"``.
        size: Side of a picture [px].

    Returns:
        RGB pictures, one per view.
    """
    vertices, faces, colours = _dressed(body, cloth, frame)
    skin = body.vertices[frame].astype(float)
    centre = (skin.min(axis=0) + skin.max(axis=0)) / 2
    reach = np.linalg.norm(skin - centre, axis=1).max()
    ahead, left = np.array([np.sin(heading), -np.cos(heading)]), np.array([np.cos(heading), np.sin(heading)])
    sides = {"front": ahead, "side": left, "back": -ahead}
    cameras = [_camera_at(centre, sides[name], reach, size) for name in views]
    return [_drawn(vertices, faces, colours, camera) for camera in cameras]


def turning_pictures(
    body: MeshSequence, cloth: Sequence[MeshSequence], first: int, text: str, *, size: int = 384
) -> Iterator[np.ndarray]:
    """A dressed body in motion, seen from a camera that follows it at a constant distance and circles it once.

    Args:
        body: In the world.
        cloth: Its garments, innermost first.
        first: First frame shown.
        text: Written in the corner.
        size: Side of a picture [px].

    Yields:
        RGB pictures, one per frame.
    """
    skin = body.vertices[first:]
    centres = np.column_stack([skin[..., :2].mean(axis=1), np.full(len(skin), skin[..., 2].mean())]).astype(float)
    reach = np.linalg.norm(skin - centres[:, None], axis=2).max()
    for number, centre in enumerate(centres):
        angle = 2 * np.pi * number / len(centres)
        camera = _camera_at(centre, np.array([np.sin(angle), -np.cos(angle)]), reach, size)
        yield labelled(_drawn(*_dressed(body, cloth, first + number), camera), text)


def _dressed(
    body: MeshSequence, cloth: Sequence[MeshSequence], frame: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Merges body and cloth: vertices (V, 3), faces (F, 3) without non-finite ones, colours (V, 3)."""
    meshes = [body, *cloth]
    vertices = np.concatenate([mesh.vertices[frame] for mesh in meshes]).astype(float)
    starts = np.cumsum([0, *(mesh.vertices.shape[1] for mesh in meshes)])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)])
    palette = [SKIN_COLOUR, *(CLOTH_COLOURS[k % len(CLOTH_COLOURS)] for k in range(len(cloth)))]
    colours = np.concatenate([np.tile(colour, (mesh.vertices.shape[1], 1)) for colour, mesh in zip(palette, meshes)])
    usable = np.isfinite(vertices).all(axis=1)
    return vertices, faces[usable[faces].all(axis=1)], colours


def _drawn(vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, camera: Camera) -> np.ndarray:
    paper = np.full((camera.height, camera.width, 3), _PAPER, np.uint8)
    return overlay(paper, view(vertices, faces, camera), faces, colour=colours, alpha=1.0, cull=False)


def _camera_at(centre: np.ndarray, towards: np.ndarray, reach: float, size: int) -> Camera:
    """A nearly orthographic camera, level with a ball, on its side ``towards`` (2,)."""
    forward = -np.array([*towards, 0.0])
    right = np.cross(forward, [0.0, 0.0, 1.0])
    rotation = np.stack([right, [0.0, 0.0, -1.0], forward])
    distance = 12 * reach
    focal = 0.48 * size * distance / reach
    K = np.array([[focal, 0, (size - 1) / 2], [0, focal, (size - 1) / 2], [0, 0, 1]])
    return Camera(K, rotation[None], (-rotation @ centre + [0, 0, distance])[None], size, size)


def pattern_picture(pattern: Pattern, *, scale: float = 300.0, width: int = 1600, gap: int = 24) -> np.ndarray:
    """A pattern's panels laid flat, right side up: both edges of a seam in the seam's colour, hems in ink.

    Args:
        pattern: The pattern.
        scale: Pixels per metre.
        width: Maximum width of the picture; further panels go into the next row [px].
        gap: Between panels [px].

    Returns:
        RGB picture.
    """
    colours = {}
    for number, seam in enumerate(pattern.seams):
        hue = np.uint8([[[(number * 180 * 0.618) % 180, 200, 190]]])
        colours[seam.a] = colours[seam.b] = tuple(int(c) for c in cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0])
    placed, x, y, row = [], gap, gap, 0
    for panel in pattern.panels:
        curves = {edge.name: panel.curve(edge.name, 60) * [scale, -scale] for edge in panel.edges}
        every = np.concatenate(list(curves.values()))
        low, extent = every.min(axis=0), np.ptp(every, axis=0)
        if x + extent[0] + gap > width and x > gap:
            x, y, row = gap, y + row + gap, 0
        placed.append((panel.name, {name: curve - low + [x, y] for name, curve in curves.items()}))
        x, row = x + int(extent[0]) + gap, max(row, int(extent[1]))
    picture = np.full((y + row + gap, width, 3), _PAPER, np.uint8)
    for name, curves in placed:
        outline = np.concatenate(list(curves.values()))
        cv2.fillPoly(picture, [_fixed(outline)], _CLOTH, cv2.LINE_AA, 4)
        for edge, curve in curves.items():
            sewn = colours.get((name, edge))
            cv2.polylines(picture, [_fixed(curve)], False, sewn or _INK, 3 if sewn else 2, cv2.LINE_AA, 4)
        middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
        (text, _), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
        size = min(0.45, 0.85 * np.ptp(outline[:, 0]) / text)
        place = int(middle[0] - size * text / 2), int(middle[1])
        cv2.putText(picture, name, place, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
    right = max(curve[:, 0].max() for _, curves in placed for curve in curves.values())
    return picture[:, : int(right) + gap]


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels as cv2's fixed-point integers with four fractional bits."""
    return np.round(points * 16).astype(np.int32)


def labelled(picture: np.ndarray, text: str, *, width: int = 0) -> np.ndarray:
    """A picture with a line of text in its corner, padded to a width [px] with the paper's colour."""
    missing = max(0, width - picture.shape[1])
    picture = cv2.copyMakeBorder(picture, 0, 0, 0, missing, cv2.BORDER_CONSTANT, value=_PAPER)
    return draw_label(picture, text, size=14)
