"""Cost of recovering a video, by stage and in total, and whether memory grows with its length."""

from __future__ import annotations

import argparse
import multiprocessing
import re
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import Result
from mviper.config import load_config
from mviper.datasets import crop_frame
from mviper.engine import write_checkpoint
from mviper.errors import MissingDataError
from mviper.graphics import write_video
from mviper.inference import OVERLAY_CODING, Frame, FrameSource, MeshRecoverer, PeopleTracker, open_frames
from mviper.registry import MODELS

#: The small encoder, with the body in the rest pose if it is not trained.
CONFIG = "configs/demo/mviper.py"
#: A walking person, from ``../shared/data/videos``.
_VIDEO = Path("../shared/data/videos/sports2d_demo.mp4")
#: Frames of the timed video, 1280 x 720.
TIMED = 120
#: Lengths at which peak memory is compared; the video is looped.
LENGTHS = (2_000, 10_000)
#: The same without a network, where the whole track is fitted to eight detector passes.
FITTED_LENGTHS = (500, 2_500)
#: Height of the videos in which only length matters [px].
_LOW = 288


class Looped(FrameSource):
    """A looped and scaled video, up to a number of frames.

    Args:
        source: The video.
        count: Number of frames.
        height: Of the frames [px].
    """

    def __init__(self, source: FrameSource, count: int, height: int) -> None:
        self.source, self.count, self.path, self.fps = source, count, source.path, source.fps
        self.height, self.width = height, round(source.width * height / source.height / 2) * 2

    def __iter__(self) -> Iterator[Frame]:
        """See the base class."""
        number = 0
        while number < self.count:
            for frame in islice(self.source, self.count - number):
                image = cv2.resize(frame.image, (self.width, self.height), interpolation=cv2.INTER_AREA)
                yield Frame(number, number / self.fps, image)
                number += 1


def measure(arguments: argparse.Namespace) -> Result:
    """Times the stages one by one and together, then recovers a short and a long video in fresh processes."""
    path = arguments.data[0] if arguments.data else _VIDEO
    if not path.is_file():
        raise MissingDataError(f"{path}: no such video; give one with a person in it: --data VIDEO")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(arguments.seed)
        model = MODELS.build({**load_config(CONFIG).model, "losses": None})
        model.init_weights()
        write_checkpoint({"state_dict": model.state_dict()}, folder / "small.pth")
        original = open_frames(path)
        frames = Looped(original, TIMED, 720)
        write_video(folder / "720p.mp4", (frame.image for frame in frames), original.fps)
        recover = MeshRecoverer(CONFIG, folder / "small.pth")
        stages, rate, people = _stages(recover, folder / "720p.mp4", folder)
        peaks = [_peak_of(path, folder, CONFIG, length) for length in LENGTHS]
        fitted = [_peak_of(path, folder, None, length) for length in FITTED_LENGTHS]
    rows = [(f"stage, {frames.width} x {frames.height}, {people} people", "ms a frame")]
    rows += [(stage, f"{value:.1f}") for stage, value in stages.items()]
    rows.append(("sum, one after the other", f"{sum(stages.values()):.1f}"))
    rows.append(("all in, with overlay [frames/s]", f"{rate:.1f}"))
    rows += [(f"peak memory of {count:,} frames [MB]", f"{peak:.0f}") for count, peak in zip(LENGTHS, peaks)]
    rows.append(("growth from the one to the other [MB]", f"{peaks[1] - peaks[0]:.0f}"))
    rows += [
        (f"peak memory of {count:,} fitted frames [MB]", f"{peak:.0f}") for count, peak in zip(FITTED_LENGTHS, fitted)
    ]
    figures = {f"{stage.replace(' ', '_')}_ms": value for stage, value in stages.items()}
    figures |= {f"peak_mb_{count}_frames": peak for count, peak in zip(LENGTHS, peaks)}
    figures |= {f"peak_mb_{count}_fitted_frames": peak for count, peak in zip(FITTED_LENGTHS, fitted)}
    figures |= {"all_in_frames_per_second": rate, "memory_growth_mb": peaks[1] - peaks[0]}
    return rows, figures, {"all_in_frames_per_second": [">=", 15.0], "memory_growth_mb": ["<=", 100.0]}


def _stages(recover: MeshRecoverer, video: Path, folder: Path) -> tuple[dict[str, float], float, int]:
    """Milliseconds per frame of each stage alone; frames/s of the recoverer in normal use; number of people."""
    source = open_frames(video)
    recover(source)  # the first run is a warm-up
    start = time.perf_counter()
    result = recover(source)
    result.render(folder / "overlay.mp4")
    all_in = time.perf_counter() - start
    count = len(result.times)

    spent: dict[str, float] = {}

    def timed(stage: str, items: Iterable) -> list:
        start = time.perf_counter()
        done = list(items)
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - start
        return done

    frames = timed("decode", source)
    tracker = PeopleTracker(source.fps, recover.max_people)
    timed("detect", map(tracker.step, frames))
    tracker.finish()
    model = recover.model
    with torch.no_grad():
        for person in result.people:
            shown = frames[person.first : person.first + len(person)]
            crops = timed(
                "crop", (crop_frame(frame.image, box, recover.image_size) for frame, box in zip(shown, person.boxes))
            )
            clips = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)[None].split(recover.clip_length, 1)
            encoded = timed("encode", map(model.encode, clips))
            walked = timed("recurrent part", _walk(model.unroll, encoded))
            timed("body", (model.decode(phi) for phi in walked))
            timed("body", result.meshes(person))
    drawn = timed("decode, body, overlay", result.pictures())
    spent["overlay"] = spent.pop("decode, body, overlay") - spent["decode"] - spent["body"]
    timed("encode video", (write_video(folder / "again.mp4", part, result.fps, **OVERLAY_CODING) for part in [drawn]))
    return {stage: 1e3 * seconds / count for stage, seconds in spent.items()}, count / all_in, len(result.people)


def _walk(unroll: Callable, encoded: list) -> Iterator[torch.Tensor]:
    memory = None
    for features, maps in encoded:
        phi, memory = unroll(features, maps, memory)
        yield phi


def _peak_of(video: Path, folder: Path, config: str | None, frames: int) -> float:
    """Peak memory of a fresh process that recovers a number of frames, with overlay [MB]."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_recover_long, video, folder, config, frames).result()


def _recover_long(video: Path, folder: Path, config: str | None, frames: int) -> float:
    recover = MeshRecoverer(config, None if config is None else folder / "small.pth", max_people=1)
    recover(Looped(open_frames(video), frames, _LOW)).render(folder / f"long_{frames}.mp4")
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage's figure for a spawned process includes its parent
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # macOS counts bytes
