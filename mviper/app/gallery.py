"""Browsing a generated data set: lists its sequences and plays one with its annotation drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mviper.datasets import FactorySequence, find_sequences
from mviper.errors import MviperError
from mviper.graphics import draw_label, draw_skeleton, enlarge, enlarge_points, read_video, write_video

#: Least height and width of a frame that is shown [px].
_SIDE = 400


@dataclass(frozen=True)
class SequenceView:
    """One view of a sequence.

    Attributes:
        sequence: The sequence.
        view: The view's name.
        visible: Share of the joints of all people and frames that are visible (chi of eq. 7).
    """

    sequence: FactorySequence
    view: str
    visible: float

    @property
    def garments(self) -> tuple[str, ...]:
        """Garments worn."""
        worn = [garment["name"] for person in self.sequence.people for garment in person.get("garments", ())]
        return tuple(dict.fromkeys(worn))

    @property
    def motion(self) -> str:
        """The clip's name, of several people all of them."""
        return " + ".join(person.get("clip", self.sequence.folder.name) for person in self.sequence.people)

    @property
    def title(self) -> str:
        """A label that tells it from others."""
        worn = ", ".join(self.garments) or "no garments"
        return f"{self.sequence.name}, {self.view}: {worn}, {self.visible:.0%} visible"

    def frames(self) -> Iterator[np.ndarray]:
        """The video's frames, small ones enlarged, with joints and bones: filled if visible, hollow if hidden."""
        people = self.sequence.annotations(self.view)
        pictures = read_video(self.sequence.folder / f"{self.view}.mp4", min(map(len, people)))
        for number, image in enumerate(pictures):
            factor = math.ceil(_SIDE / min(image.shape[:2]))
            image = enlarge(image, factor)
            for person in people:
                visible = None if person.visibility is None else person.visibility[number]
                image = draw_skeleton(image, enlarge_points(person.keypoints2d[number, :, :2], factor), visible)
            yield draw_label(image, self.motion)

    def write(self, path: Path) -> Path:
        """Writes the frames as a video."""
        write_video(path, self.frames(), self.sequence.manifest["fps"], preset="veryfast")
        return path


class Gallery:
    """The videos of a data set.

    Args:
        data_root: What ``tools/generate.py --out`` was given.
        limit: Most sequences read.

    Attributes:
        videos: All that can be played, one for each view.
        skipped: Why others are not listed, by name.

    Raises:
        MissingDataError: There are none.
    """

    def __init__(self, data_root: Path, limit: int = 500) -> None:
        self.root = data_root
        self.videos: list[SequenceView] = []
        self.skipped: dict[str, str] = {}
        sequences = find_sequences(data_root, self.skipped)
        if len(sequences) > limit:
            self.skipped[f"{len(sequences) - limit} sequences"] = f"only the first {limit} are read"
        for sequence in sequences[:limit]:
            for view in sequence.manifest["views"]:
                try:
                    seen = [person.visibility for person in sequence.annotations(view)]
                except MviperError as error:
                    self.skipped[f"{sequence.name}, {view}"] = str(error)
                    continue
                shares = [1.0 if chi is None else float(chi.mean()) for chi in seen]
                self.videos.append(SequenceView(sequence, view, float(np.mean(shares))))

    @property
    def garments(self) -> list[str]:
        """All garments in it."""
        return sorted({name for video in self.videos for name in video.garments})

    @property
    def motions(self) -> list[str]:
        """All its clips."""
        return sorted({video.motion for video in self.videos})

    def select(
        self, garments: Sequence[str] = (), motion: str | None = None, visible: float = 0.0
    ) -> list[SequenceView]:
        """Videos that match.

        Args:
            garments: All of these must be worn.
            motion: The clip; None: any.
            visible: Minimum share of visible joints.
        """
        return [
            video for video in self.videos
            if set(garments) <= set(video.garments) and motion in (None, video.motion) and video.visible >= visible
        ]  # fmt: skip
