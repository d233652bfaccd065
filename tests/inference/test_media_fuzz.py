"""Mutated videos and photos: every reader reads them or raises the project's error, quickly and in little memory.

Decoders are written in C, so crashes, excessive memory and endless loops must be caught as well. The readers therefore
run in a separate process with limits, which announces each file before reading it. ``MVIPER_FUZZ=10000`` sets the
number of files per reader; file K of a reader is the same in every run.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mviper.errors import FileFormatError

#: Files per reader; memory limit of its process [bytes], and CPU time limit per file [s].
FILES = int(os.environ.get("MVIPER_FUZZ", "45"))
MEMORY, SECONDS = 4 * 2**30, 20
FRAMES = 12


def kinds() -> dict[str, Callable[[Path], object]]:
    """Writers of small files of each kind, by file ending."""
    from media_files import numbered, write, write_heic
    from PIL import Image

    frames = numbered(FRAMES)
    images = [Image.fromarray(frame) for frame in frames[:3]]

    def video(codec: str, **options) -> Callable:
        return lambda path: write(path, frames, codec, **options)

    def photo(**options) -> Callable:
        return lambda path: images[0].save(path, **options)

    moving = photo(save_all=True, append_images=images[1:], duration=50)
    return {
        ".mp4": video("libx264", b_frames=2), ".mov": video("libx265", b_frames=2), ".avi": video("mpeg4", b_frames=2),
        ".mkv": video("libx264", b_frames=2), ".webm": video("libvpx-vp9"), ".ts": video("mpeg2video", b_frames=2),
        ".h264": video("libx264"), ".jpg": photo(), ".png": photo(), ".tif": photo(), ".bmp": photo(), ".webp": moving,
        ".gif": moving, ".avif": moving,
        ".heic": lambda path: write_heic(path, np.tile(frames[0], (2, 2, 1))[:128, :128]),
    }  # fmt: skip


def readers() -> dict[str, Callable[[Path], object]]:
    from mviper.datasets.clips import read_picture
    from mviper.datasets.video import VideoReader
    from mviper.graphics.video import read_video
    from mviper.inference.frames import open_frames
    from mviper.synthesis.scene.photos import read_photo

    def walked(path: Path) -> None:
        last = -1.0
        source = open_frames(path)
        for frame in source:
            assert frame.image.shape == (source.height, source.width, 3) and last < frame.time < np.inf
            last = frame.time

    def random_places(path: Path) -> None:
        reader = VideoReader()
        for frames in ([5, 6], [2], [7, 9]):
            reader.read(path, frames)

    return {
        "open_frames": walked, "VideoReader": random_places, "read_video": lambda path: read_video(path, 50),
        "read_picture": read_picture, "read_photo": lambda path: read_photo(path, 1000),
    }  # fmt: skip


def changed(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four mutations: bytes and bits altered, parts removed, duplicated or overwritten, the end cut off."""
    result = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        # Headers matter more than image data.
        reach = len(result) if rng.random() < 0.5 else min(len(result), 1500)
        place, length, kind = int(rng.integers(reach + 1)), int(rng.integers(1, 100)), rng.integers(7)
        if kind == 0 and result:
            result[place % len(result)] = rng.integers(256)
        elif kind == 1 and result:
            result[place % len(result)] ^= 1 << rng.integers(8)
        elif kind == 2:
            del result[place : place + length]
        elif kind == 3:
            start = int(rng.integers(len(result) + 1))
            result[place:place] = result[start : start + length]
        elif kind == 4:
            extreme = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\x80\0\0\0"]
            result[place : place + 4] = extreme[rng.integers(len(extreme))]
        elif kind == 5:
            result[place : place + length] = rng.bytes(length)
        elif rng.random() < 0.5:
            del result[place:]
    return bytes(result)


def walk(folder: Path, files: int, names: list[str]) -> None:
    """Runs in a separate process: reads mutated files, announcing each before it is read."""
    faulthandler.enable()
    read = readers()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    endings = sorted(kinds())
    contents = {ending: (folder / f"whole{ending}").read_bytes() for ending in endings}
    for name in names:
        accepted = 0
        for number in range(files):
            rng = np.random.default_rng([len(name), number])
            ending = endings[number % len(endings)]
            named = ending if rng.random() < 0.8 else endings[rng.integers(len(endings))]
            path = folder / f"{name}{named}"
            path.write_bytes(changed(contents[ending], rng))
            print(f"{name} {number} {ending} as {named}", flush=True)
            start = time.process_time()
            try:
                read[name](path)
                accepted += 1
            except FileFormatError as error:
                assert str(path) in str(error), error
            assert time.process_time() - start < SECONDS, f"it took {time.process_time() - start:.0f} s"
        print(f"{name}: of {files} files {accepted} read, {files - accepted} refused", flush=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("fuzz")
    for ending, make in kinds().items():
        make(place / f"whole{ending}")
    return place


def test_changed_files_raise_only_our_error(folder):
    pytest.importorskip("pi_heif")
    names = ["open_frames", "VideoReader", "read_video", "read_picture", "read_photo"]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, __file__, str(folder), str(FILES), *names],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    # Decoders also print.
    lines = [line for line in done.stdout.splitlines() if line.startswith(tuple(names))]
    assert done.returncode == 0, f"{done.returncode} after {lines[-1:]}\n{done.stderr[-3000:]}"
    counts = [line for line in lines if " files " in line]
    print(*counts, sep="\n")
    assert len(counts) == len(names) and not any(" 0 read" in line or " 0 refused" in line for line in counts)


if __name__ == "__main__":
    walk(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
