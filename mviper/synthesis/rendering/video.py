"""Writes MP4."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from mviper.graphics import ffmpeg_url


class VideoWriter:
    """Writes H.264 with a key frame every 8 frames and no B-frames, so that any short clip decodes quickly.

    Use as a context manager; the same frames give the same bytes on the same machine.

    Args:
        path: The ``.mp4``.
        fps: Frames per second.
        width: Even [px].
        height: Even [px].
        crf: Quality, 0 (lossless) to 51; 18 is visually lossless.
    """

    def __init__(self, path: str | Path, fps: float, width: int, height: int, crf: int = 18) -> None:
        self._container = av.open(ffmpeg_url(path), "w")
        options = {"crf": str(crf), "g": "8", "bf": "0", "sc_threshold": "0", "preset": "medium"}
        self._stream = self._container.add_stream("libx264", rate=round(fps), options=options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.codec_context.thread_count = 1

    def add(self, image: np.ndarray) -> None:
        """Appends a frame, sRGB uint8 (H, W, 3)."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Flushes the encoder."""
        self._container.mux(self._stream.encode())
        self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
