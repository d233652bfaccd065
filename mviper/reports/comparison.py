"""Variants of the same sequence, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mviper.errors import ConfigError
from mviper.graphics import contact_sheet, draw_label, enlarge, read_video, save_image, side_by_side, write_video
from mviper.structures import HumanData

#: Minimum height of a person's pictures in the strip [px].
_HEIGHT = 240


def compare_sequences(
    folders: Mapping[str, Path], view: str, video: Path, strip: Path, pictures: int = 5, fps: float = 30.0
) -> int:
    """Writes a video with sequences side by side and a picture of a few moments, one row per sequence.

    Args:
        folders: Sequence folders with the same frames, by label.
        view: Which camera's video.
        video: The ``.mp4`` to write.
        strip: The picture to write, cropped to the person.
        pictures: Number of evenly spaced moments in the strip.
        fps: Frame rate of the videos.

    Returns:
        Number of frames in the video.

    Raises:
        ConfigError: A sequence has no such view, or the sequences differ in length.
        FileFormatError: A file cannot be read.
    """
    for folder in folders.values():
        if not (folder / f"{view}.mp4").is_file():
            views = ", ".join(sorted(path.stem for path in folder.glob("*.mp4"))) or "none"
            raise ConfigError(f"{folder}: no view {view!r}; its views are {views}")
    videos = {label: read_video(folder / f"{view}.mp4") for label, folder in folders.items()}
    lengths = {label: len(frames) for label, frames in videos.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"sequences to compare must have as many frames, got {lengths}")
    count = next(iter(lengths.values()))
    labels = list(videos)
    write_video(video, (side_by_side(moment, labels) for moment in zip(*videos.values())), fps)

    boxes = [HumanData.load(folder / f"{view}.npz").bbox_xywh for folder in folders.values()]
    rows = []
    for label, frames in videos.items():
        moments = np.linspace(0, count - 1, min(pictures, count)).round().astype(int)
        for column, moment in enumerate(moments):
            picture = _cut_out(frames[moment], np.concatenate(boxes), np.stack([box[moment] for box in boxes]))
            rows.append(draw_label(picture, label, size=14) if column == 0 else picture)
    save_image(strip, contact_sheet(rows, len(rows) // len(videos), gap=4))
    return count


def _cut_out(image: np.ndarray, every: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The person at one moment, in a window that fits the whole sequence, enlarged if small."""
    size = 1.1 * every[:, 2:4].max(axis=0)
    centre = ((now[:, :2].min(axis=0)) + (now[:, :2] + now[:, 2:4]).max(axis=0)) / 2
    left, top = np.round(centre - size / 2).astype(int)
    width, height = np.round(size).astype(int)
    pad = max(width, height)
    padded = np.pad(image, [(pad, pad), (pad, pad), (0, 0)], mode="edge")
    window = padded[top + pad : top + pad + height, left + pad : left + pad + width]
    return enlarge(window, _HEIGHT / height) if height < _HEIGHT else window
