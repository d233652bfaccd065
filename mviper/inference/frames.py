"""Frames in: video files, photos, image folders and cameras, read again and again in constant memory."""

from __future__ import annotations

import abc
import logging
import queue
import re
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import av
import cv2
import numpy as np

from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.graphics.video import write_video

_LOGGER = logging.getLogger(__name__)
_Item = TypeVar("_Item")

#: What cv2 reads as a picture.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


class Frame(NamedTuple):
    """One picture: its number, its time [s] from the first frame, RGB uint8 (H, W, 3) as it is to be seen."""

    number: int
    time: float
    image: np.ndarray


class FrameSource(abc.ABC):
    """Frames that can be walked more than once.

    Attributes:
        path: Where they come from.
        fps: Frames per second, on average.
        width: Of every frame, upright [px].
        height: Of every frame, upright [px].
        problem: What was wrong with the file when it was last walked to its end; "" if nothing.
    """

    path: Path
    fps: float
    width: int
    height: int
    problem: str = ""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """All frames from the first; only one is held at a time."""

    @property
    def is_photo(self) -> bool:
        """Whether it is a single picture."""
        return False


class VideoFile(FrameSource):
    """Any container that ffmpeg opens.

    Frames come upright (rotation metadata is applied) with the time stamps of the file, be its rate constant or not. A
    damaged packet is left out, a cut file ends where it was cut; ``problem`` then says so.

    Args:
        path: The file.

    Raises:
        FileFormatError: It cannot be opened, has no video, or not one frame can be decoded.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with self._open() as container:
                stream = self._stream(container)
                self.fps = float(stream.average_rate or stream.guessed_rate or 30)
                first = next(self._decode(container, stream), None)
        except av.InvalidDataError as error:
            raise FileFormatError(path, "not a readable video, or one that was cut off before its index") from error
        except (av.FFmpegError, OSError, ValueError) as error:
            raise FileFormatError(path, f"not a readable video: {error}") from error
        if first is None:
            raise FileFormatError(path, f"no frame of it can be decoded{'; ' + self.problem if self.problem else ''}")
        self.height, self.width = _upright(first).shape[:2]

    def _open(self) -> av.container.InputContainer:
        return av.open(str(self.path), metadata_errors="ignore")

    def _stream(self, container: av.container.InputContainer) -> av.video.stream.VideoStream:
        # An audio file's cover is a video stream too.
        cover = av.stream.Disposition.attached_pic
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise FileFormatError(self.path, f"there is no video in it, only {kinds}; expected a video or a picture")
        streams[0].thread_type = "AUTO"
        return streams[0]

    def _decode(self, container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Iterator:
        self.problem, damaged, count = "", 0, 0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self.problem = f"it breaks off after frame {count}: {error}"
                return
            if packet is None:
                break
            try:
                for frame in packet.decode():
                    count += 1
                    yield frame
            except (av.FFmpegError, ValueError):
                damaged += 1
        if damaged:
            self.problem = f"{damaged} of its {count + damaged} frames are damaged and left out"
        elif 0 < count < 0.9 * stream.frames:
            self.problem = f"it breaks off after {count} of {stream.frames} frames"

    def __iter__(self) -> Iterator[Frame]:
        """See the base class."""
        size, start, last = (self.height, self.width), None, -1.0
        try:
            with self._open() as container:
                for number, frame in enumerate(self._decode(container, self._stream(container))):
                    moment = frame.time if frame.time is not None else number / self.fps
                    start = moment if start is None else start
                    # Time stamps of damaged files may stand still or go back.
                    last = moment - start if moment - start > last else last + 1 / self.fps
                    image = _upright(frame)
                    if image.shape[:2] != size:  # the stream changed its size on the way
                        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
                    yield Frame(number, last, image)
        except (av.FFmpegError, OSError) as error:
            raise FileFormatError(self.path, f"not a readable video: {error}") from error


class Excerpt(FrameSource):
    """A stretch of a video, as a video of its own: numbers and times count from its first frame.

    Args:
        source: The whole video.
        start: Where it begins [s].
        seconds: Its length; None: to the end.

    Raises:
        ConfigError: A negative start, or a length that is not positive.
        MissingDataError: The video ends before.
    """

    def __init__(self, source: FrameSource, start: float = 0.0, seconds: float | None = None) -> None:
        if not start >= 0 or (seconds is not None and not seconds > 0):
            raise ConfigError(
                f"start={start} and seconds={seconds}: expected a start of 0 or more and a length above 0"
            )
        self.source, self.start, self.end = source, start, np.inf if seconds is None else start + seconds
        self.path, self.fps, self.width, self.height = source.path, source.fps, source.width, source.height
        if next(iter(self), None) is None:
            raise MissingDataError(f"{source.path}: it ends before second {start:g}; give an earlier start")

    @property
    def problem(self) -> str:
        """See the base class."""
        return self.source.problem

    @property
    def is_photo(self) -> bool:
        """See the base class."""
        return self.source.is_photo

    def __iter__(self) -> Iterator[Frame]:
        """See the base class."""
        first = None
        for frame in self.source:
            if frame.time >= self.end - 1e-6:
                return
            if frame.time >= self.start - 1e-6:
                first = first or frame
                yield Frame(frame.number - first.number, frame.time - first.time, frame.image)


def _upright(frame: av.VideoFrame) -> np.ndarray:
    image = frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90)  # counter-clockwise, as ffmpeg tells it
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns % 4 else image


class Pictures(FrameSource):
    """A photo, or photos as the frames of a video; EXIF's orientation is applied.

    Args:
        paths: The files, in order.
        fps: Frames per second of a sequence.
        path: What to call it, default the first file.

    Raises:
        ConfigError: A rate that is not positive.
        FileFormatError: The first cannot be read.
    """

    def __init__(self, paths: list[Path], fps: float = 30.0, path: Path | None = None) -> None:
        if not fps > 0:
            raise ConfigError(f"fps={fps}, expected frames per second, more than 0")
        self.paths, self.fps, self.path = paths, fps, Path(path or paths[0])
        self.height, self.width = _read_picture(paths[0]).shape[:2]

    @property
    def is_photo(self) -> bool:
        """See the base class."""
        return len(self.paths) == 1

    def __iter__(self) -> Iterator[Frame]:
        """See the base class; pictures of another size than the first are scaled to it."""
        for number, path in enumerate(self.paths):
            image = _read_picture(path)
            if image.shape[:2] != (self.height, self.width):
                image = cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_AREA)
            yield Frame(number, number / self.fps, image)


def _read_picture(path: Path) -> np.ndarray:
    try:
        content = np.fromfile(path, np.uint8)  # not cv2.imread: it cannot say why it fails
    except OSError as error:
        raise FileFormatError(path, f"cannot be opened: {error.strerror}") from error
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if image is None:
        raise FileFormatError(path, "not a readable picture")
    return np.ascontiguousarray(image[..., ::-1])


def open_frames(path: str | Path, fps: float = 30.0) -> FrameSource:
    """Opens a video, a photo, or a folder of pictures (in the order of the numbers in their names).

    Args:
        path: The file or folder.
        fps: Frames per second of a folder of pictures.

    Raises:
        ConfigError: A rate that is not positive.
        MissingDataError: There is no such file, or no picture in the folder.
        FileFormatError: It cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        pictures = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
        if not pictures:
            raise MissingDataError(f"{path}: no pictures in the folder; expected {', '.join(IMAGE_SUFFIXES)}")
        return Pictures(sorted(pictures, key=_numbers_in_name), fps, path)
    if not path.is_file():
        raise MissingDataError(f"{path}: no such file; give a video, a picture, a folder of pictures, or webcam:0")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Pictures([path], fps)
    return VideoFile(path)


def _numbers_in_name(path: Path) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def camera_frames(number: int) -> Iterator[Frame]:
    """Frames of a camera at the computer, as they come, until it is unplugged.

    Args:
        number: 0 for the first camera.

    Raises:
        MissingDataError: There is no such camera.
    """
    capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            raise MissingDataError(f"webcam:{number}: no such camera, or another program uses it")
        start = None
        for count in range(2**62):
            good, image = capture.read()
            if not good:
                return
            start = time.monotonic() if start is None else start
            yield Frame(count, time.monotonic() - start, np.ascontiguousarray(image[..., ::-1]))
    finally:
        capture.release()


def record(frames: Iterator[Frame], path: str | Path, seconds: float) -> VideoFile:
    """Writes what a camera sees into a video with the true times of its frames.

    Args:
        frames: E.g. :func:`camera_frames`.
        path: Ends in ``.mp4``.
        seconds: How long; Ctrl-C ends it earlier.

    Returns:
        The video, opened.

    Raises:
        MissingDataError: Not one frame came.
    """
    times: list[float] = []

    def until_the_end() -> Iterator[np.ndarray]:
        try:
            for frame in islice(frames, None):
                if frame.time > seconds:
                    return
                times.append(frame.time)
                yield frame.image
        except KeyboardInterrupt:
            _LOGGER.info("recording ended after %d frames", len(times))

    try:
        write_video(path, until_the_end(), 30, times=times, preset="veryfast")
    except ValueError as error:
        if times:
            raise
        raise MissingDataError(
            f"{path}: the camera gave no frame to record; is it plugged in and uncovered?"
        ) from error
    return VideoFile(path)


def ahead(items: Iterable[_Item], count: int = 4) -> Iterator[_Item]:
    """Walks something in a thread of its own, a few items ahead: decoding, or drawing, beside other work.

    Args:
        items: What to walk; its errors are raised here.
        count: How many items at most wait.
    """
    waiting: queue.Queue = queue.Queue(count)
    left = threading.Event()

    def put(entry: tuple[_Item | None, BaseException | None]) -> None:
        while not left.is_set():
            try:
                return waiting.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def walk() -> None:
        try:
            for item in items:
                put((item, None))
                if left.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=walk, daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        left.set()
        thread.join()
