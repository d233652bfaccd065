"""Drawing recovered bodies: the mesh over the video, a second view next to it, skeletons and track numbers."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mviper.errors import ConfigError
from mviper.extras import release_memory
from mviper.graphics import draw_skeleton, enlarge, enlarge_points, overlay, perspective, save_image, write_video
from mviper.inference.confidence import FAIR, SURE, Confidence
from mviper.inference.frames import IMAGE_SUFFIXES, FrameSource, ahead

#: Colours of the people, RGB in [0, 1].
COLOURS = ((0.45, 0.66, 0.95), (0.96, 0.70, 0.42), (0.55, 0.82, 0.55), (0.85, 0.60, 0.88), (0.92, 0.86, 0.45))
_PAPER = (238, 240, 243)
#: Visually equal to x264's "veryfast" at CRF 20, in a quarter less time, with files half as large again.
OVERLAY_CODING: dict[str, Any] = {"preset": "superfast", "crf": 22}
#: The bar under an overlay: heights of a person's row and of a line of text [px]; RGB of unsure, fair and sure frames,
#: of frames without the person, of the background, and of the text.
_ROW, _LINE = 18, 18
_LEVELS = ((214, 77, 66), (232, 180, 60), (84, 170, 104))
_ABSENT, _STRIP, _CURSOR = (70, 74, 80), (24, 26, 30), (240, 240, 240)
#: Number of frames after which memory is released.
_TRIMMED = 64
#: Maximum longer side of the drawn images [px]; larger videos are scaled down.
_LARGEST = 1280


def draw_frame(
    image: np.ndarray,
    people: list[tuple[int, np.ndarray]],
    faces: np.ndarray,
    intrinsics: np.ndarray,
    *,
    joints: dict[int, np.ndarray] | None = None,
    turn: float | None = 60.0,
    alpha: float = 0.85,
    below: int = 0,
) -> np.ndarray:
    """Draws people over a frame, and next to it a view rotated about the vertical.

    Args:
        image: RGB, shape (H, W, 3) uint8.
        people: Number and surface in camera axes [m], (V, 3), of each person in the frame.
        faces: Shape (F, 3).
        intrinsics: [px], shape (3, 3).
        joints: Keypoints in the image [px] per person, (44, 2), drawn as skeletons.
        turn: Angle of the second view [degrees]; None: no second view.
        alpha: Opacity of the mesh.
        below: Number of rows left empty below.

    Returns:
        The image, wider than the frame by the second view.
    """
    height, left = image.shape[:2]
    width = _side_width(image.shape, turn)
    # One canvas, drawn on in place: copies of a 720p picture would cost as much as drawing a person.
    canvas = np.empty((height + below, left + width, 3), np.uint8)
    picture, side = canvas[:height, :left], canvas[:height, left:]
    picture[...], side[...] = image, _paper(height, width)
    far_first = sorted(people, key=lambda person: -person[1][:, 2].mean())
    for number, vertices in far_first:
        mesh = perspective(vertices, faces, intrinsics)
        overlay(picture, mesh, faces, colour=_colour(number), alpha=alpha, samples=1, in_place=True)
    for number, points in (joints or {}).items():
        draw_skeleton(picture, points[:24], size=max(1.5, min(image.shape[:2]) / 220), in_place=True)
        _tag(picture, f"{number}", points[:, 0].mean(), np.nanmin(points[:, 1]))
    if turn is not None and people:
        centre = np.mean([vertices.mean(0) for _, vertices in people], axis=0)
        camera = intrinsics.copy()
        camera[0, 2] = (width - 1) / 2
        angle = np.deg2rad(turn)
        about_y = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        for number, vertices in far_first:
            turned = (vertices - centre) @ about_y.T + [0, centre[1], centre[2]]
            mesh = perspective(turned, faces, camera)
            overlay(side, mesh, faces, colour=_colour(number), alpha=1.0, samples=1, in_place=True)
    return canvas


@functools.lru_cache(maxsize=4)
def _paper(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _side_width(shape: tuple[int, ...], turn: float | None) -> int:
    """Width of the second view next to a picture [px]; 0 without one."""
    return 0 if turn is None else min(shape[1], round(0.75 * shape[0]))


def _colour(number: int) -> tuple[float, float, float]:
    return COLOURS[(number - 1) % len(COLOURS)]


def _tag(picture: np.ndarray, text: str, x: float, y: float) -> None:
    """Writes a track's number above the head."""
    size = max(0.5, min(picture.shape[:2]) / 900)
    place = int(np.clip(x, 0, picture.shape[1] - 20)), int(np.clip(y - 12 * size, 24 * size, picture.shape[0]))
    for colour, thickness in (((15, 17, 20), 4), ((245, 245, 245), 2)):
        cv2.putText(
            picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, round(thickness * size) + 1, cv2.LINE_AA
        )


@dataclass
class OverlaidPerson:
    """One person in an overlay.

    Attributes:
        number: 1, 2, ...; decides the colour.
        frames: Numbers of the video's frames with the person.
        meshes: The surface in camera axes [m], (V, 3) for each of these frames.
        keypoints: In the picture [px], shape (T, 24 or more, 2); None: no skeleton.
        confidence: Confidence of each frame; None: not shown.
    """

    number: int
    frames: range
    meshes: Iterator[np.ndarray]
    keypoints: np.ndarray | None = None
    confidence: Confidence | None = None


class ConfidenceBar:
    """A strip below a video: each person's frames in a row, coloured by expected error, and what the colours mean.

    Below the rows stand each person's expected error in this frame, and the reasons if it is large.

    Args:
        people: The people shown.
        count: Frames of the video.
        width: Of the pictures [px].
    """

    def __init__(self, people: Sequence[OverlaidPerson], count: int, width: int) -> None:
        self.people = [person for person in people if person.confidence is not None]
        self.count, self.width = max(count, 1), width
        places = np.minimum(np.arange(width) * self.count // width, self.count - 1)  # frame number per column
        rows = []
        for person in self.people:
            row = np.full((1, self.count, 3), _ABSENT, np.uint8)
            row[0, person.frames.start : person.frames.stop] = np.array(_LEVELS, np.uint8)[person.confidence.level]
            rows += [np.repeat(row[:, places], _ROW - 2, 0), np.full((2, width, 3), _STRIP, np.uint8)]
        text = np.full((_LINE * (len(self.people) + 1), width, 3), _STRIP, np.uint8)
        self._strip = np.concatenate([*rows, text])
        _write_legend(self._strip)

    @property
    def height(self) -> int:
        """Of the strip [px]; 0 if nobody is shown."""
        return len(self._strip) if self.people else 0

    def draw(self, strip: np.ndarray, frame: int) -> None:
        """Draws the strip for a frame into a picture of its size."""
        if not self.people:
            return
        strip[...], rows = self._strip, _ROW * len(self.people)
        place = min(int((frame + 0.5) * self.width / self.count), self.width - 2)
        strip[:rows, max(place - 1, 0) : place + 1] = _CURSOR
        for line, person in enumerate(self.people):
            if frame not in person.frames:
                continue
            own = frame - person.frames.start
            why = ", ".join(person.confidence.explain(own))
            error = f"{person.number}: joints about {100 * person.confidence.error[own]:.0f} cm off"
            _write(strip[: rows + _LINE * (line + 1)], f"{error} ({why})" if why else error, 6, _CURSOR)


def _write(strip: np.ndarray, text: str, left: int, colour: tuple[int, int, int]) -> int:
    """Writes in a strip's last line; returns where the next word may begin [px]."""
    font = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    cv2.putText(strip, text, (left, len(strip) - 6), *font, colour, 1, cv2.LINE_AA)
    return left + cv2.getTextSize(text, *font, 1)[0][0] + 10


def _write_legend(strip: np.ndarray) -> None:
    """Writes what the colours mean in a strip's last line, briefly if the strip is narrow."""
    sure, fair = f"{100 * SURE:.0f}", f"{100 * FAIR:.0f}"
    full = "expected error:", f"up to {sure} cm", f"up to {fair} cm", f"over {fair} cm"
    brief = "error [cm]:", f"< {sure}", f"< {fair}", f"> {fair}"
    for legend in (full, brief):
        strip[-_LINE:] = _STRIP
        across = 6
        for colour, text in zip((_CURSOR, *reversed(_LEVELS)), legend):
            across = _write(strip, text, across, colour)
        if across <= strip.shape[1]:
            return


def draw_frames(
    source: FrameSource,
    people: Sequence[OverlaidPerson],
    faces: np.ndarray,
    intrinsics: np.ndarray,
    frames: int,
    *,
    turn: float | None = 60.0,
    alpha: float = 0.85,
    largest: int = _LARGEST,
) -> Iterator[np.ndarray]:
    """Draws a video frame by frame.

    Args:
        source: The video.
        people: The people in it.
        faces: Shape (F, 3).
        intrinsics: [px], shape (3, 3).
        frames: Number of frames in the video.
        turn: See :func:`draw_frame`.
        alpha: See :func:`draw_frame`.
        largest: Maximum longer side of the frames [px]; larger ones are scaled down.

    Yields:
        The drawn frames, with a confidence bar if confidence is known.
    """
    scale = min(1.0, largest / max(source.width, source.height))
    intrinsics = intrinsics.copy()
    intrinsics[:2] *= scale
    intrinsics[:2, 2] += (scale - 1) / 2  # as in enlarge_points
    bar = None
    for frame in ahead(source):
        image = frame.image if scale == 1 else enlarge(frame.image, scale)
        present = [person for person in people if frame.number in person.frames]
        meshes = [(person.number, next(person.meshes)) for person in present]
        joints = {
            person.number: enlarge_points(person.keypoints[frame.number - person.frames.start], scale)
            for person in present
            if person.keypoints is not None
        }
        bar = bar or ConfidenceBar(people, frames, image.shape[1] + _side_width(image.shape, turn))
        options = {"joints": joints, "turn": turn, "alpha": alpha, "below": bar.height}
        drawn = draw_frame(image, meshes, faces, intrinsics, **options)
        bar.draw(drawn[len(image) :], frame.number)
        yield drawn
        if frame.number % _TRIMMED == _TRIMMED - 1:
            release_memory()


def write_overlay(
    drawn: Iterator[np.ndarray], path: str | Path, source: FrameSource, fps: float, times: np.ndarray
) -> Path:
    """Writes drawn frames as a video with their original times, or as an image for a photo.

    Args:
        drawn: See :func:`draw_frames`.
        path: Ends in ``.mp4``, or in an image format for a photo.
        source: The source that was drawn on.
        fps: Frames per second, on average.
        times: Of the frames [s].

    Returns:
        The path.

    Raises:
        ConfigError: The file ending does not fit the source.
    """
    path = Path(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        if not source.is_photo:
            raise ConfigError(f"{path}: {source.path} is a video; its overlay must end in .mp4")
        save_image(path, next(drawn))
    elif path.suffix.lower() == ".mp4":
        write_video(path, ahead(drawn), fps, **OVERLAY_CODING, times=times)
    else:
        raise ConfigError(f"{path}: an overlay ends in .mp4, or for a photo in {', '.join(IMAGE_SUFFIXES)}")
    return path
