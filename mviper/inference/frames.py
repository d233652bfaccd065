"""Frame sources: video files, photos, animations, image folders and cameras, read repeatedly in constant memory."""

from __future__ import annotations

import abc
import contextlib
import logging
import queue
import re
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import av
import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mviper.errors import ConfigError, FileFormatError, MissingDataError, MviperError
from mviper.extras import import_extra
from mviper.files import is_hidden, walk_files, what_it_is
from mviper.graphics import (
    MAX_RATE,
    MIN_RATE,
    UNREADABLE,
    Upright,
    is_spliced,
    is_timed,
    open_video,
    stated_rate,
    video_stream,
    write_video,
)
from mviper.inference.optics import Optics, optics_of

_LOGGER = logging.getLogger(__name__)
_Item = TypeVar("_Item")

#: Image types that cv2 reads and writes.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
#: Endings of images in a folder; the type of a single file is detected from its content.
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".heic", ".heif", ".hif", ".avif", ".gif")
#: Endings of videos in a folder that is searched recursively.
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".3gp", ".wmv", ".flv",
)  # fmt: skip

#: PIL's names of the formats that are read; PIL knows others, some of which start external programs.
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "AVIF", "HEIF")
#: Formats that may contain an animation.
_ANIMATED = ("PNG", "WEBP", "GIF", "AVIF")
#: Brands in a file's first box that distinguish images from videos in the same container.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"miaf"}
_AVIF_BRANDS = {b"avif", b"avis"}
_SEQUENCE_BRANDS = {b"msf1", b"hevc", b"hevx", b"hevm", b"hevs"}
# Photos of 108 megapixels are common; images with more than twice PIL's warning limit are refused.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

#: Frames over which the rate of a file without one is measured; the rate assumed for a single frame.
_MEASURED, _ASSUMED_RATE = 30, 30.0
#: Minimum duration of an animation's images, as in browsers, and the duration used instead [s].
_SHORTEST, _SHOWN = 0.02, 0.1
#: Time stamps of concatenated streams jump; longer jumps than this are not pauses [s].
_DISCONTINUITY = 10.0


class Frame(NamedTuple):
    """One frame: its number, its time since the first frame [s], and its RGB image as displayed, uint8 (H, W, 3)."""

    number: int
    time: float
    image: np.ndarray


class FrameSource(abc.ABC):
    """Frames that can be iterated more than once.

    Attributes:
        path: The file, folder or camera.
        fps: Frames per second, as the file or the caller states it.
        width: Of every frame, upright [px].
        height: Of every frame, upright [px].
        problem: What was wrong with the file when it was last read to its end; "" if nothing.
        metadata: The file's metadata about the recording, see :func:`mviper.inference.optics.optics_of`.
    """

    path: Path
    fps: float
    width: int
    height: int
    problem: str = ""
    metadata: Mapping[str, object] = {}

    @property
    def optics(self) -> Optics:
        """The camera's focal length, from the metadata or guessed."""
        return optics_of(self.metadata, self.width, self.height)

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """All frames from the first; only one is kept in memory."""

    @property
    def is_photo(self) -> bool:
        """Whether the source is a single image."""
        return False


class VideoFile(FrameSource):
    """A video in any container that FFmpeg opens.

    Frames are as displayed: upright (rotation metadata is applied), with square pixels, without what an edit list
    removes, and with the file's time stamps, whether its rate is constant or not. Damaged packets are skipped, and a
    truncated file ends where it was cut; ``problem`` then says so.

    Args:
        path: The file.

    Raises:
        FileFormatError: It cannot be opened, has no video stream, no frame can be decoded, or its size, pixel aspect
            ratio or rate is implausible.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with open_video(path) as container:
                stream = self._stream(container)
                self.metadata = {**container.metadata, **stream.metadata}
                rate, moments, first = stated_rate(stream), [], None
                for frame in islice(self._decode(container, stream), 1 if rate else _MEASURED):
                    first = Upright(stream)(frame) if first is None else first
                    moments.append(frame.time if is_timed(container) else None)
                self.fps = rate or _measured_rate(moments)
        except av.InvalidDataError as error:
            raise FileFormatError(path, "not a readable video, or truncated before its index") from error
        except UNREADABLE as error:
            raise FileFormatError(path, f"not a readable video: {error}") from error
        if first is None:
            raise FileFormatError(path, f"no frame of it can be decoded{'; ' + self.problem if self.problem else ''}")
        if not MIN_RATE <= self.fps <= MAX_RATE:
            raise self._impossible_times(f"{self.fps:g} frames per second")
        self.height, self.width = first.shape[:2]

    def _impossible_times(self, what: str) -> FileFormatError:
        return FileFormatError(
            self.path,
            f"its time stamps are implausible: {what}, expected {MIN_RATE:g} to {MAX_RATE:g} frames per second",
            hint="re-encode it with the rate at which it was recorded",
        )

    def _stream(self, container: av.container.InputContainer) -> av.video.stream.VideoStream:
        stream = video_stream(container, self.path)
        stream.thread_type = "AUTO"
        return stream

    def _decode(self, container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Iterator:
        self.problem, damaged, count, end = "", 0, 0, 0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self.problem = f"it ends prematurely after frame {count}: {error}"
                return
            if packet is None:
                break
            end = max(end, (packet.pts or 0) + (packet.duration or 0))
            try:
                for frame in packet.decode():
                    count += 1
                    yield frame
            except (av.FFmpegError, ValueError):
                damaged += 1
        # What an edit list removes is included in the file's frame count, but not in its duration.
        whole = is_timed(container) and end - (stream.start_time or 0) >= 0.9 * (stream.duration or np.inf)
        if damaged:
            self.problem = f"{damaged} of its {count + damaged} frames are damaged and were skipped"
        elif 0 < count < 0.9 * stream.frames and not whole:
            self.problem = f"it ends prematurely after {count} of {stream.frames} frames"

    def __iter__(self) -> Iterator[Frame]:
        """See the base class."""
        size, last, start = (self.height, self.width), 0.0, None
        try:
            with open_video(self.path) as container:
                stream = self._stream(container)
                timed, spliced, upright = is_timed(container), is_spliced(container), Upright(stream)
                for number, frame in enumerate(self._decode(container, stream)):
                    moment = frame.time if timed and frame.time is not None else number / self.fps
                    if start is None:
                        start = moment
                    elif moment - start <= last or (spliced and moment - start > last + _DISCONTINUITY):
                        # Time stamps of damaged files stall or go backwards, those of concatenated ones jump.
                        last += 1 / self.fps
                        start = moment - last if spliced else start
                    elif moment - start > last + 1 / MIN_RATE:
                        gap = f"frame {number} comes {moment - start - last:.3g} s after the one before it"
                        raise self._impossible_times(gap)
                    else:
                        last = moment - start
                    if number >= _MEASURED and number > MAX_RATE * last:
                        raise self._impossible_times(f"{number} frames in {last:.3g} s")
                    image = upright(frame)
                    if image.shape[:2] != size:  # the frame size changed within the stream
                        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
                    yield Frame(number, last, image)
        except UNREADABLE as error:
            raise FileFormatError(self.path, f"not a readable video: {error}") from error


def _measured_rate(moments: list[float | None]) -> float:
    """Frames per second from the first frames' time stamps [s]."""
    if len(moments) < 2 or None in moments:
        return _ASSUMED_RATE
    span = max(moments) - min(moments)
    return (len(moments) - 1) / span if span > 0 else np.inf


class DerivedFrames(FrameSource):
    """Base of sources that yield all or some frames of another source.

    Args:
        source: The other source.
    """

    def __init__(self, source: FrameSource) -> None:
        self.source = source
        self.path, self.fps, self.width, self.height = source.path, source.fps, source.width, source.height

    @property
    def problem(self) -> str:
        """See the base class."""
        return self.source.problem

    @property
    def metadata(self) -> Mapping[str, object]:  # type: ignore[override]
        """See the base class."""
        return self.source.metadata

    @property
    def is_photo(self) -> bool:
        """See the base class."""
        return self.source.is_photo


class Excerpt(DerivedFrames):
    """A section of a video as a source of its own: numbers and times count from its first frame.

    Args:
        source: The whole video.
        start: Start [s].
        seconds: Length; None: to the end.

    Raises:
        ConfigError: A negative start, or a length that is not positive.
        MissingDataError: The video ends before the start.
    """

    def __init__(self, source: FrameSource, start: float = 0.0, seconds: float | None = None) -> None:
        if not start >= 0 or (seconds is not None and not seconds > 0):
            raise ConfigError(
                f"start={start} and seconds={seconds}: expected a start of 0 or more and a length above 0"
            )
        super().__init__(source)
        self.start, self.end = start, np.inf if seconds is None else start + seconds
        if next(iter(self), None) is None:
            raise MissingDataError(f"{source.path}: it ends before second {start:g}; give an earlier start")

    def __iter__(self) -> Iterator[Frame]:
        """See the base class."""
        first = None
        for frame in self.source:
            if frame.time >= self.end - 1e-6:
                return
            if frame.time >= self.start - 1e-6:
                first = first or frame
                yield Frame(frame.number - first.number, frame.time - first.time, frame.image)


class Pictures(FrameSource):
    """A photo, or photos as the frames of a video; the EXIF orientation is applied.

    Args:
        paths: The files, in order.
        fps: Frames per second of a sequence.
        path: The source's path; default: the first file.

    Raises:
        ConfigError: An implausible frame rate.
        FileFormatError: The first cannot be read.
        MissingDependencyError: It is HEIC, which needs an extra package.
    """

    def __init__(self, paths: list[Path], fps: float = 30.0, path: Path | None = None) -> None:
        if not MIN_RATE <= fps <= MAX_RATE:
            raise ConfigError(f"fps={fps}, expected frames per second, more than 0: {MIN_RATE:g} to {MAX_RATE:g}")
        self.paths, self.fps, self.path = paths, fps, Path(path or paths[0])
        self.height, self.width = _read_picture(paths[0]).shape[:2]
        self.metadata = _exif(paths[0])

    @property
    def is_photo(self) -> bool:
        """See the base class."""
        return len(self.paths) == 1

    def __iter__(self) -> Iterator[Frame]:
        """See the base class; images of other sizes are scaled to that of the first."""
        for number, path in enumerate(self.paths):
            image = _read_picture(path)
            if image.shape[:2] != (self.height, self.width):
                image = cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_AREA)
            yield Frame(number, number / self.fps, image)


class Animation(FrameSource):
    """An animated GIF, PNG, WebP or AVIF as a video; each image lasts as long as the file says.

    Args:
        path: The file.

    Raises:
        FileFormatError: It cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        first = list(islice(self, _MEASURED))
        self.height, self.width = first[0].image.shape[:2]
        self.fps = _measured_rate([frame.time for frame in first])

    def __iter__(self) -> Iterator[Frame]:
        """See the base class."""
        moment = 0.0
        with _opened(self.path) as picture:
            # An animated PNG may begin with a fallback image that is not part of the animation.
            for number, place in enumerate(range(bool(getattr(picture, "default_image", False)), picture.n_frames)):
                picture.seek(place)
                yield Frame(number, moment, _rgb(picture))
                shown = float(picture.info.get("duration") or 0) / 1000
                moment += shown if _SHORTEST <= shown <= 1 / MIN_RATE else _SHOWN


def is_picture(path: str | Path) -> bool:
    """Whether a file is a supported image, judged by its first bytes, not its name."""
    with open(path, "rb") as file:
        head = file.read(512)
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    return head.startswith(starts) or (head[:4], head[8:12]) == (b"RIFF", b"WEBP") or bool(_still_brands(head))


def _still_brands(head: bytes) -> set[bytes]:
    """Image brands in the first box of a file; none if it is a video in the same container."""
    if head[4:8] != b"ftyp" or head[8:12] in _SEQUENCE_BRANDS:
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[place : place + 4] for place in range(16, end, 4))} & (_HEIC_BRANDS | _AVIF_BRANDS)


def _is_cut(path: Path) -> bool:
    """Whether the data of a HEIC or AVIF extend beyond its end; libheif shows other tiles in place of those missing."""
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            head = file.read(16)
            length = int.from_bytes(head[8:] if head[:4] == b"\0\0\0\1" else head[:4], "big")
            if length < 8:  # up to the end, or what others have appended
                return False
            place += length
            if place > size:
                return head[4:8] in (b"meta", b"mdat")
    return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Opens an image and reads its header; PIL's many exceptions become the project's error."""
    try:
        with open(path, "rb") as file:
            brands = _still_brands(file.read(512))
        if brands and _is_cut(path):
            raise FileFormatError(path, "it is cut: copy or download it again")
        if brands and not brands & _AVIF_BRANDS:
            import_extra("pi_heif").register_heif_opener()
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.format == "TIFF" and picture.n_frames > 1:
                raise FileFormatError(
                    path, f"a TIFF of {picture.n_frames} pages; save the page you want as a separate file"
                )
            yield picture
    except MviperError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * Image.MAX_IMAGE_PIXELS / 1e6
        raise FileFormatError(path, f"it has more than {limit:.0f} million pixels; scale it down") from error
    except UnidentifiedImageError as error:
        raise FileFormatError(path, "not a readable picture") from error
    except Exception as error:
        raise FileFormatError(path, f"not a readable picture: {error}") from error


def _read_picture(path: Path) -> np.ndarray:
    with _opened(path) as picture:
        if picture.format in _ANIMATED and getattr(picture, "is_animated", False):
            raise FileFormatError(path, "it is animated; pass it as a separate input, not in a folder of images")
        return _rgb(picture)


def _exif(path: Path) -> dict[str, object]:
    """A photo's EXIF metadata by standard names."""
    with _opened(path) as picture:
        try:
            exif = picture.getexif()
            entries = (*exif.items(), *exif.get_ifd(ExifTags.IFD.Exif).items())
        except Exception:  # PIL raises many kinds of exception; the image is usable without EXIF
            return {}
        return {ExifTags.TAGS.get(tag, str(tag)): value for tag, value in entries}


def _rgb(picture: Image.Image) -> np.ndarray:
    """Decodes an image, upright, with 8 bits per channel."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I;16"):  # PIL would clip values above 255
        grey = (np.asarray(upright) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if upright.mode in ("I", "F"):
        raise ValueError("it has 32 bits per channel; save it with 8")
    return np.array(upright.convert("RGB"))


def open_frames(path: str | Path, fps: float = 30.0) -> FrameSource:
    """Opens a video, a photo, an animation, or a folder of pictures (in the order of the numbers in their names).

    Args:
        path: The file, whose type is detected from its content, or the folder.
        fps: Frames per second of a folder of pictures.

    Raises:
        ConfigError: An implausible frame rate.
        MissingDataError: No such file, or no image in the folder.
        FileFormatError: It cannot be read.
        MissingDependencyError: A photo is HEIC, which needs an extra package.
    """
    path = Path(path)
    if path.is_dir():
        pictures = _pictures_in(path)
        if not pictures:
            raise MissingDataError(f"{path}: no images in the folder; expected {', '.join(PICTURE_SUFFIXES)}")
        return Pictures(sorted(pictures, key=_numbers_in_name), fps, path)
    if not path.is_file():
        raise MissingDataError(f"{path}: no such file; give a video, a picture, a folder of pictures, or webcam:0")
    try:
        picture = is_picture(path)
    except OSError as error:
        raise FileFormatError(path, f"cannot be opened: {error.strerror}") from error
    if picture:
        with _opened(path) as header:
            moves = header.format in _ANIMATED and getattr(header, "is_animated", False)
        return Animation(path) if moves else Pictures([path], fps)
    try:
        return VideoFile(path)
    except FileFormatError as error:
        what = what_it_is(path)
        if path.suffix.lower() in PICTURE_SUFFIXES:
            what = f"it is {what}" if what else "and not a video either"
            raise FileFormatError(path, f"not a readable picture: {what}") from error
        if what:
            raise FileFormatError(path, f"not a readable video: it is {what}") from error
        raise


def _pictures_in(folder: Path) -> list[Path]:
    files = (file for file in folder.iterdir() if not is_hidden(file))
    return [file for file in files if file.suffix.lower() in PICTURE_SUFFIXES]


def is_picture_folder(folder: str | Path) -> bool:
    """Whether a folder contains images, the frames of one video."""
    return bool(_pictures_in(Path(folder)))


def videos_in(folder: str | Path) -> list[Path]:
    """The videos in a folder and its subfolders, recognised by their file endings, sorted."""
    return sorted(walk_files(folder, *VIDEO_SUFFIXES))


def _numbers_in_name(path: Path) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def camera_frames(number: int) -> Iterator[Frame]:
    """Live frames of a webcam, until it is unplugged.

    Args:
        number: 0 for the first camera.

    Raises:
        MissingDataError: No such camera.
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
    """Records a camera into a video with the true times of its frames.

    Args:
        frames: E.g. :func:`camera_frames`.
        path: Ends in ``.mp4``.
        seconds: Duration [s]; Ctrl-C stops earlier.

    Returns:
        The opened video.

    Raises:
        MissingDataError: The camera delivered no frame.
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
        raise MissingDataError(f"{path}: the camera delivered no frame; is it plugged in and uncovered?") from error
    return VideoFile(path)


def ahead(items: Iterable[_Item], count: int = 4) -> Iterator[_Item]:
    """Iterates in a separate thread, a few items ahead, so that decoding or drawing overlaps with other work.

    Args:
        items: The iterable; its exceptions are raised here.
        count: Maximum number of buffered items.
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
