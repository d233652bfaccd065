"""Videos that browsers play, written and read with PyAV. Frames are RGB uint8, shape (H, W, 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np

from mviper.errors import FileFormatError
from mviper.files import atomic_path

#: Time stamps of videos without a constant rate count in these [1/s].
_TICKS = 90_000


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    *,
    crf: int = 20,
    preset: str = "medium",
    times: Sequence[float] | None = None,
) -> int:
    """Writes H.264 in yuv420p with its index in front, under a temporary name until it is whole.

    Args:
        path: Ends in ``.mp4``.
        frames: All of one size; an odd side is padded by a repeated row or column, which yuv420p needs.
        fps: Frames per second.
        crf: Quality of x264, smaller is better.
        preset: Of x264; ``"veryfast"`` takes a third of the time for a tenth more bytes.
        times: When each frame is shown [s], increasing, for a rate that is not constant; may be filled on the way, each
            entry before its frame.

    Returns:
        How many frames were written.

    Raises:
        ValueError: There are no frames, or one of another size.
    """
    count, size = 0, None
    with atomic_path(path) as temporary:
        with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = None
            for image in frames:
                size = size or image.shape
                if image.shape != size:
                    raise ValueError(f"{path}: frame {count} has shape {image.shape}, those before it {size}")
                image = np.pad(image, [(0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)], mode="edge")
                if stream is None:
                    stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
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
        limit: At most so many frames from the start; None: all.

    Returns:
        Shape (N, H, W, 3) uint8.

    Raises:
        FileFormatError: It cannot be opened or decoded.
    """
    try:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), limit)]
    except (av.FFmpegError, IndexError) as error:
        raise FileFormatError(path, f"not a readable video: {error}") from error
    if not frames:
        raise FileFormatError(path, "the video has no frames")
    return np.stack(frames)
