"""The result to look at: the mesh over the video, from another side beside it, skeletons and track numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from mviper.errors import ConfigError
from mviper.extras import give_back_memory
from mviper.files import atomic_path
from mviper.graphics.draw import draw_label, draw_skeleton, enlarge, side_by_side
from mviper.graphics.raster import overlay, perspective
from mviper.graphics.video import write_video
from mviper.inference.frames import IMAGE_SUFFIXES, ahead
from mviper.inference.result import RecoveredPerson, RecoveryResult

#: RGB in [0, 1] of the people, in their order.
COLOURS = ((0.45, 0.66, 0.95), (0.96, 0.70, 0.42), (0.55, 0.82, 0.55), (0.85, 0.60, 0.88), (0.92, 0.86, 0.45))
_PAPER = (238, 240, 243)
#: After so many frames memory is given back.
_TRIMMED = 64
#: Longer side of the pictures [px]; larger videos are drawn smaller.
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
) -> np.ndarray:
    """Draws people over a frame, and turned about the vertical beside it.

    Args:
        image: RGB, shape (H, W, 3) uint8.
        people: Number and surface in camera axes [m], (V, 3), of each person in the frame.
        faces: Shape (F, 3).
        intrinsics: [px], shape (3, 3).
        joints: Keypoints in the picture [px] by person, (44, 2), to be drawn as skeletons.
        turn: Angle of the second view [degrees]; None: no second view.
        alpha: Opacity of the mesh.

    Returns:
        The picture, wider than the frame by the second view.
    """
    picture = image
    far_first = sorted(people, key=lambda person: -person[1][:, 2].mean())
    for number, vertices in far_first:
        mesh = perspective(vertices, faces, intrinsics)
        picture = overlay(picture, mesh, faces, colour=_colour(number), alpha=alpha, samples=1)
    for number, points in (joints or {}).items():
        picture = draw_skeleton(picture, points[:24], size=max(1.5, min(image.shape[:2]) / 220))
        picture = _tag(picture, f"{number}", points[:, 0].mean(), np.nanmin(points[:, 1]))
    if turn is None:
        return picture
    height = image.shape[0]
    width = min(image.shape[1], round(0.75 * height))
    side = np.full((height, width, 3), _PAPER, np.uint8)
    if people:
        centre = np.mean([vertices.mean(0) for _, vertices in people], axis=0)
        camera = intrinsics.copy()
        camera[0, 2] = (width - 1) / 2
        angle = np.deg2rad(turn)
        about_y = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        for number, vertices in far_first:
            turned = (vertices - centre) @ about_y.T + [0, centre[1], centre[2]]
            mesh = perspective(turned, faces, camera)
            side = overlay(side, mesh, faces, colour=_colour(number), alpha=1.0, samples=1)
    return np.concatenate([picture, side], axis=1)


def _colour(number: int) -> tuple[float, float, float]:
    return COLOURS[(number - 1) % len(COLOURS)]


def _tag(picture: np.ndarray, text: str, x: float, y: float) -> np.ndarray:
    """Writes a track's number over a head."""
    size = max(0.5, min(picture.shape[:2]) / 900)
    place = int(np.clip(x, 0, picture.shape[1] - 20)), int(np.clip(y - 12 * size, 24 * size, picture.shape[0]))
    for colour, thickness in (((15, 17, 20), 4), ((245, 245, 245), 2)):
        cv2.putText(
            picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, round(thickness * size) + 1, cv2.LINE_AA
        )
    return picture


def pictures(
    result: RecoveryResult,
    *,
    turn: float | None = 60.0,
    skeleton: bool = True,
    alpha: float = 0.85,
    largest: int = _LARGEST,
) -> Iterator[np.ndarray]:
    """The drawn frames of a whole video, one after the other; arguments as of :func:`draw_frame`.

    Args:
        result: What was recovered.
        turn: See :func:`draw_frame`.
        skeleton: Whether the joints and the track's number are drawn.
        alpha: See :func:`draw_frame`.
        largest: Longer side of the frames [px]; larger ones are drawn smaller.
    """
    scale = min(1.0, largest / max(result.source.width, result.source.height))
    intrinsics = result.intrinsics
    intrinsics[:2] *= scale
    intrinsics[:2, 2] += (scale - 1) / 2  # pixel CENTRES are whole numbers
    walks = {person.number: result.meshes(person) for person in result.people}
    points = {person.number: result.keypoints2d(person) for person in result.people} if skeleton else {}
    for frame in ahead(result.source):
        image = frame.image if scale == 1 else enlarge(frame.image, scale)
        present = [person for person in result.people if _is_in(person, frame.number)]
        people = [(person.number, next(walks[person.number])) for person in present]
        joints = None
        if skeleton:
            joints = {p.number: (points[p.number][frame.number - p.first] + 0.5) * scale - 0.5 for p in present}
        yield draw_frame(image, people, result.body.faces, intrinsics, joints=joints, turn=turn, alpha=alpha)
        if frame.number % _TRIMMED == _TRIMMED - 1:
            give_back_memory()


def _is_in(person: RecoveredPerson, number: int) -> bool:
    return person.first <= number < person.first + len(person)


def render(result: RecoveryResult, path: str | Path, **options) -> Path:
    """Writes the overlay as a video with the frames' own times, or for a photo as a picture.

    Args:
        result: What was recovered.
        path: Ends in ``.mp4``, or for a photo in a picture's ending.
        **options: As of :func:`pictures`.

    Returns:
        The path.

    Raises:
        ConfigError: The ending fits neither.
    """
    path = Path(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        if not result.source.is_photo:
            raise ConfigError(f"{path}: {result.source.path} is a video; its overlay must end in .mp4")
        _write_picture(path, next(pictures(result, **options)))
    elif path.suffix.lower() == ".mp4":
        drawn = ahead(pictures(result, **options))
        write_video(path, drawn, result.fps, preset="veryfast", times=list(result.times))
    else:
        raise ConfigError(f"{path}: an overlay ends in .mp4, or for a photo in {', '.join(IMAGE_SUFFIXES)}")
    return path


def render_comparison(results: dict[str, RecoveryResult], path: str | Path, **options) -> Path:
    """Writes several results of one video side by side (the paper's figures 6 to 9), each with its name.

    Args:
        results: By name, all of the same video.
        path: Ends in ``.mp4``.
        **options: As of :func:`pictures`.

    Returns:
        The path.
    """
    first = next(iter(results.values()))

    def rows() -> Iterator[np.ndarray]:
        for drawn in zip(*(pictures(result, **options) for result in results.values())):
            yield side_by_side([draw_label(image, name) for image, name in zip(drawn, results)])

    write_video(path, rows(), first.fps, preset="veryfast", times=list(first.times))
    return Path(path)


def _write_picture(path: Path, image: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise OSError(f"cv2 cannot write {temporary}")
