"""How fast the data set delivers clips."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from benchmarks import Result
from mviper.datasets import SyntheticHumanVideo


def measure(arguments: argparse.Namespace) -> Result:
    """Random clips of T = 4 through the data set, beside bare PyAV decoding of the same windows."""
    root = arguments.data[0] if arguments.data else Path("data/demo")
    rng = np.random.default_rng(arguments.seed)
    crop = [dict(type="CropClip", size=224), dict(type="PackBodySample")]
    augment = [dict(type="AugmentClip"), crop[0], dict(type="JitterClip"), crop[1]]
    datasets = {
        "data set, crop": SyntheticHumanVideo(root, pipeline=crop),
        "data set, crop + augmentation": SyntheticHumanVideo(root, pipeline=augment),
    }
    some = datasets["data set, crop"]
    clips = rng.integers(len(some), size=100)
    open_videos: dict[str, object] = {}

    def bare(index: int) -> None:
        number, start = some.locate(index)
        view = some.views[number]
        if view.name not in open_videos:
            open_videos[view.name] = av.open(str(view.video))
            open_videos[view.name].streams.video[0].thread_count = 1
        container = open_videos[view.name]
        stream = container.streams.video[0]
        rate = float(stream.average_rate)
        container.seek(round(start / rate / stream.time_base), stream=stream)
        found = 0
        for frame in container.decode(stream):
            if round(float(frame.pts * stream.time_base) * rate) >= start:
                frame.to_ndarray(format="rgb24")
                found += 1
                if found == some.clip_length:
                    return

    readers: dict[str, Callable] = {"bare PyAV": bare}
    readers |= {name: dataset.__getitem__ for name, dataset in datasets.items()}
    for read in readers.values():  # opens files, reads annotation
        for index in clips[:20]:
            read(int(index))
    spent = dict.fromkeys(readers, 0.0)
    count = 0
    deadline = time.monotonic() + 60 * min(arguments.minutes, 1.0)
    while not count or time.monotonic() < deadline:
        for name, read in readers.items():  # side by side, so that noise hits all alike
            start = time.process_time()
            for index in clips:
                read(int(index))
            spent[name] += time.process_time() - start
        count += len(clips) * some.clip_length
    rates = {name: count / cost for name, cost in spent.items()}
    rows = [("reader", "frames per CPU-s", "ratio to bare PyAV")]
    rows += [(name, f"{rate:.0f}", f"{rate / rates['bare PyAV']:.2f}") for name, rate in rates.items()]
    figures = {
        "bare_pyav_frames_per_cpu_s": rates["bare PyAV"],
        "dataset_crop_frames_per_cpu_s": rates["data set, crop"],
        "dataset_augmented_frames_per_cpu_s": rates["data set, crop + augmentation"],
        "dataset_augmented_ratio": rates["data set, crop + augmentation"] / rates["bare PyAV"],
    }
    return rows, figures, {"dataset_augmented_ratio": [">=", 0.70]}
