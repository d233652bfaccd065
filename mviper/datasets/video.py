"""Frames out of MP4 files at random places, with PyAV and a few open containers."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from mviper.errors import FileFormatError

#: What PyAV and the arithmetic on a file without frame rate or time stamps raise.
UNREADABLE = (OSError, ValueError, TypeError, ArithmeticError, av.FFmpegError)


class VideoReader:
    """Reads frames by number from constant-rate videos, seeking to the key frame before the first wanted one.

    Opening a container costs about as much as decoding two frames of 250 x 250, so the most recently used stay open.
    A reader may be pickled or forked: containers are opened, and frames kept, anew in each process.

    Args:
        max_open: Containers kept open.
        max_kept: Decoded frames kept in memory, the most recently used.
    """

    def __init__(self, max_open: int = 16, max_kept: int = 0) -> None:
        self.max_open, self.max_kept = max_open, max_kept
        self._start()

    def _start(self) -> None:
        self._open: OrderedDict[str, _Video] = OrderedDict()
        self._kept: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self._process = os.getpid()

    def __getstate__(self) -> dict:
        return {"max_open": self.max_open, "max_kept": self.max_kept}

    def __setstate__(self, state: dict) -> None:
        self.__init__(**state)

    def read(self, path: str | Path, frames: Sequence[int]) -> list[np.ndarray]:
        """Decodes frames.

        Args:
            path: The video.
            frames: Frame numbers from 0, not decreasing; one may repeat.

        Returns:
            One (H, W, 3) uint8 RGB array per number (the same object where a number repeats).

        Raises:
            FileFormatError: The video cannot be opened, is damaged there, or ends earlier.
        """
        path = str(path)
        if self._process != os.getpid():  # after a fork the parent's file positions would be shared
            self._start()
        images = [self._kept.get((path, number)) for number in frames]
        if all(image is not None for image in images):
            for number in frames:
                self._kept.move_to_end((path, number))
            return images
        try:
            images = self._video(path).read(frames)
        except UNREADABLE as error:
            video = self._open.pop(path, None)
            if video is not None:
                video.container.close()
            raise FileFormatError(path, f"frames {frames[0]} to {frames[-1]} cannot be decoded: {error}") from error
        if self.max_kept:
            self._kept.update(((path, number), image) for number, image in zip(frames, images))
            while len(self._kept) > self.max_kept:
                self._kept.popitem(last=False)
        return images

    def _video(self, path: str) -> _Video:
        if path not in self._open:
            self._open[path] = _Video(path)
            if len(self._open) > self.max_open:
                self._open.popitem(last=False)[1].container.close()
        self._open.move_to_end(path)
        return self._open[path]


class _Video:
    def __init__(self, path: str) -> None:
        self.container = av.open(path)
        if not self.container.streams.video:
            raise ValueError("it has no video stream")
        self.stream = self.container.streams.video[0]
        self.stream.thread_count = 1  # data loaders bring the parallelism
        self.stream.codec_context.options = {"err_detect": "explode"}
        self.ticks_per_frame = 1 / (self.stream.time_base * self.stream.average_rate)
        self.first_tick = self.stream.start_time or 0
        self.reformatter = VideoReformatter()  # one for all frames: setting up the colour conversion is not free
        self.decoder = None
        self.next_frame = -1

    def read(self, frames: Sequence[int]) -> list[np.ndarray]:
        wanted = set(frames)
        last = frames[-1]
        # Going on where the last call stopped needs no seek (a sequence read from front to back).
        if self.decoder is None or self.next_frame != frames[0]:
            tick = self.first_tick + round(frames[0] * self.ticks_per_frame)
            self.container.seek(tick, stream=self.stream)
            self.decoder = self.container.decode(self.stream)
        images = {}
        for picture in self.decoder:
            if picture.is_corrupt:
                raise ValueError("the picture is corrupt")
            number = round((picture.pts - self.first_tick) / self.ticks_per_frame)
            if number in wanted:
                # threads=1: freeing a reformatter with threads in a forked worker would wait for them for ever.
                images[number] = self.reformatter.reformat(picture, format="rgb24", threads=1).to_ndarray()
            if number >= last:
                break
        self.next_frame = last + 1
        missing = sorted(wanted - images.keys())
        if missing:
            self.decoder = None
            raise ValueError(f"it has no frame {missing[0]}")
        return [images[number] for number in frames]
