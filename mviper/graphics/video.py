"""Writes videos that browsers play, and reads videos, with PyAV. Frames are RGB uint8, shape (H, W, 3).

This module defines for all readers how a file is displayed: frames come with square pixels, rotated and mirrored as the
file says, converted by its colour matrix and range (``docs/inputs.md``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter

from mviper.errors import ConfigError, FileFormatError
from mviper.files import atomic_path

#: Exceptions of PyAV, and of arithmetic on a file without rate or time stamps.
UNREADABLE = (OSError, ValueError, TypeError, ArithmeticError, av.FFmpegError)

#: Maximum pixels of a frame; 8K has half as many. A decoder holds up to 17 frames at once.
MAX_PIXELS = 2**26
#: The same limit for a decoder, as the frame size may change within a file.
DECODER_LIMITS = {"max_pixels": str(MAX_PIXELS)}
#: Accepted range of frames per second.
MIN_RATE, MAX_RATE = 1e-3, 1000.0
#: Maximum aspect ratio of a pixel; in practice it is at most 2.
_MAX_ASPECT = 4
#: Time base of videos without a constant rate [1/s].
_TICKS = 90_000
#: Formats other than videos that FFmpeg opens: text, and lists of other files.
_NO_VIDEOS = {"tty", "bin", "xbin", "idf", "adf", "hls", "dash", "concat", "image2"}
#: FFmpeg's flag for containers whose time stamps may jump (AVFMT_TS_DISCONT).
_MAY_JUMP = 0x0200
#: Containers that number frames in decoding order instead of giving presentation times.
_UNTIMED = {"avi", "h264", "hevc", "vvc", "m4v", "mpegvideo", "obu"}


def ffmpeg_url(path: str | Path) -> str:
    """A file's name for FFmpeg, with a folder in front so that a colon does not mark a protocol."""
    return os.path.join(".", path)


def open_video(path: str | Path) -> av.container.InputContainer:
    """Opens a file, but nothing that it refers to.

    Raises:
        OSError, ValueError: From PyAV, see :data:`UNREADABLE`.
    """
    # Options of the container, and of the decoders that probe it.
    options = {"protocol_whitelist": "file", **DECODER_LIMITS}
    return av.open(ffmpeg_url(path), metadata_errors="ignore", options=options)


def video_stream(container: av.container.InputContainer, path: str | Path) -> av.video.stream.VideoStream:
    """A container's video stream.

    Args:
        container: Result of :func:`open_video`.
        path: The file, for the errors.

    Raises:
        FileFormatError: There is none, or its frames are too large or of implausible shape.
    """
    kind = container.format.name
    if kind.endswith("_pipe") or kind in _NO_VIDEOS:
        raise FileFormatError(
            path, f"not a video, but {container.format.long_name}; expected a video, or a picture as JPEG or PNG"
        )
    # The cover of an audio file is a video stream too.
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise FileFormatError(path, f"it contains no video stream, only {kinds}; expected a video or a picture")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise FileFormatError(path, "FFmpeg does not know the codec of its video; convert it to H.264")
    width, height = context.width, context.height
    if width * height > MAX_PIXELS:
        raise FileFormatError(
            path, f"its frames have {width} x {height} pixels, more than {MAX_PIXELS / 1e6:.0f} million; scale it down"
        )
    aspect = stream.sample_aspect_ratio or 1
    if not 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        raise FileFormatError(path, f"its pixel aspect ratio is given as {float(aspect):g}; re-encode it")
    context.options = DECODER_LIMITS
    return stream


def is_timed(container: av.container.InputContainer) -> bool:
    """Whether the container gives presentation times; otherwise frames follow at its rate."""
    return container.format.name not in _UNTIMED


def is_spliced(container: av.container.InputContainer) -> bool:
    """Whether the container's time stamps may jump where recordings were joined (MPEG streams)."""
    return bool(container.format.flags & _MAY_JUMP)


def stated_rate(stream: av.video.stream.VideoStream) -> float | None:
    """Frames per second stated by the file; None if missing or impossible."""
    rate = float(stream.average_rate or 0)
    return rate if MIN_RATE <= rate <= MAX_RATE else None


class Upright:
    """Converts decoded pictures for display: RGB, square pixels, rotated and mirrored as the file says.

    Args:
        stream: The stream that they come from.
        threads: Threads of the conversion; 0: one per core.
    """

    def __init__(self, stream: av.video.stream.VideoStream, threads: int = 0) -> None:
        self.aspect = stream.sample_aspect_ratio or Fraction(1)
        self._threads = threads
        self._reformatter = VideoReformatter()  # shared by all frames: setting up the colour conversion takes time

    def __call__(self, picture: av.VideoFrame) -> np.ndarray:
        """The picture, (H, W, 3) uint8.

        Raises:
            ValueError: It is rotated by an angle that is not a multiple of 90 degrees, or cannot be converted.
        """
        width = max(1, round(picture.width * self.aspect))
        if width * picture.height > _MAX_ASPECT * MAX_PIXELS:
            raise ValueError(f"a frame has {picture.width} x {picture.height} pixels")
        converted = self._reformatter.reformat(picture, width=width, format="rgb24", threads=self._threads)
        return turned(converted.to_ndarray(), display_matrix(picture))


def display_matrix(picture: av.VideoFrame) -> bytes:
    """A decoded picture's rotation and mirroring: FFmpeg's display matrix, empty if there is none."""
    # Not picture.side_data, which refers to the picture and back: until garbage is collected, a decoder's pictures stay
    # in memory, some 100 MB for each reading of a film.
    matrix: Any = SideDataContainer(picture).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # its stub has none
    return b"" if matrix is None else bytes(matrix)


def turned(image: np.ndarray, matrix: bytes) -> np.ndarray:
    """Rotates and mirrors a picture.

    Args:
        image: Shape (H, W, 3).
        matrix: Result of :func:`display_matrix`.

    Raises:
        ValueError: An angle that is not a multiple of 90 degrees.
    """
    if len(matrix) < 36:
        return image
    # (x, y) of the stored picture is shown at (a x + c y, b x + d y).
    a, b, _, c, d = np.frombuffer(matrix, np.int32, 5).astype(float)
    upright, sideways = min(abs(a), abs(d)), min(abs(b), abs(c))
    if min(upright, sideways) > 0.02 * max(upright, sideways) or not upright + sideways:
        raise ValueError("its display rotation is not a multiple of 90 degrees")
    if sideways > upright:
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1])


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    *,
    crf: int = 20,
    preset: str = "medium",
    times: Sequence[float] | None = None,
) -> int:
    """Writes H.264 in yuv420p with the index at the front, under a temporary name until it is complete.

    Args:
        path: Ends in ``.mp4``.
        frames: All of one size; an odd side is padded with a repeated row or column, as yuv420p needs even sides.
        fps: Frames per second.
        crf: Quality of x264, smaller is better.
        preset: x264's preset; ``"veryfast"`` takes a third of the time for a tenth more bytes.
        times: Presentation time of each frame [s], increasing, for a variable rate; may be filled during writing, each
            entry before its frame.

    Returns:
        Number of frames written.

    Raises:
        ConfigError: A rate outside the accepted range.
        ValueError: There are no frames, or their sizes differ.
    """
    if not MIN_RATE <= fps <= MAX_RATE:
        raise ConfigError(f"{path}: fps={fps:g}, expected frames per second from {MIN_RATE:g} to {MAX_RATE:g}")
    rate = max(Fraction(fps).limit_denominator(1001), Fraction(1, 1001))
    count, size = 0, None
    with atomic_path(path) as temporary:
        with av.open(ffmpeg_url(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = None
            for image in frames:
                size = size or image.shape
                if image.shape != size:
                    raise ValueError(f"{path}: frame {count} has shape {image.shape}, those before it {size}")
                image = np.pad(image, [(0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)], mode="edge")
                if stream is None:
                    stream = container.add_stream("libx264", rate=rate)
                    stream.height, stream.width = image.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    stream.options = {"crf": str(crf), "preset": preset}
                    if times is not None:
                        stream.codec_context.time_base = Fraction(1, _TICKS)
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                if times is not None:
                    picture.pts, picture.time_base = round(times[count] * _TICKS), Fraction(1, _TICKS)
                container.mux(stream.encode(picture))
                count += 1
            if stream is None:
                raise ValueError(f"{path}: a video needs at least one frame")
            container.mux(stream.encode(None))
    return count


def read_video(path: str | Path, limit: int | None = None) -> np.ndarray:
    """Reads a video's frames.

    Args:
        path: Any video that ffmpeg reads.
        limit: Maximum number of frames, from the start; None: all.

    Returns:
        Shape (N, H, W, 3) uint8.

    Raises:
        FileFormatError: It cannot be opened or decoded, or has no frames.
    """
    try:
        with open_video(path) as container:
            stream = video_stream(container, path)
            show = Upright(stream)
            frames = [show(frame) for frame in islice(container.decode(stream), limit)]
            if not frames:
                raise FileFormatError(path, "the video has no frames")
            return np.stack(frames)
    except UNREADABLE as error:
        raise FileFormatError(path, f"not a readable video: {error}") from error
