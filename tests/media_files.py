"""Small videos and photos in which every frame encodes its number in its brightness."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

#: Frame k has the mean brightness DARKEST + k * STEP.
DARKEST, STEP = 40, 6


def numbered(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    """Frames with a moving texture, so that packets are not empty."""
    texture = np.random.default_rng(0).integers(-16, 17, (height, width, 1)).repeat(3, 2)
    return [(DARKEST + STEP * k + np.roll(texture, 3 * k, 1)).astype(np.uint8) for k in range(count)]


def number_of(image: np.ndarray) -> int:
    """The number of a frame."""
    number = (float(image.mean()) - DARKEST) / STEP
    assert abs(number - round(number)) < 0.4, number
    return round(number)


def write(
    path: Path, frames: Sequence[np.ndarray], codec: str = "libx264", fps: float = 25, form: str | None = None,
    gop: int = 8, b_frames: int = 0, options: dict[str, str] | None = None, aspect: Fraction | None = None,
    pix_fmt: str = "yuv420p", times: Sequence[int] | None = None,
) -> Path:  # fmt: skip
    """Encodes frames; ``times`` are in thousandths of a second."""
    with av.open(f"file:{path}", "w", format=form) as out:
        stream = out.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = pix_fmt, 2_000_000
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        stream.codec_context.thread_count = 1
        stream.options = {"x265-params": "log-level=none:pools=none"} if codec == "libx265" else options or {}
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            if times is not None:
                picture.pts, picture.time_base = times[k], Fraction(1, 1000)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path, change, form: str | None = None) -> Path:
    """Copies packets without encoding; ``change(number, packet)`` may alter one, or return False to leave it out."""
    with av.open(f"file:{source}") as old, av.open(f"file:{target}", "w", format=form) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for number, packet in enumerate(packet for packet in old.demux(stream) if packet.size):
            if change(number, packet) is not False:
                packet.stream = copy
                new.mux(packet)
    return target


def trimmed(source: Path, target: Path, first: int, fps: float = 25) -> Path:
    """Trims without encoding, as phones do: the frames before the start become pre-roll that an edit list removes."""
    with av.open(f"file:{source}") as container:
        shift = round(first / fps / container.streams.video[0].time_base)

    def earlier(number: int, packet: av.Packet) -> None:
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift

    return remux(source, target, earlier)


def with_matrix(path: Path, matrix: Sequence[int]) -> Path:
    """Writes a display matrix into an MP4's track header, as phones do."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    content[place : place + 36] = b"".join(int(value).to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(content)
    return path


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24), *parts)


def _hevc(picture: np.ndarray) -> tuple[bytes, bytes]:
    """One key frame: its decoder configuration and its bytes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx265", rate=1)
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
        stream.options = {"x265-params": "log-level=none:info=0:keyint=1:bframes=0:pools=none", "crf": "10"}
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as container:
        stream = container.streams.video[0]
        content = b"".join(bytes(packet) for packet in container.demux(stream) if packet.size)
        return bytes(stream.codec_context.extradata), content


def write_heic(path: Path, picture: np.ndarray, side: int = 64, quarter_turns: int = 0, brand: bytes = b"heic") -> Path:
    """Writes a photo as phones do: a grid of tiles, rotated counter-clockwise for display."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    tiles = [
        _hevc(picture[r * side : (r + 1) * side, c * side : (c + 1) * side])
        for r in range(rows)
        for c in range(columns)
    ]
    count = len(tiles)
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, columns * side, rows * side)
    head = _box(b"ftyp", brand, struct.pack(">I", 0), b"mif1heic")
    kinds = [b"hvc1"] * count + [b"grid"]
    items = [_full(b"infe", 2, struct.pack(">HH", k + 1, 0), kind, b"\0") for k, kind in enumerate(kinds)]
    refs = _box(b"dimg", struct.pack(">HH", count + 1, count), *[struct.pack(">H", k + 1) for k in range(count)])
    properties = _box(
        b"ipco",
        _box(b"hvcC", tiles[0][0]),
        _full(b"ispe", 0, struct.pack(">II", side, side)),
        _full(b"ispe", 0, struct.pack(">II", columns * side, rows * side)),
        _box(b"irot", bytes([quarter_turns])),
    )
    owners = _full(
        b"ipma", 0, struct.pack(">I", count + 1),
        *[struct.pack(">HBBB", k + 1, 2, 0x81, 2) for k in range(count)], struct.pack(">HBBB", count + 1, 2, 3, 0x84),
    )  # fmt: skip

    def meta(start: int) -> bytes:
        places = []
        for k, (_, content) in enumerate(tiles):
            places.append(struct.pack(">HHHHII", k + 1, 0, 0, 1, start, len(content)))
            start += len(content)
        places.append(struct.pack(">HHHHII", count + 1, 1, 0, 1, 0, len(grid)))
        return _full(
            b"meta", 0,
            _full(b"hdlr", 0, struct.pack(">I4s", 0, b"pict"), b"\0" * 12, b"\0"),
            _full(b"pitm", 0, struct.pack(">H", count + 1)),
            _full(b"iloc", 1, struct.pack(">BBH", 0x44, 0, count + 1), *places),
            _full(b"iinf", 0, struct.pack(">H", count + 1), *items),
            _full(b"iref", 0, refs),
            _box(b"iprp", properties, owners),
            _box(b"idat", grid),
        )  # fmt: skip

    path.write_bytes(head + meta(len(head) + len(meta(0)) + 8) + _box(b"mdat", *[content for _, content in tiles]))
    return path
