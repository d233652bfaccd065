"""Reads sequence folders view by view for packing, whatever the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from mviper.datasets.sequences import FactorySequence
from mviper.datasets.video import VideoReader
from mviper.errors import FileFormatError
from mviper.structures import HumanData


@dataclass
class PackingSummary:
    """Result of packing a split.

    Attributes:
        sequences: Number of sequences.
        views: Number of views, of several people one for each.
        frames: Frames of these views.
        bytes: Size of what was written.
        skipped: Reasons for views left out, by file.
    """

    sequences: int = 0
    views: int = 0
    frames: int = 0
    bytes: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


#: Called with the number of sequences done, the total, and the next one's name.
Progress = Callable[[int, int, str], None]


@dataclass
class PackedView:
    """One person in a readable view.

    Attributes:
        name: ``<sequence>/<view>``, of several people ``<sequence>/<view>_<person>``.
        shown: ``<sequence>/<view>``, the pictures' folder, the same for all people in it.
        sequence: The sequence.
        data: The person's annotation.
        content: Its file.
        pictures: The view's frames.
    """

    name: str
    shown: str
    sequence: FactorySequence
    data: HumanData
    content: bytes
    pictures: list[np.ndarray]


def read_views(
    sequences: Sequence[FactorySequence], summary: PackingSummary, progress: Progress, pictures: bool
) -> Iterator[PackedView]:
    """All readable views, people of a view one after the other; the others are recorded."""
    reader = VideoReader(max_open=1)
    for number, sequence in enumerate(sequences):
        progress(number, len(sequences), sequence.folder.name)
        found, read, shown = 0, None, []
        for each in sequence.person_views:
            path = sequence.folder / f"{each.name}.npz"
            try:
                data = HumanData.load(path)
                if len(data) != sequence.manifest["frames"] or data.frame_idx is None:
                    raise FileFormatError(path, "it lacks frames that its manifest says it has")
                if pictures and each.view != read:
                    shown = reader.read(sequence.folder / f"{each.view}.mp4", data.frame_idx.tolist())
                    read = each.view
            except FileFormatError as error:
                summary.skipped[str(error.path)] = error.problem
                continue
            found += 1
            summary.views += 1
            summary.frames += len(data)
            folder = sequence.folder.name
            yield PackedView(f"{folder}/{each.name}", f"{folder}/{each.view}", sequence, data, path.read_bytes(), shown)
        summary.sequences += found > 0
    progress(len(sequences), len(sequences), "")


def jpeg(picture: np.ndarray, quality: int) -> bytes:
    """A picture (H, W, 3) as a JPEG file."""
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def picture_names(split: str, view: PackedView) -> list[str]:
    """Paths of a view's pictures in the folder of a packed data set."""
    return [f"{split}/{view.shown}/{number:06d}.jpg" for number in range(len(view.data))]
