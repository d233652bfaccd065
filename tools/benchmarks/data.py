"""Throughput of the data sets, from videos and from packed JPEG."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks import Result
from mviper.datasets import PackedHumanVideo, SyntheticHumanVideo, find_sequences, pack_split
from mviper.errors import FileFormatError
from mviper.files import load_npz
from mviper.graphics import open_video

CROP = [dict(type="CropClip", size=224), dict(type="PackBodySample")]
AUGMENT = [dict(type="AugmentClip"), CROP[0], dict(type="JitterClip"), CROP[1]]


class BarePyAV:
    """Only decodes the same windows of frames to RGB, in one thread, with all containers kept open."""

    def __init__(self, dataset: SyntheticHumanVideo) -> None:
        self.dataset, self.open = dataset, {}

    def __call__(self, index: int) -> None:
        """Reads one clip."""
        number, start = self.dataset.locate(index)
        view = self.dataset.views[number]
        if number not in self.open:
            self.open[number] = open_video(view.video)
            self.open[number].streams.video[0].thread_count = 1
        container = self.open[number]
        stream = container.streams.video[0]
        rate = float(stream.average_rate)
        container.seek(round(start / rate / stream.time_base), stream=stream)
        found = 0
        for frame in container.decode(stream):
            if round(float(frame.pts * stream.time_base) * rate) >= start:
                frame.to_ndarray(format="rgb24")
                found += 1
                if found == self.dataset.clip_length:
                    return


class BareJPEG:
    """Only reads the same frames from a tar and decodes them to RGB."""

    def __init__(self, dataset: PackedHumanVideo) -> None:
        index = load_npz(dataset.place.with_suffix(".index.npz"))
        self.dataset, self.places = dataset, index["pictures"].tolist()
        self.first = np.concatenate([[0], np.cumsum(index["frames"])])
        self.file = open(dataset.place, "rb", buffering=0)

    def __call__(self, index: int) -> None:
        """Reads one clip."""
        number, start = self.dataset.locate(index)
        for offset, size in self.places[self.first[number] + start :][: self.dataset.clip_length]:
            self.file.seek(offset)
            cv2.imdecode(np.frombuffer(self.file.read(size), np.uint8), cv2.IMREAD_COLOR_RGB)


def measure(arguments: argparse.Namespace) -> Result:
    """Random clips of T = 4 from all videos through the data sets, compared with bare decoding of the same windows."""
    root = arguments.data[0] if arguments.data else Path("data/demo")
    sequences = [sequence for sequence in find_sequences(root) if sequence.split == "train"]
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="mviper-benchmark-") as packed:
        pack_split(sequences, Path(packed), "train", "tar")
        videos = {name: SyntheticHumanVideo(root, pipeline=p) for name, p in (("crop", CROP), ("augment", AUGMENT))}
        tars = {name: PackedHumanVideo(packed, pipeline=p) for name, p in (("crop", CROP), ("augment", AUGMENT))}
        if len(videos["crop"]) != len(tars["crop"]):
            raise FileFormatError(root, "some views cannot be read; check it with tools/browse.py dataset")
        rates = _rates(videos, tars, arguments)
    names = {
        "bare PyAV": "bare PyAV", "videos, crop": "bare PyAV", "videos, crop + augmentation": "bare PyAV",
        "bare JPEG": "bare JPEG", "packed, crop": "bare JPEG", "packed, crop + augmentation": "bare JPEG",
    }  # fmt: skip
    rows = [("reader", "frames per CPU-s", "ratio to bare decoding")]
    rows += [(name, f"{rates[name]:.0f}", f"{rates[name] / rates[bare]:.2f}") for name, bare in names.items()]
    figures = {
        "bare_pyav_frames_per_cpu_s": rates["bare PyAV"],
        "dataset_crop_frames_per_cpu_s": rates["videos, crop"],
        "dataset_augmented_frames_per_cpu_s": rates["videos, crop + augmentation"],
        "dataset_augmented_ratio": rates["videos, crop + augmentation"] / rates["bare PyAV"],
        "bare_jpeg_frames_per_cpu_s": rates["bare JPEG"],
        "packed_crop_frames_per_cpu_s": rates["packed, crop"],
        "packed_augmented_frames_per_cpu_s": rates["packed, crop + augmentation"],
        "packed_augmented_ratio": rates["packed, crop + augmentation"] / rates["bare JPEG"],
    }
    return rows, figures, {"dataset_augmented_ratio": [">=", 0.70], "packed_augmented_ratio": [">=", 0.70]}


def _rates(
    videos: dict[str, SyntheticHumanVideo], tars: dict[str, PackedHumanVideo], arguments: argparse.Namespace
) -> dict[str, float]:  # fmt: skip
    """Frames per CPU second by reader."""
    clips = np.random.default_rng(arguments.seed).integers(len(videos["crop"]), size=100).tolist()
    readers: dict[str, Callable[[int], object]] = {
        "bare PyAV": BarePyAV(videos["crop"]),
        "videos, crop": videos["crop"].__getitem__,
        "videos, crop + augmentation": videos["augment"].__getitem__,
        "bare JPEG": BareJPEG(tars["crop"]),
        "packed, crop": tars["crop"].__getitem__,
        "packed, crop + augmentation": tars["augment"].__getitem__,
    }
    for read in readers.values():  # opens files, reads annotation
        for index in clips:
            read(index)
    spent = dict.fromkeys(readers, 0.0)
    count = 0
    deadline = time.monotonic() + 60 * min(arguments.minutes, 1.0)
    while not count or time.monotonic() < deadline:
        for name, read in readers.items():  # interleaved, so that noise affects all equally
            start = time.process_time()
            for index in clips:
                read(index)
            spent[name] += time.process_time() - start
        count += len(clips) * videos["crop"].clip_length
    return {name: count / cost for name, cost in spent.items()}
