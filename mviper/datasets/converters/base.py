"""Base of all converters: the paper's filters, boxes, the index, resuming, errors for missing files."""

from __future__ import annotations

import abc
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mviper.apart import load_mat
from mviper.body import same_body
from mviper.datasets.converters.bodies import Bodies
from mviper.datasets.index import Index, append_to_index, read_index
from mviper.errors import ConfigError, FileFormatError, MissingDataError, MviperError
from mviper.files import find_files, what_it_is
from mviper.structures import HumanData

#: Bound on lengths [mm], pixels and angles.
_LARGEST = 1e6

#: Reason for rows dropped because pictures are not unpacked.
NO_PICTURE = "whose pictures are missing"


@dataclass
class Summary:
    """Result of a conversion.

    Attributes:
        folder: Its folder.
        sequences: Number of sequences, collections of stills or videos.
        rows: Number of annotated frames.
        dropped: Number of dropped frames by reason.
        missing: Missing files and folders of the set, by kind; what needs them is left out.
        damaged: Sequences that could not be read, with the errors.
    """

    folder: Path
    sequences: int
    rows: int
    dropped: Counter
    missing: dict[str, list[str]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)


class Converter(abc.ABC):
    """Converts a public set from its native layout to this project's format.

    A set may be incomplete: what exists is converted, what is missing is named.

    Args:
        root: The set's folder, unpacked as :attr:`layout` says.
        require_all: Reject an incomplete set.

    Attributes:
        missing: Files and folders that were not found, by kind.

    Raises:
        MissingDataError: There is no such folder.
    """

    #: The set's name in configs and commands.
    name: str
    splits: tuple[str, ...]
    #: Its licence, in a few words.
    licence: str
    #: Where to get it.
    source: str
    #: Expected layout, as shown to the user.
    layout: str

    def __init__(self, root: str | Path, require_all: bool = False) -> None:
        self.root, self.require_all = Path(root).expanduser(), require_all
        self.missing: dict[str, list[str]] = {}
        self.require(self.root)

    @abc.abstractmethod
    def sequences(self, split: str) -> list[str]:
        """Names of the split's sequences (or of its one collection of stills), in a fixed order.

        Raises:
            MissingDataError: Files that the split needs are missing.
        """

    @abc.abstractmethod
    def convert(self, out: str | Path, split: str, progress: Callable[[int, int, str], None] | None = None) -> Summary:
        """Converts a split, resuming a run that was stopped.

        Args:
            out: Folder for ``<name>/<split>/``.
            split: One of :attr:`splits`.
            progress: Called with the number of sequences done, the total, and the next one's name.

        Raises:
            ConfigError: No such split, or the folder holds a conversion with other options.
            MissingDataError: Files are missing.
            FileFormatError: A file is damaged.
        """

    def folder(self, out: str | Path, split: str) -> Path:
        """Makes the split's folder.

        Raises:
            ConfigError: No such split.
        """
        if split not in self.splits:
            raise ConfigError(f"{self.name} has no split {split!r}; it has {', '.join(self.splits)}")
        folder = Path(out, self.name, split)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def require(self, path: Path) -> Path:
        """The path, if it exists.

        Raises:
            MissingDataError: It does not; the message says what belongs there and where to get it.
        """
        if not path.exists():
            raise MissingDataError(f"{path} is missing. {self.what_to_put_where()}")
        return path

    def present(self, relative: Sequence[str], what: str) -> np.ndarray:
        """Which files or folders exist under the root, shape (N,) bool; the others are added to :attr:`missing`.

        Raises:
            MissingDataError: None exists, or some are missing with ``require_all``; gives their number and the first
                one.
        """
        there = {name: os.path.exists(self.root / name) for name in relative}  # Path.exists raises on overlong names
        missing = [name for name, found in there.items() if not found]
        if missing and (self.require_all or len(missing) == len(there)):
            raise MissingDataError(
                f"{len(missing)} of {len(there)} {what} are missing in {self.root}, the first: {missing[0]}. "
                f"Is everything unpacked? {self.what_to_put_where()}"
            )
        self.missing[what] = list(dict.fromkeys([*self.missing.get(what, []), *missing]))
        return np.array([there[name] for name in relative], bool)

    def find(self, *patterns: str) -> list[Path]:
        """Paths under the root that match glob patterns, sorted, without system files (``._NAME``).

        Raises:
            MissingDataError: There is none.
        """
        paths = find_files(self.root, *patterns)
        if not paths:
            raise MissingDataError(f"{self.root} has no {' or '.join(patterns)}. {self.what_to_put_where()}")
        return paths

    def what_is_missing(self) -> dict[str, list[str]]:
        """:attr:`missing` without the kinds that are complete."""
        return {what: names for what, names in self.missing.items() if names}

    def what_to_put_where(self) -> str:
        """Two sentences for errors and ``--help``."""
        return f"{self.name} can be downloaded from {self.source} ({self.licence}). Layout:\n{self.layout}"


class HumanDataConverter(Converter):
    """Converts a public set with body annotation to HumanData files and their index.

    Args:
        root: The set's folder, unpacked as :attr:`layout` says.
        fps: Frame rate that videos are thinned to [1/s]; None for the set's default, see :attr:`default_fps`.
        min_side: In training splits, people with a smaller box round the joints (longer side [px]) are left out.
        min_visible: In training splits, people with fewer visible joints are left out (the paper: 6).
        body_models: Folder with the licensed ``SMPL_{NEUTRAL,MALE,FEMALE}.pkl``, for sets with SMPL parameters: betas
            then name their body.
        refit_to: A body model file: betas are refitted so that this body matches the original body's surface. None:
            unchanged.

        require_all: Reject an incomplete set.

    Attributes:
        dropped: Number of rows left out by :meth:`read`, by reason; accumulates until cleared.

    Raises:
        MissingDataError: There is no such folder.
    """

    #: Whether rows are single pictures.
    stills: bool = False
    #: Frame rate of converted videos by split, if not the video's own.
    default_fps: dict[str, float] = {}

    def __init__(
        self,
        root: str | Path,
        fps: float | None = None,
        min_side: float = 60.0,
        min_visible: int = 6,
        body_models: str | Path | None = None,
        refit_to: str | Path | None = None,
        require_all: bool = False,
    ) -> None:
        super().__init__(root, require_all)
        self.dropped: Counter[str] = Counter()
        self.fps, self.min_side, self.min_visible = fps, min_side, min_visible
        if fps is not None and fps <= 0:
            raise ConfigError(f"fps = {fps}, expected a number > 0")
        self.bodies = Bodies(body_models, refit_to)

    @abc.abstractmethod
    def read(self, split: str, sequence: str) -> HumanData:
        """One sequence, unfiltered; its pictures or video relative to the root.

        Raises:
            FileFormatError: A file is damaged.
            MissingDataError: Files are missing.
        """

    def convert(self, out: str | Path, split: str, progress: Callable[[int, int, str], None] | None = None) -> Summary:
        """See :meth:`Converter.convert`."""
        folder = self.folder(out, split)
        self.missing.clear()
        sequences = self.sequences(split)
        header = self._header(split)
        index = read_index(folder)
        if index is None:
            append_to_index(folder, header)
            index = Index(header)
        elif index.header != header:
            different = [key for key in header if not _same_option(key, index.header.get(key), header[key])]
            if different:
                raise ConfigError(
                    f"{folder} was converted with another {', '.join(different)}; choose another --out, or delete it"
                )
        damaged: dict[str, MviperError] = {}
        for number, sequence in enumerate(sequences):
            if progress is not None:
                progress(number, len(sequences), sequence)
            if sequence not in index.runs or NO_PICTURE in index.dropped_of[sequence]:  # pictures may exist by now
                try:
                    self._convert_one(folder, split, sequence, index)
                except (FileFormatError, MissingDataError) as error:
                    if self.require_all:
                        raise
                    damaged[sequence] = error
        if progress is not None:
            progress(len(sequences), len(sequences), "")
        if not index.rows:
            if damaged:
                raise next(iter(damaged.values()))
            reasons = ", ".join(f"{count} {reason}" for reason, count in index.dropped.items())
            reasons = reasons or f"no annotation was found. {self.what_to_put_where()}"
            raise MissingDataError(f"{self.root}: no usable sequence in {self.name} {split}: {reasons}")
        append_to_index(folder, {"complete": True})
        problems = {sequence: str(error) for sequence, error in damaged.items()}
        return Summary(folder, len(index.runs), index.rows, index.dropped, self.what_is_missing(), problems)

    def _convert_one(self, folder: Path, split: str, sequence: str, index: Index) -> None:
        self.dropped.clear()
        data = self._filtered(split, self.read(split, sequence))
        data.bbox_xywh = joint_boxes(data)
        if len(data):
            data.save(folder / f"{sequence}.npz", compressed=True)
        dropped = {reason: int(count) for reason, count in self.dropped.items() if count}
        append_to_index(folder, {"sequence": sequence, "runs": self._runs(data), "dropped": dropped})
        index.add(sequence, self._runs(data), dropped)

    def mat(self, path: Path, key: str, shape: tuple[int | None, ...] | None = None) -> np.ndarray:
        """One array of a MATLAB file (up to version 7).

        Raises:
            MissingDataError: No such file.
            FileFormatError: It cannot be read or lacks the array, or the shape differs (None: any length).
        """
        return self.mats(path, {key: shape})[key]

    def mats(self, path: Path, keys: dict[str, tuple[int | None, ...] | None]) -> dict[str, np.ndarray]:
        """Several arrays of a MATLAB file, see :meth:`mat`."""
        content = load_mat(self.require(path), variable_names=list(keys))
        for key, shape in keys.items():
            if key not in content:
                raise FileFormatError(path, f"it lacks {key!r}")
            check_shape(path, key, content[key], shape)
        return content

    def rows_with_pictures(self, relative: Sequence[str]) -> np.ndarray:
        """Which rows' pictures exist, shape (N,) bool; the others count as :attr:`dropped`.

        Raises:
            MissingDataError: None exists, or some are missing with ``require_all``.
        """
        there = self.present(relative, "pictures") if len(relative) else np.zeros(0, bool)
        self.dropped[NO_PICTURE] += int((~there).sum())
        return there

    def thinned(self, count: int, step: int) -> np.ndarray:
        """Every ``step``-th of ``count`` frames; the others count as :attr:`dropped`."""
        frames = np.arange(0, count, step)
        self.dropped["between the frames kept (--fps)"] += count - len(frames)
        return frames

    def picture_sizes(self, relative: Sequence[str]) -> np.ndarray:
        """Width and height [px] of pictures, from their headers, shape (N, 2).

        Raises:
            FileFormatError: One is damaged.
        """
        sizes: dict[str, tuple[int, int]] = {}
        for name in relative:
            if name not in sizes:
                try:
                    with Image.open(self.root / name) as picture:
                        sizes[name] = picture.size
                except Exception as error:  # Pillow raises many kinds on damaged files
                    what = what_it_is(self.root / name)
                    problem = f"it is {what}" if what else f"not a readable picture: {error}"
                    raise FileFormatError(self.root / name, problem) from error
        return np.array([sizes[name] for name in relative], int).reshape(-1, 2)

    def frame_step(self, split: str, native_fps: float) -> int:
        """Step n with which every n-th frame is kept."""
        fps = self.fps or self.default_fps.get(split, native_fps)
        return max(1, round(native_fps / fps))

    def _header(self, split: str) -> dict:
        return {
            "data_set": self.name,
            "split": split,
            "root": str(self.root.resolve()),
            "stills": self.stills,
            "fps": self.fps,
            "min_side": self.min_side,
            "min_visible": self.min_visible,
            **self.bodies.described(),
        }

    def _filtered(self, split: str, data: HumanData) -> HumanData:
        if not split.startswith("train") or not data.names:
            return data
        keep, dropped = paper_filter(data, self.min_side, self.min_visible)
        self.dropped.update(dropped)
        return data if keep.all() else data.take(keep)

    def _runs(self, data: HumanData) -> list[list[int]]:
        if self.stills or len(data) == 0:
            return [[0, len(data)]] if len(data) else []
        if data.frame_idx is None:
            raise TypeError(f"{type(self).__name__}.read gives frames of videos, but no frame_idx")
        gaps = np.diff(data.frame_idx)
        breaks = np.flatnonzero(gaps > data.meta.get("frame_step", 1)) + 1
        starts = [0, *breaks.tolist()]
        return [[start, stop - start] for start, stop in zip(starts, [*starts[1:], len(data)])]


def _same_option(key: str, before: Any, now: Any) -> bool:
    return same_body(before, now) if key == "refit_to" and before and now else before == now


def paper_filter(data: HumanData, min_side: float, min_visible: int) -> tuple[np.ndarray, Counter]:
    """The paper's filters: leaves out people who are too small or have fewer than 6 visible joints.

    Args:
        data: Annotation of N people.
        min_side: Minimum of the longer side of the box of the labelled joints [px].
        min_visible: Minimum number of visible joints.

    Returns:
        (N,) bool, and the number left out by reason.
    """
    visible = data.keypoints2d[..., 2] > 0
    if data.visibility is not None:
        visible &= data.visibility > 0
    few = visible.sum(axis=1) < min_visible
    small = ~few & (joint_boxes(data)[:, 2:4].max(axis=1, initial=0) < min_side)
    reasons = {f"fewer than {min_visible} visible joints": few, f"smaller than {min_side:g} px": small}
    return ~(few | small), Counter({reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()})


def joint_boxes(data: HumanData) -> np.ndarray:
    """Box of each row's labelled joints: left, top, width, height [px], 1 (all 0 where there is none), shape (N, 5)."""
    labelled = data.keypoints2d[..., 2:] > 0
    points = data.keypoints2d[..., :2]
    low = np.where(labelled, points, np.inf).min(axis=1, initial=np.inf)
    high = np.where(labelled, points, -np.inf).max(axis=1, initial=-np.inf)
    some = labelled.any(axis=(1, 2))
    boxes = np.concatenate([low, high - low, np.ones((len(points), 1))], axis=1)
    return np.where(some[:, None], boxes, 0.0)


def inside(points: np.ndarray, sizes: np.ndarray | tuple[int, int]) -> np.ndarray:
    """Whether points [px] lie in their picture: (N, J, 2 or more) and sizes (N, 2) or (2,) -> (N, J) bool."""
    sizes = np.broadcast_to(np.asarray(sizes), (len(points), 2))[:, None]
    return ((points[..., :2] > -0.5) & (points[..., :2] < sizes - 0.5)).all(axis=-1)


def with_confidence(points: np.ndarray, labelled: np.ndarray | float = 1.0) -> np.ndarray:
    """Points (N, J, D) with a labelled flag, (N, J, D + 1) float32; unlabelled points are 0."""
    labelled = np.broadcast_to(labelled, points.shape[:2])[..., None] > 0
    return np.concatenate([np.where(labelled, points, 0.0), labelled], axis=-1).astype(np.float32)


def check_shape(path: Path, key: str, array: np.ndarray, shape: tuple[int | None, ...] | None) -> None:
    """Checks an array's shape, None standing for any length.

    Raises:
        FileFormatError: It has another.
    """
    if shape is None:
        return
    found = np.shape(array)
    if len(found) != len(shape) or any(want not in (None, have) for want, have in zip(shape, found)):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise FileFormatError(path, f"{key!r} has shape {found}, expected ({wanted})")


def check_numbers(path: Path, key: str, array: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """Converts an array to float64; checks its shape, see :func:`check_shape`, and its values.

    Raises:
        FileFormatError: Another shape, or text, complex numbers, NaN, infinity or numbers out of range.
    """
    check_shape(path, key, array, shape)
    array = np.asarray(array)
    try:
        numbers = array.astype(np.float64) if array.dtype.kind in "buifO" else np.full(1, np.nan)
    except (TypeError, ValueError):
        numbers = np.full(1, np.nan)
    if not (np.abs(numbers) < _LARGEST).all():  # false for NaN too
        raise FileFormatError(path, f"{key!r} contains a value that is not a usable number")
    return numbers
