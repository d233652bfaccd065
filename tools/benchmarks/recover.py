"""Cost of recovering a video with the released network, by stage and in total, and whether memory grows with length."""

from __future__ import annotations

import argparse
import multiprocessing
import re
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

import cv2

from benchmarks import Result
from mviper.errors import MissingDataError
from mviper.graphics import write_video
from mviper.inference import OVERLAY_CODING, Frame, FrameSource, MeshRecoverer, open_frames

_Done = TypeVar("_Done")

#: A walking person, from ``../shared/data/videos``.
_VIDEO = Path("../shared/data/videos/sports2d_demo.mp4")
#: Frames of the timed video, 1280 x 720.
TIMED = 120
#: Lengths at which peak memory is compared; the video is played to and fro.
LENGTHS = (1_000, 5_000)
#: The same where the whole track is then fitted to all views of the detector.
FITTED_LENGTHS = (500, 2_500)
#: Height of the videos in which only length matters [px].
_LOW = 288


class Stored(FrameSource):
    """A video's decoded frames, in memory.

    Args:
        source: The video.
    """

    def __init__(self, source: FrameSource) -> None:
        self.frames, self.path, self.fps = list(source), source.path, source.fps
        self.width, self.height = source.width, source.height

    def __iter__(self) -> Iterator[Frame]:
        """See the base class."""
        return iter(self.frames)


class ToAndFro(FrameSource):
    """A scaled video, played forwards and backwards by turns so that it has no cut, up to a number of frames.

    Args:
        source: The video; its scaled frames are kept in memory.
        count: Number of frames.
        height: Of the frames [px].
    """

    def __init__(self, source: FrameSource, count: int, height: int) -> None:
        self.count, self.path, self.fps = count, source.path, source.fps
        self.height, self.width = height, round(source.width * height / source.height / 2) * 2
        size = (self.width, self.height)
        self.images = [cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA) for frame in islice(source, count)]

    def __iter__(self) -> Iterator[Frame]:
        """See the base class."""
        turns = cycle([*range(len(self.images)), *range(len(self.images) - 2, 0, -1)])
        for number, index in enumerate(islice(turns, self.count)):
            yield Frame(number, number / self.fps, self.images[index].copy())


def measure(arguments: argparse.Namespace) -> Result:
    """Times the stages one by one and together, then recovers a short and a long video in fresh processes."""
    path = arguments.data[0] if arguments.data else _VIDEO
    if not path.is_file():
        raise MissingDataError(f"{path}: no such video; give one with a person in it: --data VIDEO")
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        original = open_frames(path)
        frames = ToAndFro(original, TIMED, 720)
        write_video(folder / "720p.mp4", (frame.image for frame in frames), original.fps)
        for way, refine in (("network", False), ("network and fit", True)):
            stages, rate, people = stages_of(MeshRecoverer(refine=refine), folder / "720p.mp4", folder)
            rows.append((f"{way}, {frames.width} x {frames.height}, {people} people", "CPU ms a frame"))
            rows += [(stage, f"{value:.1f}") for stage, value in stages.items()]
            recovery = sum(value for stage, value in stages.items() if stage in ("decode", "find people", "recover"))
            rows += [
                ("recovery without pictures", f"{recovery:.1f}"),
                ("all in, with overlay [frames/s]", f"{rate:.1f}"),
            ]
            key = way.replace(" ", "_")
            figures |= {f"{key}_{stage.replace(' ', '_')}_cpu_ms": value for stage, value in stages.items()}
            figures |= {f"{key}_cpu_ms": recovery, f"{key}_frames_per_second": rate}
        for way, refine, lengths in (("network", False, LENGTHS), ("network and fit", True, FITTED_LENGTHS)):
            peaks = [_peak_of(path, folder, refine, length) for length in lengths]
            rows += [(f"{way}, peak memory of {count:,} frames [MB]", f"{peak:.0f}") for count, peak in
                     zip(lengths, peaks)]  # fmt: skip
            key = way.replace(" ", "_")
            figures |= {f"{key}_peak_mb_{count}_frames": peak for count, peak in zip(lengths, peaks)}
            figures[f"{key}_memory_growth_mb"] = peaks[1] - peaks[0]
    targets = {
        "network_frames_per_second": [">=", 15.0], "network_and_fit_cpu_ms": ["<=", 150.0],
        "network_memory_growth_mb": ["<=", 100.0], "network_and_fit_memory_growth_mb": ["<=", 100.0],
    }  # fmt: skip
    return rows, figures, targets


def stages_of(recover: MeshRecoverer, video: Path, folder: Path) -> tuple[dict[str, float], float, int]:
    """CPU milliseconds per frame of each stage alone; frames/s (wall time) in normal use; number of people."""
    source = open_frames(video)
    recover(source)  # the first run is a warm-up
    start = time.perf_counter()
    result = recover(source)
    result.render(folder / "overlay.mp4")
    all_in = time.perf_counter() - start
    count = len(result.times)
    spent: dict[str, float] = {}

    def timed(stage: str, action: Callable[[], _Done]) -> _Done:
        begin = time.process_time()
        done = action()
        spent[stage] = 1e3 * (time.process_time() - begin) / count
        return done

    stored = timed("decode", lambda: Stored(source))
    seen = timed("find people", lambda: recover.observe(stored))
    timed("recover", lambda: recover.recover(seen))
    drawn = timed("overlay", lambda: list(replace(result, source=stored).pictures()))
    timed("encode video", lambda: write_video(folder / "again.mp4", drawn, result.fps, **OVERLAY_CODING))
    return spent, count / all_in, len(result.people)


def _peak_of(video: Path, folder: Path, refine: bool, frames: int) -> float:
    """Peak memory of a fresh process that recovers a number of frames, with overlay [MB]."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_recover_long, video, folder, refine, frames).result()


def _recover_long(video: Path, folder: Path, refine: bool, frames: int) -> float:
    recover = MeshRecoverer(refine=refine, max_people=1)
    recover(ToAndFro(open_frames(video), frames, _LOW)).render(folder / f"long_{frames}.mp4")
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage's figure for a spawned process includes its parent
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # macOS counts bytes
