"""Frames in: rotation, time stamps, photos, folders, and files that are not what they should be."""

from __future__ import annotations

import threading
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.inference.frames import Excerpt, Frame, VideoFile, ahead, open_frames, record


@pytest.fixture
def ramp() -> np.ndarray:
    """Frames with a bright corner, each a little brighter, (12, 48, 80, 3)."""
    frames = np.zeros((12, 48, 80, 3), np.uint8)
    frames[:, :16, :16] = 60 + 15 * np.arange(12)[:, None, None, None]
    return frames


def test_times_of_a_variable_rate_are_kept(make_video, ramp):
    times = np.cumsum([0, *([0.02, 0.05, 0.1] * 4)[:11]])
    source = open_frames(make_video(ramp, times=times))
    frames = list(source)
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-4)
    assert [frame.number for frame in frames] == list(range(12))
    again = [frame.image[8, 8, 0] for frame in source]  # it can be walked again
    assert again == [frame.image[8, 8, 0] for frame in frames] == sorted(again)


def test_an_excerpt_is_a_video_of_its_own(make_video, ramp):
    whole = open_frames(make_video(ramp, fps=10))
    part = list(Excerpt(whole, 0.3, 0.5))
    assert [frame.number for frame in part] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([frame.time for frame in part], np.arange(5) / 10, atol=1e-4)
    np.testing.assert_array_equal(part[0].image, list(whole)[3].image)
    assert len(list(Excerpt(whole, 1.0))) == 2
    with pytest.raises(MissingDataError, match="ends before second 2"):
        Excerpt(whole, 2.0)
    with pytest.raises(ConfigError, match="length above 0"):
        Excerpt(whole, 0.0, 0.0)


def rotated(path, matrix):
    """Writes a display matrix into an MP4's track header, as phones do."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    content[place : place + 36] = b"".join(int(value).to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("turn", "matrix"),
    [
        (-1, (0, 65536, 0, -65536, 0, 0, 0, 0, 2**30)),  # a phone held upright: 90 degrees clockwise
        (2, (-65536, 0, 0, 0, -65536, 0, 0, 0, 2**30)),
        (1, (0, -65536, 0, 65536, 0, 0, 0, 0, 2**30)),
    ],
)
def test_rotation_metadata_is_applied(make_video, ramp, turn, matrix):
    source = open_frames(rotated(make_video(ramp), matrix))
    expected = np.rot90(ramp[5], turn)
    assert (source.height, source.width) == expected.shape[:2]
    np.testing.assert_allclose(list(source)[5].image.astype(int), expected, atol=12)


def test_photo_is_turned_by_its_exif(tmp_path):
    from PIL import Image

    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(picture).save(tmp_path / "photo.png", exif=exif)
    source = open_frames(tmp_path / "photo.png")
    assert source.is_photo and (source.height, source.width) == (30, 20)
    np.testing.assert_array_equal(next(iter(source)).image, np.rot90(picture, -1))


def test_folder_is_in_the_order_of_its_numbers(tmp_path):
    for number in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"frame {number}.png"), np.full((8, 8 + number, 3), number, np.uint8))
    frames = list(open_frames(tmp_path, fps=5))
    assert [frame.image[0, 0, 0] for frame in frames] == [1, 2, 10]
    assert [frame.time for frame in frames] == [0, 0.2, 0.4]
    assert {frame.image.shape for frame in frames} == {(8, 9, 3)}
    with pytest.raises(ConfigError, match="more than 0"):
        open_frames(tmp_path, fps=0)


def audio_file(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
        sound.sample_rate, sound.time_base = 8000, Fraction(1, 8000)
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


def test_what_is_no_video_says_so(tmp_path, make_video, ramp):
    with pytest.raises(FileFormatError, match="no video in it, only audio"):
        open_frames(audio_file(tmp_path / "sound.wav"))
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(FileFormatError, match="not a readable video"):
        open_frames(tmp_path / "text.mp4")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(FileFormatError, match="not a readable picture"):
        open_frames(tmp_path / "empty.jpg")
    with pytest.raises(MissingDataError, match="no such file"):
        open_frames(tmp_path / "none.mp4")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MissingDataError, match="no pictures"):
        open_frames(tmp_path / "folder")


def test_a_cut_file_gives_what_it_has(make_video):
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), np.uint8)
    path = make_video(noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = VideoFile(path)
    assert 3 < len(list(source)) < 18
    assert source.problem


def test_a_recording_keeps_the_true_times(tmp_path, ramp):
    moments = [0, 0.03, 0.11, 0.2, 0.21, 0.5]
    frames = (Frame(k, moment, image) for k, (moment, image) in enumerate(zip(moments, ramp)))
    video = record(frames, tmp_path / "recording.mp4", seconds=0.3)
    np.testing.assert_allclose([frame.time for frame in video], moments[:5], atol=1e-4)
    with pytest.raises(MissingDataError, match="no frame to record"):
        record(iter([]), tmp_path / "none.mp4", seconds=1)
    assert not (tmp_path / "none.mp4").exists()


def test_walking_ahead_keeps_order_and_errors_and_ends_with_its_user():
    def numbers():
        yield from range(20)
        raise FileFormatError("video.mp4", "it breaks off")

    threads, seen = threading.active_count(), []
    with pytest.raises(FileFormatError, match="breaks off"):
        for number in ahead(numbers(), 3):
            seen.append(number)
    assert seen == list(range(20))
    walk = ahead(numbers(), 3)
    assert next(walk) == 0
    walk.close()
    assert threading.active_count() == threads
