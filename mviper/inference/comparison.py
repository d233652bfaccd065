"""Results for one video side by side; the frames in which they differ most are marked (the paper's figures 6 to 9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mviper.graphics import contact_sheet, draw_label, enlarge, save_image, side_by_side, write_video
from mviper.inference.frames import ahead
from mviper.inference.render import OVERLAY_CODING
from mviper.inference.result import RecoveryResult

#: Fraction of the frames that are marked.
_MARKED = 0.1
_MARK = (220, 40, 40)


def frame_differences(results: Mapping[str, RecoveryResult]) -> np.ndarray:
    """Difference between results in each frame of their video.

    People are matched by number, which the results share if they come from the same detector. The difference is the
    mean distance over SMPL's 24 joints, relative to the pelvis; over people and pairs of results, the largest counts.

    Args:
        results: By name, all of the same video.

    Returns:
        [m], shape (N,) over the video's frames; 0 where no person is in two results.
    """
    every = list(results.values())
    difference = np.zeros(len(every[0].times))
    joints = [{person.number: result.joints(person)[:, :24] for person in result.people} for result in every]
    firsts = [{person.number: person.first for person in result.people} for result in every]
    for one in range(len(every)):
        for other in range(one):
            for number in joints[one].keys() & joints[other].keys():
                starts = firsts[one][number], firsts[other][number]
                ends = [start + len(joints[k][number]) for start, k in zip(starts, (one, other))]
                shared = np.arange(max(starts), min(ends))
                a, b = (joints[k][number][shared - start] for start, k in zip(starts, (one, other)))
                apart = np.linalg.norm((a - a[:, :1]) - (b - b[:, :1]), axis=-1).mean(-1)
                difference[shared] = np.maximum(difference[shared], apart)
    return difference


def marked_frames(difference: np.ndarray) -> np.ndarray:
    """The tenth of the frames (at least one) that differ most, shape (N,) bool; none if nothing differs."""
    count = max(1, round(_MARKED * len(difference)))
    chosen = np.zeros(len(difference), bool)
    chosen[np.argsort(-difference, kind="stable")[:count]] = True
    return chosen & (difference > 0)


def render_comparison(
    results: Mapping[str, RecoveryResult], path: str | Path, figure: str | Path | None = None, columns: int = 8,
    **options: object,
) -> Path:  # fmt: skip
    """Writes results side by side with their names; frames in which they differ most get a red border.

    Args:
        results: By name, all of the same video.
        path: Ends in ``.mp4``.
        figure: Also writes this image: for each of ``columns`` equal parts of the video, the frame that differs most,
            marked in the same way; below it, for each result, the mesh over the frame and from the side.
        columns: Columns of the figure.
        **options: See :meth:`RecoveryResult.pictures`.

    Returns:
        The video's path.
    """
    first = next(iter(results.values()))
    difference = frame_differences(results)
    marked = marked_frames(difference)
    parts = np.array_split(np.arange(len(difference)), min(columns, len(difference)))
    shown = [int(part[difference[part].argmax()]) for part in parts]
    kept: dict[int, list[np.ndarray]] = {}

    def rows() -> Iterator[np.ndarray]:
        for number, images in enumerate(zip(*(result.pictures(bar=False, **options) for result in results.values()))):
            if figure is not None and number in shown:
                kept[number] = list(images)
            row = side_by_side(images, list(results))
            yield _bordered(row) if marked[number] else row

    write_video(path, rows(), first.fps, **OVERLAY_CODING, times=first.times)
    if figure is not None:
        frames = {frame.number: frame.image for frame in ahead(first.source) if frame.number in kept}
        save_image(Path(figure), _figure([(frames[number], kept[number], marked[number]) for number in shown], results))
    return Path(path)


def _figure(columns: list[tuple[np.ndarray, list[np.ndarray], bool]], names: Mapping[str, object]) -> np.ndarray:
    """One column per frame: the frame and, for each result, the mesh over it and from the side."""
    cells: list[list[np.ndarray]] = []
    for frame, images, is_marked in columns:
        height = images[0].shape[0]
        frame = frame if frame.shape[0] == height else enlarge(frame, height / frame.shape[0])
        width = frame.shape[1]
        halves = [half for image in images for half in (image[:, :width], image[:, width:]) if half.shape[1]]
        cells.append([_bordered(cell) if is_marked else cell for cell in (frame, *halves)])
    per_result = (len(cells[0]) - 1) // len(names)
    for row, name in enumerate(["video", *names]):
        place = 1 + (row - 1) * per_result if row else 0
        cells[0][place] = draw_label(cells[0][place], name)
    return contact_sheet([column[row] for row in range(len(cells[0])) for column in cells], len(columns))


def _bordered(image: np.ndarray) -> np.ndarray:
    """A copy of a picture with a red border."""
    image, width = image.copy(), max(3, round(min(image.shape[:2]) / 60))
    for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
        image[edge] = _MARK
    return image
