"""Skeletons, labels and contact sheets. Pictures are RGB uint8, shape (H, W, 3); functions return new ones."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mviper.files import atomic_path
from mviper.structures import KEYPOINTS, SMPL_JOINTS, SMPL_PARENTS

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

#: RGB of the left side, the right side and the midline (distinct for colour-blind readers too).
SIDE_COLOURS = {"left": (255, 150, 60), "right": (70, 160, 255), "middle": (235, 235, 235)}
_SHEET_BACKGROUND = (24, 26, 30)
#: cv2 takes coordinates as integers with this many fractional bits.
_SHIFT = 4


def draw_skeleton(
    image: np.ndarray,
    points: np.ndarray,
    visible: np.ndarray | None = None,
    names: Sequence[str] = KEYPOINTS,
    *,
    size: float | None = None,
    in_place: bool = False,
) -> np.ndarray:
    """Draws joints and the bones between SMPL's joints: filled if visible, hollow (with thin bones) if not.

    Args:
        image: The picture.
        points: Pixels, shape (J, 2); joints with NaN are omitted.
        visible: chi of eq. 7, shape (J,); None: all visible.
        names: The joints' names, as in :data:`mviper.structures.KEYPOINTS` or its first J; bones connect those of
            SMPL's 24 that are present, other joints are small dots.
        size: Radius of a joint [px]; None: in proportion to the picture.
        in_place: Draw on ``image`` itself instead of on a copy.
    """
    points = np.asarray(points, np.float64)
    names = tuple(names)[: len(points)]
    visible = np.ones(len(points), bool) if visible is None else np.asarray(visible) > 0.5
    size = max(1.5, min(image.shape[:2]) / 130) if size is None else size
    result = image if in_place else np.ascontiguousarray(image).copy()
    index = {name: j for j, name in enumerate(names) if np.isfinite(points[j]).all()}

    def fixed(point: np.ndarray) -> tuple[int, int]:
        # cv2 counts from pixel centres, as MVIPER does.
        x, y = np.clip(np.round(point * 2**_SHIFT), -(2**28), 2**28)
        return int(x), int(y)

    for child, parent in enumerate(SMPL_PARENTS):
        a, b = index.get(SMPL_JOINTS[child]), index.get(SMPL_JOINTS[parent]) if parent >= 0 else None
        if a is None or b is None:
            continue
        thickness = max(1, round(size * (0.9 if visible[a] and visible[b] else 0.4)))
        cv2.line(result, fixed(points[b]), fixed(points[a]), _side_colour(names[a]), thickness, cv2.LINE_AA, _SHIFT)
    for name, j in index.items():
        radius = round(size * (1.0 if name in SMPL_JOINTS else 0.6) * 2**_SHIFT)
        if visible[j]:
            cv2.circle(result, fixed(points[j]), radius, _side_colour(name), cv2.FILLED, cv2.LINE_AA, _SHIFT)
            cv2.circle(result, fixed(points[j]), radius, (20, 20, 20), 1, cv2.LINE_AA, _SHIFT)
        else:
            cv2.circle(result, fixed(points[j]), radius, _side_colour(name), 1, cv2.LINE_AA, _SHIFT)
    return result


def _side_colour(name: str) -> tuple[int, int, int]:
    return SIDE_COLOURS.get(name.split("_")[0], SIDE_COLOURS["middle"])


@functools.cache
def _font(size: int) -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def draw_label(image: np.ndarray, text: str, *, size: int | None = None) -> np.ndarray:
    """Writes a line of text on a dark strip in the top left corner.

    Args:
        image: The picture.
        text: The label.
        size: Height of the letters [px]; None: in proportion to the picture.
    """
    from PIL import Image, ImageDraw

    size = max(10, min(image.shape[:2]) // 22) if size is None else size
    font, pad = _font(size), max(3, size // 3)
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture, "RGBA")
    left, top, right, bottom = draw.textbbox((pad, pad), text, font=font)
    draw.rectangle((left - pad, top - pad, right + pad, bottom + pad), fill=(15, 17, 20, 170))
    draw.text((pad, pad), text, font=font, fill=(245, 245, 245, 255))
    return np.array(picture)


def enlarge(image: np.ndarray, factor: float) -> np.ndarray:
    """Resizes a picture; :func:`enlarge_points` maps its points to the new one."""
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA)


def enlarge_points(points: np.ndarray, factor: float) -> np.ndarray:
    """Pixels (..., 2) after :func:`enlarge`: pixel CENTRES are whole numbers, so corners scale, not centres."""
    return (np.asarray(points) + 0.5) * factor - 0.5


def turned(image: np.ndarray, angle: float) -> np.ndarray:
    """Rotates a square picture about its centre; uncovered areas are black.

    Args:
        image: (S, S, 3) uint8.
        angle: [rad]; a positive angle rotates right towards down.

    Returns:
        (S, S, 3) uint8; the same picture if the angle is 0.
    """
    if not angle:
        return image
    centre = ((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, -math.degrees(angle), 1.0)  # OpenCV rotates counter-clockwise
    return cv2.warpAffine(image, matrix, image.shape[1::-1])


def contact_sheet(
    images: Sequence[np.ndarray], columns: int, labels: Sequence[str] | None = None, *, gap: int = 6
) -> np.ndarray:
    """Lays pictures out in rows. Cells have the size of the largest picture; smaller ones are centred.

    Args:
        images: The pictures.
        columns: Pictures per row.
        labels: One per picture, drawn into it.
        gap: Between pictures and round the sheet [px].

    Returns:
        The sheet, ``rows * cell + (rows + 1) * gap`` high, and correspondingly wide.
    """
    if not len(images):
        raise ValueError("contact_sheet needs at least one picture")
    cell_height, cell_width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    sheet = np.full(
        (rows * cell_height + (rows + 1) * gap, columns * cell_width + (columns + 1) * gap, 3),
        _SHEET_BACKGROUND,
        np.uint8,
    )
    for i, image in enumerate(images):
        if labels is not None:
            image = draw_label(image, labels[i])
        row, column = divmod(i, columns)
        top = gap + row * (cell_height + gap) + (cell_height - image.shape[0]) // 2
        left = gap + column * (cell_width + gap) + (cell_width - image.shape[1]) // 2
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def side_by_side(images: Sequence[np.ndarray], labels: Sequence[str] | None = None, *, gap: int = 6) -> np.ndarray:
    """Puts pictures side by side, all scaled to the height of the tallest, without a border."""
    height = max(image.shape[0] for image in images)
    images = [image if image.shape[0] == height else enlarge(image, height / image.shape[0]) for image in images]
    if labels is not None:
        images = [draw_label(image, label) for image, label in zip(images, labels, strict=True)]
    strip = np.full((height, gap, 3), _SHEET_BACKGROUND, np.uint8)
    return np.concatenate([part for image in images for part in (image, strip)][:-1], axis=1)


def save_image(path: Path, image: np.ndarray) -> None:
    """Writes an RGB picture atomically, in the format given by the file extension."""
    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise OSError(f"cv2 cannot write {temporary}")
