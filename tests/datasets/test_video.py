"""Frame numbers: random access, sequential reading and recovery's reader give the same frames."""

from __future__ import annotations

import os

import av
import numpy as np
import pytest
from media_files import number_of, numbered, remux, trimmed, write

from mviper.datasets import video
from mviper.datasets.video import VideoReader
from mviper.errors import FileFormatError
from mviper.graphics.video import read_video, write_video
from mviper.inference.frames import open_frames

COUNT = 30


def check(path, expected=range(COUNT)):
    """The displayed frames of a video, by every reader."""
    expected = list(expected)
    frames = list(open_frames(path))
    assert [number_of(frame.image) for frame in frames] == expected
    assert [frame.number for frame in frames] == list(range(len(expected)))
    times = np.array([frame.time for frame in frames])
    assert times[0] == 0 and (np.diff(times) > 0).all()
    assert [number_of(image) for image in read_video(path)] == expected
    on = VideoReader().read(path, range(len(expected)))
    assert [number_of(image) for image in on] == expected
    reader = VideoReader()
    for start in np.random.default_rng(0).permutation(len(expected) - 2):
        found = reader.read(path, [start, start + 2])
        assert [number_of(image) for image in found] == [expected[start], expected[start + 2]]
    assert number_of(VideoReader().read(path, [len(expected) - 1])[0]) == expected[-1]
    for number in (-1, len(expected)):
        with pytest.raises(FileFormatError, match=f"no frame {number}"):
            reader.read(path, [number])
    return frames


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("h264.avi", "libx264", {}),
        ("h264b.avi", "libx264", dict(b_frames=3)),
        ("h264open.avi", "libx264", dict(b_frames=2, options={"x264-params": "open-gop=1"})),
        ("mjpeg.avi", "mjpeg", dict(pix_fmt="yuvj420p")),
        ("xvid.avi", "mpeg4", {}),
        ("xvidb.avi", "mpeg4", dict(b_frames=2)),
        ("mpeg2b.avi", "mpeg2video", dict(b_frames=2)),
        ("ffv1.avi", "ffv1", {}),
        ("raw.avi", "rawvideo", {}),
        ("a.h264", "libx264", dict(b_frames=3)),
        ("a.hevc", "libx265", dict(b_frames=3)),
        ("a.m4v", "mpeg4", dict(b_frames=2)),
        ("a.m2v", "mpeg2video", dict(b_frames=2, form="mpeg2video")),
        ("a.mpg", "mpeg2video", dict(b_frames=2, form="mpeg")),
        ("a.ts", "libx264", dict(b_frames=3)),
        ("b.ts", "mpeg2video", dict(b_frames=2)),
        ("a.mkv", "libx264", dict(b_frames=3)),
        ("b.mkv", "mpeg4", dict(b_frames=2)),
        ("refresh.mkv", "libx264", dict(options={"x264-params": "intra-refresh=1"})),
        ("open.mp4", "libx264", dict(b_frames=2, options={"x264-params": "open-gop=1"})),
        ("hevc.mp4", "libx265", dict(b_frames=3)),
        ("xvidb.mp4", "mpeg4", dict(b_frames=2)),
        ("a.webm", "libvpx", dict(options={"auto-alt-ref": "1", "lag-in-frames": "10"})),
        ("b.webm", "libvpx-vp9", {}),
        ("a.wmv", "wmv2", dict(form="asf")),
        ("a.flv", "libx264", dict(b_frames=2)),
    ],
)
def test_frames_are_numbered_as_they_are_shown(tmp_path, name, codec, options):
    check(write(tmp_path / name, numbered(COUNT), codec, **options))


def test_a_rate_that_changes_moves_no_number(tmp_path):
    times = np.cumsum([0, *([20, 50, 100, 15] * 8)[: COUNT - 1]]).tolist()
    frames = check(write(tmp_path / "a.mp4", numbered(COUNT), b_frames=2, times=times))
    np.testing.assert_allclose([frame.time for frame in frames], np.array(times) / 1000, atol=2e-3)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("first", [3, 8, 13])
def test_frames_that_an_edit_list_leaves_out_have_no_number(tmp_path, first, codec):
    long = write(tmp_path / "long.mp4", numbered(COUNT), codec, gop=24)
    path = trimmed(long, tmp_path / "trim.mp4", first)
    check(path, range(first, COUNT))
    source = open_frames(path)
    assert len(list(source)) == COUNT - first and source.problem == ""


def test_frames_that_an_edit_list_cuts_off_at_the_end_have_no_number(tmp_path):
    path = write(tmp_path / "long.mp4", numbered(COUNT))
    content = bytearray(path.read_bytes())
    place = content.index(b"elst") + 12  # the first entry's length in thousandths of a second, then its start
    content[place : place + 4] = (12 * 40).to_bytes(4, "big")
    path.write_bytes(content)
    check(path, range(12))
    source = open_frames(path)
    list(source)
    assert source.problem == ""


@pytest.mark.parametrize("later", [0, 10**8])  # the second one's time stamps restart, or continue 18 minutes later
def test_recordings_that_were_joined_go_on(tmp_path, later):
    def shift(number, packet):
        packet.pts, packet.dts = packet.pts + later, packet.dts + later

    frames = numbered(COUNT)
    first = write(tmp_path / "0.ts", frames[:12], b_frames=2)
    second = remux(write(tmp_path / "1.ts", frames[12:], b_frames=2), tmp_path / "2.ts", shift)
    (tmp_path / "joined.ts").write_bytes(first.read_bytes() + second.read_bytes())
    shown = check(tmp_path / "joined.ts")
    assert shown[-1].time == pytest.approx(29 / 25, abs=0.1)


@pytest.mark.parametrize(("codec", "options"), [("mpeg2video", dict(b_frames=2)), ("libx264", {})])
def test_a_recording_that_begins_between_key_frames_begins_with_what_can_be_seen(tmp_path, codec, options):
    whole = write(tmp_path / "whole.ts", numbered(COUNT), codec, **options)
    path = remux(whole, tmp_path / "part.ts", lambda number, packet: number >= 5)
    shown = [number_of(frame.image) for frame in open_frames(path)]
    assert shown[-1] == COUNT - 1 and 8 <= shown[0] <= 13
    check(path, range(shown[0], COUNT))


def test_packets_that_show_nothing_are_no_frames(tmp_path):
    whole = write(tmp_path / "whole.avi", numbered(COUNT), "mpeg4", gop=16)
    path = tmp_path / "again.avi"
    # A frame that is not coded, "the same again", at time 15, before a key frame.
    again = b"\0\0\1\xb6" + int("0101011111001111", 2).to_bytes(2, "big")
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for number, packet in enumerate(packet for packet in old.demux(stream) if packet.size):
            assert number != 16 or packet.is_keyframe
            part = av.Packet(again if number == 15 else bytes(packet))
            part.stream, part.is_keyframe, part.time_base = copy, packet.is_keyframe, stream.time_base
            part.pts = part.dts = number
            new.mux(part)
    check(path, [*range(15), *range(16, COUNT)])


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.avi", "libx264", dict(b_frames=2, gop=5)),
        ("b.avi", "mpeg4", dict(b_frames=2)),
        ("a.h264", "libx264", dict(b_frames=3)),
        ("a.mp4", "libx265", dict(b_frames=3)),
        ("a.mkv", "mpeg4", dict(b_frames=2)),
    ],
)
def test_a_long_file_is_not_decoded_to_number_its_frames(tmp_path, monkeypatch, name, codec, options):
    def whole(table):
        raise AssertionError(f"{table.path} is decoded from end to end")

    monkeypatch.setattr(video._PacketTable, "_by_decoding", whole)
    path = write(tmp_path / name, numbered(COUNT), codec, **options)
    assert number_of(VideoReader().read(path, [20])[0]) == 20


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "h263p"), ("a.avi", "mpeg4"), ("a.mp4", "mpeg4"), ("a.mkv", "libx264")]
)
def test_packets_that_are_falsely_called_key_frames(tmp_path, name, codec):
    """Cameras and H.263 in AVI mark every packet: frames decoded from such a start were grey, without an error."""

    def mark(number, packet):
        packet.is_keyframe = True

    whole = write(tmp_path / f"whole_{name}", numbered(COUNT), codec)
    check(remux(whole, tmp_path / name, mark))


@pytest.mark.parametrize("name", ["a:b.mp4", "pipe:1.mp4", "a%03d b.avi", "http:x.mkv"])
def test_a_colon_in_a_name_is_no_protocol(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name, numbered(COUNT))
    check(name)
    assert write_video(f"c:{os.path.splitext(name)[0]}.mp4", numbered(3), 25) == 3
    assert len(read_video(f"c:{os.path.splitext(name)[0]}.mp4")) == 3


def test_decoders_find_zeros_behind_a_packet(tmp_path):
    path = tmp_path / "xvid.avi"
    write(path, numbered(COUNT), "mpeg4")
    reader = VideoReader(max_kept=0)
    for start in np.random.default_rng(1).integers(
        0, COUNT - 2, 150
    ):  # bytes after the end rarely cause errors by chance
        found = reader.read(path, [int(start), int(start) + 2])
        assert [number_of(image) for image in found] == [start, start + 2]
