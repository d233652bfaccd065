"""Clips from the JPEG tars of ``tools/convert_dataset.py synthetic``, read without unpacking."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mviper.config import command
from mviper.datasets.clips import ClipDataset, View, ViewAnnotation, read_annotation
from mviper.datasets.synthetic import require_factory_annotation
from mviper.errors import FileFormatError
from mviper.files import load_npz
from mviper.registry import DATASETS
from mviper.structures import HumanData


class PackedFile:
    """Reads members of a tar by their offsets; each process has its own file handle.

    Args:
        path: ``<split>.tar``, next to its ``<split>.index.npz``.

    Raises:
        FileFormatError: The index is damaged or does not belong to the tar.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        index_path = path.with_suffix(".index.npz")
        index = load_npz(index_path)
        try:
            self.names: list[str] = index["names"].tolist()
            self.frames: list[int] = index["frames"].tolist()
            self.views: list[str] = index.get("views", index["names"]).tolist()  # absent in older files
            self._annotation, self._pictures, self._checks = index["annotation"], index["pictures"], index["checks"]
            size = int(index["tar_bytes"])
        except KeyError as error:
            raise FileFormatError(index_path, f"not an index of a packed data set: it lacks {error}") from error
        lengths = {len(self.names), len(self.views), len(self.frames), len(self._annotation)}
        if len(lengths) > 1 or len({sum(self.frames), len(self._pictures), len(self._checks)}) > 1:
            raise FileFormatError(index_path, "not an index of a packed data set: its arrays disagree")
        self.first = np.concatenate([[0], np.cumsum(self.frames)]).astype(int)
        try:
            found = path.stat().st_size
        except OSError as error:
            raise FileFormatError(path, f"cannot be read: {error.strerror}") from error
        if found != size:
            raise FileFormatError(path, f"it has {found} bytes, its index expects {size}", hint="pack it again")
        self._handle: io.FileIO | None = None
        self._process = 0

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_handle": None, "_process": 0}

    def annotation(self, view: int) -> bytes:
        """A view's HumanData file."""
        return self._read(*self._annotation[view].tolist())

    def pictures(self, view: int, rows: Sequence[int]) -> list[np.ndarray]:
        """Decoded frames of a view, (H, W, 3) uint8 RGB each; the same object where a row repeats.

        Raises:
            FileFormatError: A picture is damaged.
        """
        places = {row: int(self.first[view]) + row for row in rows}
        offsets = self._pictures[list(places.values())]
        begin, end = int(offsets[:, 0].min()), int(offsets.sum(axis=1).max())
        content = np.frombuffer(self._read(begin, end - begin), np.uint8)  # one read: frames are contiguous
        decoded = {}
        for (row, place), (offset, size) in zip(places.items(), offsets.tolist()):
            encoded = content[offset - begin : offset - begin + size]
            # Decoders silently fill damaged parts with grey.
            sound = zlib.crc32(encoded.data) == self._checks[place]
            picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if sound else None
            if picture is None:
                raise FileFormatError(self.path / self.names[view], f"frame {row} is damaged")
            decoded[row] = picture
        return [decoded[row] for row in rows]

    def _read(self, offset: int, size: int) -> bytes:
        if self._handle is None or self._process != os.getpid():
            self._handle, self._process = open(self.path, "rb", buffering=0), os.getpid()
        try:
            content = os.pread(self._handle.fileno(), size, offset)
        except OSError as error:
            raise FileFormatError(self.path, f"cannot be read: {error.strerror}") from error
        if len(content) != size:
            raise FileFormatError(self.path, "it is shorter than its index says", hint="pack it again")
        return content


@DATASETS.register_module()
class PackedHumanVideo(ClipDataset):
    """The factory's sequences packed into a tar of JPEGs, for training without the cost of video decoding.

    Items are those of :class:`mviper.datasets.SyntheticHumanVideo`, up to JPEG's losses.

    Args:
        data_root: What ``tools/convert_dataset.py synthetic --out`` was given.
        split: ``'train'``, ``'val'`` or ``'test'``.
        views: Names of views to use; all by default.
        **options: Of :class:`mviper.datasets.ClipDataset`.

    Raises:
        MissingDataError: There is no such tar; the message gives the command that makes it.
        FileFormatError: Its index is damaged.
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        views: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        self.data_root, self.split, self.wanted_views = Path(data_root).expanduser(), split, views
        super().__init__(**options)

    @property
    def name(self) -> str:
        """``packed/<split>``."""
        return f"packed/{self.split}"

    @property
    def place(self) -> Path:
        """The tar."""
        return self.data_root / f"{self.split}.tar"

    def how_to_make(self) -> str:
        """The packing command."""
        return (
            f"{self.place} is missing or empty; pack sequences with:\n"
            f"  {command('convert_dataset', 'synthetic', 'data/mviper', '--out', self.data_root, '--as', 'tar')}"
        )

    def find_views(self) -> list[View]:
        """The views that the index names."""
        if not self.place.is_file():
            return []
        self._tar = PackedFile(self.place)
        self._number: dict[str, int] = {}
        views = []
        for number, (name, shown, frames) in enumerate(zip(self._tar.names, self._tar.views, self._tar.frames)):
            if self.wanted_views is None or shown.rpartition("/")[2] in self.wanted_views:
                self._number[f"{self.split}/{name}"] = number
                views.append(View(f"{self.split}/{name}", self.place / f"{name}.npz", self.place / name, frames))
        return views

    def load_annotation(self, view: View) -> ViewAnnotation:
        """Reads a view's HumanData.

        Raises:
            FileFormatError: Damaged, or it lacks what the factory writes.
        """
        data = HumanData.load(view.annotation, content=self._tar.annotation(self._number[view.name]))
        require_factory_annotation(data, view)
        return read_annotation(data, view.annotation)

    def read_frames(self, view: View, annotation: ViewAnnotation, rows: np.ndarray) -> list[np.ndarray]:
        """Decodes pictures of the tar, see :class:`mviper.datasets.ClipDataset`."""
        return self._tar.pictures(self._number[view.name], rows.tolist())
