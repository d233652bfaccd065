"""Stored features and maps of a frozen encoder, and clips of them for training.

A store is a folder with three files: ``store.json`` says what it was made from, ``crops.bin`` holds one record of fixed
size per crop (features and maps in float16, annotation in float32) and is memory-mapped, ``index.jsonl`` gets one line
per finished sequence, so that a killed run can be resumed.
"""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from mviper.config import command
from mviper.datasets.transforms import DATA_FIELDS
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import atomic_path
from mviper.registry import DATASETS
from mviper.sample import BodySample, EncodedClip
from mviper.structures import KEYPOINTS

#: Largest size of a crop on disk [bytes].
LARGEST_RECORD = 12_000
_HEADER, _INDEX, _CROPS = "store.json", "index.jsonl", "crops.bin"
_FLAGS = tuple(name for name in DATA_FIELDS if name.startswith("has_"))


class Widths(NamedTuple):
    """Sizes of a record's arrays: D, L, D_map and the number of betas."""

    features: int
    cells: int
    maps: int
    betas: int

    def record(self) -> np.dtype:
        """One crop on disk."""
        joints = len(KEYPOINTS)
        return np.dtype(
            [
                ("features", "<f2", (self.features,)),
                ("maps", "<f2", (self.cells, self.maps)),
                ("keypoints2d", "<f4", (joints, 3)),
                ("keypoints3d", "<f4", (joints, 4)),
                ("smpl_rotmat", "<f4", (24, 3, 3)),
                ("betas", "<f4", (self.betas,)),
                ("crop", "<f4", (3,)),
                ("crop_rotation", "<f4"),
                ("frame", "<i4"),
            ]
        )


class StoredSequence(NamedTuple):
    """A line of the index: one copy of one sequence.

    Attributes:
        sequence: Its name.
        copy: Number of its augmented copy.
        wanted: The requested sequence; differs from ``sequence`` if that one could not be read.
        frames: Number of crops; 0 if the pictures cannot be read.
        flags: ``has_keypoints3d``, ``has_smpl``, ``has_betas``.
        flip: Whether the copy is mirrored.
        video_path: Its video.
    """

    sequence: str
    copy: int
    wanted: str
    frames: int
    flags: tuple[float, ...]
    flip: bool
    video_path: str


def crop_id(pictures: Mapping) -> str:
    """Hash of the data set of pictures and of its crops: a store of others is rejected.

    Args:
        pictures: Config of the data set of pictures; its location does not count.
    """
    ignored = ("data_root", "data_prefix", "synthesis_config", "clip_length", "stride", "frame_step", "body_model")
    plain = {
        key: value for key, value in pictures.items() if key not in ignored and not key.startswith(("cache_", "open_"))
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


class StoreWriter:
    """Adds sequences to a store; those finished by earlier runs are kept.

    Args:
        root: The store's folder.
        header: What it is made from (``encoder``, ``crop``, ``copies``, ``seed``, ``body_model``, ``dataset``).
        widths: Sizes of its records.

    Attributes:
        done: Requested sequences and copies that exist.
        sequences: Names and copies of the sequences that exist.

    Raises:
        ConfigError: The folder holds a store made from something else, another run is writing to it, or a crop takes
            more than :data:`LARGEST_RECORD`.
        FileFormatError: The existing store is damaged.
    """

    def __init__(self, root: Path, header: dict, widths: Widths) -> None:
        self.root, self.record = root, widths.record()
        if self.record.itemsize > LARGEST_RECORD:
            raise ConfigError(
                f"{root}: one crop would take {self.record.itemsize} bytes, more than {LARGEST_RECORD}: its map is "
                f"{widths.cells} x {widths.maps}; average it with model.backbone.map_size, or take another with "
                "model.backbone.maps"
            )
        header = {**header, "widths": list(widths)}
        root.mkdir(parents=True, exist_ok=True)
        self._crops = open(root / _CROPS, "ab")
        try:
            fcntl.flock(self._crops, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._crops.close()
            raise ConfigError(f"{root}: another run is writing to it") from None
        if (root / _HEADER).is_file():
            differing = [key for key, value in header.items() if _read_header(root).get(key) != value]
            if differing:
                self._crops.close()
                raise ConfigError(
                    f"{root}: the store differs from the config in {', '.join(differing)}; remove it, or give another "
                    "data_root"
                )
        else:
            with atomic_path(root / _HEADER) as temporary:
                temporary.write_text(json.dumps(header, indent=1) + "\n")
        stored, self.complete, whole = _read_index(root)
        self.done = {(entry.wanted, entry.copy) for entry in stored}
        self.sequences = {(entry.sequence, entry.copy) for entry in stored if entry.frames}
        size, wanted = (root / _CROPS).stat().st_size, sum(entry.frames for entry in stored) * self.record.itemsize
        if size < wanted:
            self._crops.close()
            raise FileFormatError(
                root / _CROPS, f"it has {size} bytes, its index belongs to {wanted}; remove the store"
            )
        self._index = open(root / _INDEX, "ab")
        self._index.truncate(whole)  # a line truncated when an earlier run was killed, and its crops
        self._crops.truncate(wanted)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()
        self._crops.close()

    def add(self, entry: StoredSequence, records: np.ndarray) -> None:
        """Writes a sequence's crops, then its line of the index."""
        self._crops.write(records.tobytes())
        self._crops.flush()
        os.fsync(self._crops.fileno())
        self._line(entry._asdict())
        self.complete = False
        self.done.add((entry.wanted, entry.copy))
        self.sequences.add((entry.sequence, entry.copy))

    def finish(self) -> None:
        """Marks the store as complete."""
        if not self.complete:
            self._line({"complete": True})

    def _line(self, content: dict) -> None:
        self._index.write(json.dumps(content).encode() + b"\n")
        self._index.flush()
        os.fsync(self._index.fileno())


def _read_header(root: Path) -> dict:
    path = root / _HEADER
    try:
        header = json.loads(path.read_text())
        Widths(*header["widths"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileFormatError(path, f"not a feature store's: {error!r}") from error
    return header


def _read_index(root: Path) -> tuple[list[StoredSequence], bool, int]:
    """Sequences, whether the store is complete, and the index's bytes up to its last complete line."""
    path = root / _INDEX
    content = path.read_bytes() if path.is_file() else b""
    whole = content.rfind(b"\n") + 1
    stored, complete = [], False
    try:
        for line in content[:whole].decode().splitlines():
            entry = json.loads(line)
            complete = "complete" in entry  # nothing was added after it
            if not complete:
                stored.append(StoredSequence(**entry))
    except (ValueError, TypeError) as error:
        raise FileFormatError(path, f"not a feature store's index: {error!r}") from error
    return stored, complete, whole


@DATASETS.register_module()
class FeatureStore(Dataset):
    """Clips of stored features, made by ``tools/extract_features.py`` from a data set of pictures.

    Items have ``inputs=EncodedClip`` instead of pictures. There are ``copies`` copies of each sequence, each with one
    augmentation for all its frames, and each counts as a separate sequence.

    Args:
        data_root: The store's folder.
        pictures: Config of the data set of pictures, with augmentation and crops in ``pipeline``; sequences are used
            whole, whatever its ``clip_length``.
        copies: Number of augmented copies of each frame.
        seed: Of the augmentation.
        clip_length: T; a shorter sequence repeats its last frame. None: whole sequences, for tests.
        stride: Frames between the starts of successive clips; a clip's length by default (no overlap).
        frame_step: A clip takes every n-th frame.
        exclude: Patterns of sequences that are left out (``"*_to_*"``: interpolated motions).
        frames: Takes only so many sequences, drawn at random, that they have this many frames; None: all. Copies of a
            frame count once.

    Raises:
        MissingDataError: There is no complete store, or no pictures to make one from; the message gives the command.
        ConfigError: The store holds crops other than the config's.
        FileFormatError: It is damaged.
    """

    def __init__(
        self,
        data_root: str,
        pictures: dict,
        copies: int = 4,
        seed: int = 0,
        clip_length: int | None = 4,
        stride: int | None = None,
        frame_step: int = 1,
        exclude: Sequence[str] = (),
        frames: int | None = None,
    ) -> None:
        self.data_root = Path(data_root).expanduser()
        self.clip_length, self.frame_step = clip_length, frame_step
        self.stride = stride or (clip_length or 1) * frame_step
        stored, complete, _ = _read_index(self.data_root)
        if not complete or not (self.data_root / _HEADER).is_file():
            DATASETS.build(pictures)  # without pictures, raises with the command that makes them
            raise MissingDataError(
                f"{self.data_root} is not a complete feature store; make it, or resume an interrupted run, with\n"
                f"  {command('extract_features', 'CONFIG')}   (a test set's: --on TEST_SET)"
            )
        self.header = _read_header(self.data_root)
        wanted = {"crop": crop_id(pictures), "copies": copies, "seed": seed}
        differing = [key for key, value in wanted.items() if self.header.get(key) != value]
        if differing:
            raise ConfigError(
                f"{self.data_root}: the store differs from the config in {', '.join(differing)}; remove it and run "
                f"{command('extract_features', 'CONFIG')}, or give another data_root"
            )
        self.stored = [entry for entry in stored if entry.frames]
        self.record = Widths(*self.header["widths"]).record()
        records = np.concatenate([[0], np.cumsum([entry.frames for entry in self.stored])]).astype(int)
        size, expected = (self.data_root / _CROPS).stat().st_size, records[-1] * self.record.itemsize
        if size != expected:
            raise FileFormatError(self.data_root / _CROPS, f"it has {size} bytes, its index belongs to {expected}")
        taken = self._taken(exclude, frames)
        self._first_record = records[:-1][[entry.sequence in taken for entry in self.stored]]
        self.stored = [entry for entry in self.stored if entry.sequence in taken]
        span = ((clip_length or 1) - 1) * frame_step + 1
        counts = [max(0, entry.frames - span) // self.stride + 1 if clip_length else 1 for entry in self.stored]
        self._first_clip = np.concatenate([[0], np.cumsum(counts)]).astype(int)
        self._crops: np.memmap | None = None

    @property
    def body_model(self) -> str:
        """The body that the betas belong to."""
        return self.header["body_model"]

    @property
    def metainfo(self) -> dict:
        """As for a data set of pictures."""
        return {
            "dataset": f"features of {self.header['dataset']}",
            "keypoints": KEYPOINTS,
            "body_model": self.body_model,
            "views": len(self.stored),
            "frames": sum(entry.frames for entry in self.stored),
        }

    def _taken(self, exclude: Sequence[str], frames: int | None) -> set[str]:
        """Names of the sequences that are used."""
        lengths = {entry.sequence: entry.frames for entry in self.stored}
        names = [name for name in lengths if not any(fnmatch.fnmatch(name, pattern) for pattern in exclude)]
        if not names:
            raise ConfigError(f"{self.data_root}: exclude={list(exclude)} leaves no sequence")
        if frames is None:
            return set(names)
        if (total := sum(lengths[name] for name in names)) < frames:
            raise ConfigError(f"{self.data_root}: frames={frames}, but there are {total}")
        order = np.random.default_rng(0).permutation(len(names))
        before = np.cumsum([0, *(lengths[names[index]] for index in order[:-1])])
        return {names[index] for index in order[before < frames]}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_crops": None}  # each process maps the file itself

    def __len__(self) -> int:
        return int(self._first_clip[-1])

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        number = int(np.searchsorted(self._first_clip, index, side="right")) - 1
        entry, start = self.stored[number], (index - int(self._first_clip[number])) * self.stride
        length = self.clip_length or -(-entry.frames // self.frame_step)
        rows = np.minimum(start + np.arange(length) * self.frame_step, entry.frames - 1)
        records = self._records(self._first_record[number] + rows)
        features, maps = (torch.from_numpy(records[name].copy()) for name in ("features", "maps"))
        inputs = EncodedClip(features, maps, self.header["encoder"])
        return {"inputs": inputs, "data_sample": self._sample(entry, records)}

    def _sample(self, entry: StoredSequence, records: np.ndarray) -> BodySample:
        sample = BodySample(
            metainfo={
                "sequence": entry.sequence,
                "frame_indices": records["frame"],
                "video_path": entry.video_path,
                "crop": records["crop"],
                "crop_rotation": records["crop_rotation"],
                "crop_flip": entry.flip,
            }
        )
        for name in DATA_FIELDS:
            value = entry.flags[_FLAGS.index(name)] if name in _FLAGS else records[name]
            sample.set_field(torch.from_numpy(np.array(value, np.float32)), name)
        return sample

    def annotation_samples(self, frame_step: int = 1) -> Iterator[BodySample]:
        """Yields the annotation of each sequence's first copy, every ``frame_step``-th frame of it."""
        for entry, first in zip(self.stored, self._first_record):
            if entry.copy == 0:
                yield self._sample(entry, self._records(first + np.arange(0, entry.frames, frame_step)))

    def _records(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        if self._crops is None:
            self._crops = np.memmap(self.data_root / _CROPS, self.record, "r")
        return np.asarray(self._crops[rows])
