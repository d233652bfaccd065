"""Random access to video frames with PyAV, by a table of packets, decoding from key frames."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.video.frame import PictureType

from mviper.errors import FileFormatError
from mviper.graphics import (
    DECODER_LIMITS,
    UNREADABLE,
    Upright,
    display_matrix,
    is_spliced,
    is_timed,
    open_video,
    video_stream,
)

#: Numbers of packet tables (some kB each) and of decoders (by stream parameters) kept in memory.
_MAX_TABLES, _MAX_DECODERS = 4096, 4
#: Frames decoded to verify a table.
_TRIED = 8
#: Most bytes in one read, and most packets examined after seeking in the container.
_AT_ONCE, _LOOKED_AT = 2**26, 1000
#: Codecs for which FFmpeg derives display times from picture types (I, P, B).
_TOLD_BY_KIND = ("mpeg1video", "mpeg2video", "mpeg4")
#: Picture types that depend on no other frame; NONE is that of decoders that do not tell.
_INTRA = (PictureType.NONE, PictureType.I, PictureType.SI, PictureType.BI)
#: Table entry of a packet that shows no frame.
_HIDDEN = -1


class VideoReader:
    """Reads frames by number, decoding from the key frame before the first wanted one.

    Frames are numbered from 0 in display order, as in reading the file from its beginning, whatever its frame rate and
    time stamps; as with :func:`mviper.inference.open_frames` they have square pixels, are upright and exclude what an
    edit list leaves out.

    Opening a container and a decoder costs more than decoding a clip of 250 x 250. So the positions of a file's packets
    are read once and cached: packets go straight to a decoder shared by all files with the same stream parameters. For
    files whose packets are fragmented, the most recently used containers stay open. A reader may be pickled or forked:
    each process opens its own files and has its own cache of frames.

    Args:
        max_open: Containers kept open.
        max_kept: Decoded frames kept in memory, the most recently used.
    """

    def __init__(self, max_open: int = 16, max_kept: int = 0) -> None:
        self.max_open, self.max_kept = max_open, max_kept
        self._start()

    def _start(self) -> None:
        self._tables: OrderedDict[str, _PacketTable] = OrderedDict()
        self._decoders: OrderedDict[tuple, _Decoder] = OrderedDict()
        self._open: OrderedDict[str, _Container] = OrderedDict()
        self._kept: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self._process = os.getpid()

    def __getstate__(self) -> dict:
        return {"max_open": self.max_open, "max_kept": self.max_kept}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._start()

    def read(self, path: str | Path, frames: Sequence[int]) -> list[np.ndarray]:
        """Decodes frames.

        Args:
            path: The video.
            frames: Frame numbers from 0, not decreasing; repeats are allowed.

        Returns:
            One (H, W, 3) uint8 RGB array per number (the same object where a number repeats).

        Raises:
            FileFormatError: The video cannot be opened, is damaged there, or is too short.
        """
        path = str(path)
        if self._process != os.getpid():  # a fork would share the parent's file positions
            self._start()
        kept = [self._kept[path, number] for number in frames if (path, number) in self._kept]
        if len(kept) == len(frames):
            for number in frames:
                self._kept.move_to_end((path, number))
            return kept
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

    def count(self, path: str | Path) -> int:
        """Number of frames of a video.

        Raises:
            FileFormatError: It cannot be opened.
        """
        if self._process != os.getpid():
            self._start()
        try:
            return self._table(str(path)).count
        except UNREADABLE as error:
            raise FileFormatError(path, f"cannot be decoded: {error}") from error

    def _table(self, path: str) -> _PacketTable:
        return _recent(self._tables, path, _MAX_TABLES, lambda: _PacketTable(path))

    def _decode(self, path: str, frames: Sequence[int]) -> list[np.ndarray]:
        table = self._table(path)
        missing = [number for number in frames if not 0 <= number < table.count]
        if missing:
            raise ValueError(f"it has no frame {missing[0]}")
        source: _PacketTable | _Container = table
        if not table.direct:
            source = _recent(self._open, path, self.max_open, lambda: _Container(table))
        # Some key frames cannot be decoded from (recovery points, damage), nor by a used decoder (MPEG-4's adapts to
        # encoders' bugs): then decode from the first, with a new decoder.
        starts = [table.first_packet(frames[0]), table.start]
        while starts:
            first = starts.pop(0)
            decoder = _recent(self._decoders, table.parameters, _MAX_DECODERS, lambda: _Decoder(path))
            try:
                return decoder.read(table, source.packets, first, frames)
            except UNREADABLE as error:
                problem = error
                if isinstance(error, _NoKeyFrame):
                    table.forget(first)
                    starts.insert(0, table.first_packet(frames[0]))
            finally:
                if not decoder.sound:  # its state is unknown
                    del self._decoders[table.parameters]
        raise problem


class _NoKeyFrame(ValueError):
    """The container calls a packet a key frame whose frame depends on earlier ones."""


class _Closable(Protocol):
    def close(self) -> None: ...


_Kept = TypeVar("_Kept", bound=_Closable)


def _recent(cache: OrderedDict[Any, _Kept], key: object, size: int, make: Callable[[], _Kept]) -> _Kept:
    """Gets an entry of an LRU cache; evicted entries are closed."""
    if key not in cache:
        cache[key] = make()
        if len(cache) > size:
            cache.popitem(last=False)[1].close()
    cache.move_to_end(key)
    return cache[key]


class _PacketTable:
    """Positions of a file's video packets, and the frame that each shows.

    Attributes:
        path: The file.
        numbers: Frame number of each packet, in storage order; :data:`_HIDDEN` if it shows none.
        count: Number of frames.
        places: Offset and size of each packet [bytes]; an offset of -1 if the container does not give it.
        stamps: Display time of each, in the stream's time base; 0 if the container does not give it.
        direct: Whether packets are contiguous, so that they can be read without the container.
        start: The first key frame's packet.
        parameters: What a decoder depends on.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._matrix: bytes | None = None
        with open_video(path) as container, open(path, "rb") as file:
            stream = video_stream(container, path)
            context = stream.codec_context
            order, self.direct = _Order(container, stream), True
            rows: list[tuple[int, int, int, bool]] = []
            for packet in container.demux(stream):
                if not packet.size:  # the end
                    continue
                place, content = -1 if packet.pos is None else packet.pos, bytes(packet)
                if self.direct:
                    file.seek(max(0, place))
                    self.direct = place >= 0 and file.read(packet.size) == content
                rows.append((place, packet.size, packet.pts or 0, packet.is_keyframe))
                order.add(packet, content)
            described = (
                context.name,
                bytes(context.extradata or b""),
                context.codec_tag,
                context.width,
                context.height,
            )
            self.parameters: tuple = (*described, context.pix_fmt, stream.sample_aspect_ratio)
        table = np.array(rows, np.int64).reshape(-1, 4)
        self.places, self.stamps, keys = table[:, :2], table[:, 2], np.flatnonzero(table[:, 3])
        self.start = int(keys[0]) if len(keys) else 0
        numbers = order.numbers()
        self.numbers = numbers if numbers is not None and self._is_right(numbers) else self._by_decoding()
        self.parameters += (self._matrix,)
        self.count = int(self.numbers.max(initial=_HIDDEN)) + 1
        self._keys = keys[self.numbers[keys] != _HIDDEN]

    def _is_right(self, numbers: np.ndarray) -> bool:
        """Whether the first frames match the table's numbers.

        They do not if packets hold half a frame or two, or if the first ones cannot be decoded, as in recordings that
        begin between key frames.
        """
        expected = range(min(_TRIED, np.count_nonzero(numbers != _HIDDEN)))
        try:
            return [picture.pts for picture in islice(self._decoded(numbers), _TRIED)] == list(expected)
        except UNREADABLE:
            return False

    def _by_decoding(self) -> np.ndarray:
        """The table's numbers from decoding the whole file."""
        numbers = np.full(len(self.places), _HIDDEN, np.int64)
        for number, picture in enumerate(self._decoded(np.arange(len(numbers)))):
            if picture.pts is None:
                raise ValueError("its frames cannot be distinguished: re-encode it as H.264 in MP4")
            numbers[picture.pts] = number
        return numbers

    def _decoded(self, marks: np.ndarray) -> Iterator[av.VideoFrame]:
        """Decodes from the beginning; each frame's time stamp is the mark of its packet."""
        with open_video(self.path) as container:
            stream = video_stream(container, self.path)
            _prepare(stream.codec_context)
            packets = (packet for packet in container.demux(stream) if packet.size)
            for packet, mark in chain(zip(packets, marks.tolist()), [(None, _HIDDEN)]):
                try:
                    pictures = stream.decode(None if packet is None else _marked(packet, mark))
                except UNREADABLE:
                    if self._matrix is None:  # begins between two key frames
                        continue
                    raise
                for picture in pictures:
                    if self._matrix is None:
                        self._matrix = display_matrix(picture)
                    yield picture

    def first_packet(self, frame: int) -> int:
        """The key frame from which to decode a frame."""
        earlier = self._keys[self.numbers[self._keys] <= frame]
        return int(earlier[-1]) if len(earlier) else self.start

    def forget(self, first: int) -> None:
        """Takes a packet for no key frame: some writers of AVI mark all."""
        self._keys = self._keys[self._keys != first]

    def packets(self, first: int, last_frame: int) -> Iterator[tuple[int, av.Packet]]:
        """Packets from a given one on: in one read up to the last frame's, then one by one if more are needed."""
        found = np.flatnonzero((self.numbers != _HIDDEN) & (self.numbers <= last_frame))
        stop = max(first, int(found[-1])) + 1
        with open(self.path, "rb", buffering=0) as file:
            begin = first
            while begin < len(self.numbers):
                end = max(stop, begin + 1)
                offset, size = self._extent(begin, end)
                if size > _AT_ONCE:
                    end = begin + 1
                    offset, size = self._extent(begin, end)
                content = memoryview(os.pread(file.fileno(), size, offset))
                for number, (place, length) in enumerate(self.places[begin:end].tolist(), begin):
                    # Decoders read a little past the end of a packet: FFmpeg pads its buffers with zeros, but a slice
                    # of the file is followed by arbitrary bytes.
                    packet = av.Packet(length)
                    packet.update(bytes(content[place - offset : place - offset + length]))
                    yield number, _marked(packet, int(self.numbers[number]))
                begin = end

    def _extent(self, begin: int, end: int) -> tuple[int, int]:
        places = self.places[begin:end]
        offset = int(places[:, 0].min())
        return offset, int(places.sum(axis=1).max()) - offset

    def close(self) -> None:
        """Nothing is open."""


class _Order:
    """Display order of a file's frames, from packet metadata without decoding."""

    def __init__(self, container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> None:
        codec = stream.codec_context.codec
        self._stream, self._timed, self._spliced = stream, is_timed(container), is_spliced(container)
        self._h264, self._mpeg4 = codec.name == "h264", codec.name == "mpeg4"
        # If a container has no time stamps FFmpeg derives them from picture types, for these codecs, else from storage
        # order.
        self._unclear = not self._timed and codec.reorder and codec.name not in ("h264", *_TOLD_BY_KIND)
        self._counts: BitStreamFilterContext | None = None
        self._rows: list[list] = []  # part of the file, time stamp in it, hidden
        self._part = 0
        self._decoded_at: int | None = None

    def add(self, packet: av.Packet, content: bytes) -> None:
        """Adds the next packet."""
        # DivX packs two frames into a packet, Xvid writes packets that say "the same again" and show nothing.
        self._unclear |= self._mpeg4 and (content.count(b"\0\0\1\xb6") != 1 or len(content) < 20)
        if self._unclear:
            return
        counted = self._h264 and not self._timed
        if counted and (packet.is_keyframe or self._counts is None):
            # Packets stored before a key frame are shown before it. FFmpeg's filter mixes up the counts of these parts.
            self._finish()
            self._counts, self._part = BitStreamFilterContext("dts2pts", self._stream), self._part + 1
        elif self._spliced and packet.dts is not None:
            self._part += self._decoded_at is not None and packet.dts < self._decoded_at
            self._decoded_at = packet.dts
        place = len(self._rows)
        self._rows.append([self._part, packet.pts, packet.is_discard])
        if counted and self._counts is not None:
            packet.pts, packet.dts, packet.duration = None, place, 1
            self._count(self._counts, packet)

    def _count(self, counts: BitStreamFilterContext, packet: av.Packet | None) -> None:
        try:
            for counted in counts.filter(packet):
                self._rows[cast(int, counted.dts)][1] = counted.pts  # its index, from :meth:`add`
        except UNREADABLE:
            self._unclear = True

    def _finish(self) -> None:
        if self._counts is not None and not self._unclear:
            self._count(self._counts, None)

    def numbers(self) -> np.ndarray | None:
        """Frame number of each packet, or :data:`_HIDDEN`; None if only decoding can tell."""
        self._finish()
        shown = [(part, pts, place) for place, (part, pts, hidden) in enumerate(self._rows) if not hidden]
        if self._unclear or any(pts is None for _, pts, _ in shown) or len({row[:2] for row in shown}) < len(shown):
            return None
        numbers = np.full(len(self._rows), _HIDDEN, np.int64)
        numbers[[place for _, _, place in sorted(shown)]] = np.arange(len(shown))
        return numbers


class _Container:
    """Packets that must be read through the container."""

    def __init__(self, table: _PacketTable) -> None:
        self._table, self._next = table, -1
        self._container: av.container.InputContainer | None = None
        self._packets: Iterator[av.Packet] = iter(())

    def packets(self, first: int, last_frame: int) -> Iterator[tuple[int, av.Packet]]:
        """Packets from a given one on, see :meth:`_PacketTable.packets`."""
        if self._next != first:
            self._packets = self._found(first) or self._counted(first)
        self._next = first
        for number, packet in enumerate(self._packets, first):
            if number == len(self._table.numbers):
                return
            self._next = number + 1
            yield number, _marked(packet, int(self._table.numbers[number]))

    def _found(self, first: int) -> Iterator[av.Packet] | None:
        """Seeks a packet through the container; its offset in the file tells whether it is the right one."""
        wanted = self._table.places[first]
        if wanted[0] < 0 or np.count_nonzero((self._table.places == wanted).all(1)) > 1:
            return None
        container, stream, packets = self._opened()
        try:
            container.seek(int(self._table.stamps[first]), stream=stream)
            for packet in islice(packets, _LOOKED_AT):
                if (packet.pos, packet.size) == tuple(wanted):
                    return chain([packet], packets)
        except UNREADABLE:
            pass
        return None

    def _counted(self, first: int) -> Iterator[av.Packet]:
        """Counts packets from the beginning."""
        self.close()
        return islice(self._opened()[2], first, None)

    def _opened(self) -> tuple[av.container.InputContainer, av.video.stream.VideoStream, Iterator[av.Packet]]:
        if self._container is None:
            self._container = open_video(self._table.path)
        stream = video_stream(self._container, self._table.path)
        return self._container, stream, (packet for packet in self._container.demux(stream) if packet.size)

    def close(self) -> None:
        """Closes the file."""
        if self._container is not None:
            self._container.close()
        self._container, self._packets, self._next = None, iter(()), -1


class _Decoder:
    """A decoder for all files with the same stream parameters."""

    def __init__(self, path: str) -> None:
        with open_video(path) as container:
            stream = video_stream(container, path)
            self._context = stream.codec_context
            # threads=1: freeing a threaded reformatter in a forked worker would deadlock.
            self._upright = Upright(stream, threads=1)
        _prepare(self._context)
        self._at: tuple[_PacketTable | None, int, int] | None = None  # table, packet and frame that come next
        self.sound = True

    def read(self, table: _PacketTable, packets: Callable, first: int, frames: Sequence[int]) -> list[np.ndarray]:
        """See :meth:`VideoReader.read`; ``packets`` yields the table's packets, ``first`` is the first to decode."""
        self.sound = False
        # Continuing after the last call needs no key frame (sequential reading).
        leading = table.numbers[first]
        if self._at is not None and self._at[0] is table and self._at[2] == frames[0]:
            first, leading = self._at[1], _HIDDEN
        elif self._at is not None:
            self._context.flush_buffers()
        self._at = (table, first, -1)
        pictures = self._pictures(table, packets(first, frames[-1]), leading)
        wanted, images = set(frames), {}
        for picture in pictures:
            if picture.pts is None:
                continue
            if picture.is_corrupt:
                raise ValueError("the picture is corrupt")
            if picture.pts == leading and first != table.start and picture.pict_type not in _INTRA:
                self.sound = True  # the next read flushes it
                raise _NoKeyFrame(f"frame {leading} is no key frame, though the container says so")
            if picture.pts in wanted:
                images[picture.pts] = self._upright(picture)
            if picture.pts >= frames[-1]:
                break
        missing = sorted(wanted - images.keys())
        if missing:
            raise ValueError(f"it has no frame {missing[0]}")
        self._at, self.sound = (self._at[0], self._at[1], frames[-1] + 1), True
        return [images[number] for number in frames]

    def _pictures(self, table: _PacketTable, packets: Iterator, leading: int) -> Iterator[av.VideoFrame]:
        for number, packet in packets:
            self._at = (table, number + 1, -1)
            # Frames shown before a key frame but stored after it depend on earlier frames.
            if not _HIDDEN < table.numbers[number] < leading:
                yield from self._context.decode(packet)
        self._at = (None, 0, -1)  # the next read cannot continue from here
        yield from self._context.decode(None)

    def close(self) -> None:
        """Freed with its last reference."""


def _prepare(context: av.CodecContext) -> None:
    context.thread_count = 1  # data loaders provide the parallelism
    context.options = {"err_detect": "explode", **DECODER_LIMITS}


def _marked(packet: av.Packet, mark: int) -> av.Packet:
    """A packet whose time stamp is a number that identifies its frame."""
    packet.pts, packet.dts = None if mark == _HIDDEN else mark, None
    return packet
