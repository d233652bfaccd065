"""Frames out of videos at random places, with PyAV: packets by their places in the file, or a few open containers."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from mviper.errors import FileFormatError

#: What PyAV and the arithmetic on a file without frame rate or time stamps raise.
UNREADABLE = (OSError, ValueError, TypeError, ArithmeticError, av.FFmpegError)

#: So many files' packet tables (some kB each) and so many decoders (by stream parameters) stay in memory.
_MAX_TABLES, _MAX_DECODERS = 4096, 4


class VideoReader:
    """Reads frames by number from constant-rate videos, decoding from the key frame before the first wanted one.

    Opening a container and a decoder costs more than decoding a clip of 250 x 250. Of H.264 files, therefore, only the
    places of the packets are read once and remembered: their packets go straight to a decoder that all files with the
    same stream parameters share. Of other files the most recently used containers stay open.
    A reader may be pickled or forked: files are opened, and frames kept, anew in each process.

    Args:
        max_open: Containers kept open.
        max_kept: Decoded frames kept in memory, the most recently used.
    """

    def __init__(self, max_open: int = 16, max_kept: int = 0) -> None:
        self.max_open, self.max_kept = max_open, max_kept
        self._start()

    def _start(self) -> None:
        self._tables: OrderedDict[str, _PacketTable] = OrderedDict()
        self._decoders: OrderedDict[bytes, _Decoder] = OrderedDict()
        self._open: OrderedDict[str, _Container] = OrderedDict()
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
            images = self._decode(path, frames)
        except UNREADABLE as error:
            self._tables.pop(path, None)
            container = self._open.pop(path, None)
            if container is not None:
                container.close()
            raise FileFormatError(path, f"frames {frames[0]} to {frames[-1]} cannot be decoded: {error}") from error
        if self.max_kept:
            self._kept.update(((path, number), image) for number, image in zip(frames, images))
            while len(self._kept) > self.max_kept:
                self._kept.popitem(last=False)
        return images

    def _decode(self, path: str, frames: Sequence[int]) -> list[np.ndarray]:
        table = _recent(self._tables, path, _MAX_TABLES, lambda: _PacketTable(path))
        if not table.direct:
            return _recent(self._open, path, self.max_open, lambda: _Container(path)).read(frames)
        decoder = _recent(self._decoders, table.extradata, _MAX_DECODERS, lambda: _Decoder(table.extradata))
        try:
            return decoder.read(table, frames)
        except BaseException:
            del self._decoders[table.extradata]  # what state it is in nobody knows
            raise


def _recent(cache: OrderedDict, key: object, size: int, make: object) -> object:
    """An entry of a cache of the most recently used ones; entries that fall out are closed."""
    if key not in cache:
        cache[key] = make()
        if len(cache) > size:
            cache.popitem(last=False)[1].close()
    cache.move_to_end(key)
    return cache[key]


class _Conversion:
    """Pictures to RGB."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()  # one for all frames: setting up the colour conversion is not free

    def __call__(self, picture: av.VideoFrame) -> np.ndarray:
        # threads=1: freeing a reformatter with threads in a forked worker would wait for them for ever.
        return self._reformatter.reformat(picture, format="rgb24", threads=1).to_ndarray()


def _pick(pictures: Iterator[av.VideoFrame], numbers: object, frames: Sequence[int], convert: _Conversion) -> list:
    """Takes the wanted frames out of decoded pictures, and stops after the last one."""
    wanted, images = set(frames), {}
    for picture in pictures:
        if picture.is_corrupt:
            raise ValueError("the picture is corrupt")
        number = numbers(picture.pts)
        if number in wanted:
            images[number] = convert(picture)
        if number >= frames[-1]:
            break
    missing = sorted(wanted - images.keys())
    if missing:
        raise ValueError(f"it has no frame {missing[0]}")
    return [images[number] for number in frames]


class _Timing:
    """Frame numbers by time stamp."""

    def __init__(self, stream: av.VideoStream) -> None:
        self.ticks_per_frame = float(1 / (stream.time_base * stream.average_rate))
        self.first_tick = stream.start_time or 0

    def __call__(self, tick: int) -> int:
        return round((tick - self.first_tick) / self.ticks_per_frame)


class _PacketTable:
    """Where the packets of a file's video lie.

    Attributes:
        direct: Whether they can be decoded without the container: H.264, stored as the container hands it out.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with av.open(path) as container, open(path, "rb") as file:
            if not container.streams.video:
                raise ValueError("it has no video stream")
            stream = container.streams.video[0]
            self.timing, self.time_base = _Timing(stream), stream.time_base
            self.extradata = bytes(stream.codec_context.extradata or b"")
            self.direct = stream.codec_context.name == "h264" and bool(self.extradata)
            rows = []
            for packet in container.demux(stream) if self.direct else ():
                if not packet.size:  # the end
                    continue
                self.direct &= packet.pos is not None and packet.pts is not None
                if not self.direct:
                    break
                file.seek(packet.pos)
                self.direct &= file.read(packet.size) == bytes(packet)
                rows.append((packet.pos, packet.size, packet.pts, self.timing(packet.pts), packet.is_keyframe))
        self.direct &= bool(rows) and bool(rows[0][4])
        self.places = np.array([row[:3] for row in rows], np.int64)
        self.numbers = np.array([row[3] for row in rows], np.int64)
        self._keys = np.flatnonzero([row[4] for row in rows])

    def first_packet(self, frame: int) -> int:
        """The key frame to decode from for a frame."""
        earlier = self._keys[self.numbers[self._keys] <= frame]
        return int(earlier[-1]) if len(earlier) else 0

    def packets(self, first: int, last_frame: int) -> Iterator[tuple[int, av.Packet]]:
        """Packets from one on: at once up to that of the last frame, then, where more are needed, one by one."""
        found = np.flatnonzero(self.numbers <= last_frame)
        stop = max(first, int(found[-1])) + 1 if len(found) else len(self.numbers)
        with open(self.path, "rb", buffering=0) as file:
            for begin, end in [(first, stop), *((k, k + 1) for k in range(stop, len(self.numbers)))]:
                offset = int(self.places[begin:end, 0].min())
                size = int(self.places[begin:end, :2].sum(axis=1).max()) - offset
                content = memoryview(os.pread(file.fileno(), size, offset))
                for number, (place, length, pts) in enumerate(self.places[begin:end].tolist(), begin):
                    packet = av.Packet(content[place - offset : place - offset + length])
                    packet.pts, packet.time_base = pts, self.time_base
                    yield number, packet

    def close(self) -> None:
        """Nothing is open."""


class _Decoder:
    """An H.264 decoder for all files with the same stream parameters."""

    def __init__(self, extradata: bytes) -> None:
        self._context = av.CodecContext.create("h264", "r")
        self._context.extradata = extradata
        self._context.thread_count = 1  # data loaders bring the parallelism
        self._context.options = {"err_detect": "explode"}
        self._convert = _Conversion()
        self._at: tuple[_PacketTable | None, int, int] | None = None  # whose packet and frame would be next

    def read(self, table: _PacketTable, frames: Sequence[int]) -> list[np.ndarray]:
        """See :meth:`VideoReader.read`."""
        # Going on where the last call stopped needs no key frame (a sequence read from front to back).
        if self._at is not None and self._at[0] is table and self._at[2] == frames[0]:
            first = self._at[1]
        else:
            if self._at is not None:
                self._context.flush_buffers()
            first = table.first_packet(frames[0])
        self._at = (table, first, -1)
        images = _pick(self._pictures(table, first, frames[-1]), table.timing, frames, self._convert)
        self._at = (self._at[0], self._at[1], frames[-1] + 1)
        return images

    def _pictures(self, table: _PacketTable, first: int, last_frame: int) -> Iterator[av.VideoFrame]:
        for number, packet in table.packets(first, last_frame):
            self._at = (table, number + 1, -1)
            yield from self._context.decode(packet)
        self._at = (None, 0, -1)  # nothing can follow what comes now
        yield from self._context.decode(None)

    def close(self) -> None:
        """Freed with its last reference."""


class _Container:
    """Any file that PyAV opens, through its container."""

    def __init__(self, path: str) -> None:
        self._container = av.open(path)
        self._stream = self._container.streams.video[0]
        self._stream.thread_count = 1
        self._stream.codec_context.options = {"err_detect": "explode"}
        self._timing, self._convert = _Timing(self._stream), _Conversion()
        self._decoder, self._next_frame = None, -1

    def read(self, frames: Sequence[int]) -> list[np.ndarray]:
        """See :meth:`VideoReader.read`."""
        if self._decoder is None or self._next_frame != frames[0]:
            tick = self._timing.first_tick + round(frames[0] * self._timing.ticks_per_frame)
            self._container.seek(tick, stream=self._stream)
            self._decoder = self._container.decode(self._stream)
        self._next_frame = -1
        images = _pick(self._decoder, self._timing, frames, self._convert)
        self._next_frame = frames[-1] + 1
        return images

    def close(self) -> None:
        """Closes the file."""
        self._container.close()
