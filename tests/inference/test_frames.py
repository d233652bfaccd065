"""Frame sources: rotation, time stamps, photos, folders, and invalid files."""

from __future__ import annotations

import gc
import struct
import sys
import threading
import zlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from media_files import with_matrix, write, write_heic
from PIL import Image

from mviper.datasets.clips import read_picture
from mviper.datasets.video import VideoReader
from mviper.errors import ConfigError, FileFormatError, MissingDataError, MissingDependencyError
from mviper.graphics.video import read_video, write_video
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
    again = [frame.image[8, 8, 0] for frame in source]  # it can be iterated again
    assert again == [frame.image[8, 8, 0] for frame in frames] == sorted(again)


def test_decoded_pictures_are_freed_at_once(make_video, ramp):
    """A picture that waits for the garbage collector keeps all of its decoder's, some 100 MB of a film."""
    source = open_frames(make_video(ramp))
    gc.collect()
    gc.disable()
    try:
        assert len(list(source)) == len(ramp)
        assert not [each for each in gc.get_objects() if isinstance(each, av.VideoFrame)]
    finally:
        gc.enable()


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


@pytest.mark.parametrize(
    ("turn", "matrix"),
    [
        (-1, (0, 65536, 0, -65536, 0, 0, 0, 0, 2**30)),  # a phone held upright: 90 degrees clockwise
        (2, (-65536, 0, 0, 0, -65536, 0, 0, 0, 2**30)),
        (1, (0, -65536, 0, 65536, 0, 0, 0, 0, 2**30)),
    ],
)
def test_rotation_metadata_is_applied(make_video, ramp, turn, matrix):
    source = open_frames(with_matrix(make_video(ramp), matrix))
    expected = np.rot90(ramp[5], turn)
    assert (source.height, source.width) == expected.shape[:2]
    np.testing.assert_allclose(list(source)[5].image.astype(int), expected, atol=12)


def test_a_mirrored_picture_is_mirrored_back(make_video, ramp):
    """As some phones write photos of the front camera."""
    for matrix, expected in (
        ((-65536, 0, 0, 0, 65536, 0, 0, 0, 2**30), ramp[5][:, ::-1]),
        ((0, 65536, 0, 65536, 0, 0, 0, 0, 2**30), ramp[5].swapaxes(0, 1)),
    ):
        path = with_matrix(make_video(ramp), matrix)
        np.testing.assert_allclose(list(open_frames(path))[5].image.astype(int), expected, atol=12)
        np.testing.assert_allclose(VideoReader().read(path, [5])[0].astype(int), expected, atol=12)
    half = (46341, 46341, 0, -46341, 46341, 0, 0, 0, 2**30)
    for read in (open_frames, read_video, lambda path: VideoReader().read(path, [0])):
        with pytest.raises(FileFormatError, match="not a multiple of 90"):
            read(with_matrix(make_video(ramp), half))


def circle(width, height, aspect):
    """A disc that is round when pixels are displayed ``aspect`` times as wide as high."""
    y, x = np.mgrid[:height, :width]
    inside = np.hypot((x - width / 2) * float(aspect), y - height / 2) < height / 3
    return np.where(inside[..., None], np.uint8([250, 250, 250]), np.uint8([5, 5, 5]))


@pytest.mark.parametrize("turn", [None, (0, 65536, 0, -65536, 0, 0, 0, 0, 2**30)])
@pytest.mark.parametrize(
    ("name", "size", "aspect", "shown"),
    [
        ("pal.mp4", (180, 144), Fraction(64, 45), (256, 144)),
        ("ntsc.mp4", (180, 120), Fraction(8, 9), (160, 120)),
        ("hdv.mkv", (144, 108), Fraction(4, 3), (192, 108)),
        ("dvd.mpg", (180, 144), Fraction(16, 15), (192, 144)),
        ("dv.avi", (180, 144), Fraction(16, 15), (192, 144)),
    ],
)
def test_pixels_that_are_not_square_are_made_so(tmp_path, name, size, aspect, shown, turn):
    if turn is not None and not name.endswith(".mp4"):
        pytest.skip("only MP4 says how to turn it")
    codec = "mpeg2video" if name.endswith("mpg") else "libx264"
    if name.endswith("mpg"):
        aspect = Fraction(4, 3) * Fraction(144, 180)  # MPEG-2 states the aspect ratio of the display
    path = write(tmp_path / name, [circle(*size, aspect)] * 4, codec, aspect=aspect)
    if turn is not None:
        path, shown = with_matrix(path, turn), shown[::-1]
    source = open_frames(path)
    assert (source.width, source.height) == shown
    for image in (list(source)[2].image, VideoReader().read(path, [2])[0], read_video(path)[2]):
        assert image.shape == (*shown[::-1], 3)
        white = image[..., 0] > 128
        wide, high = (np.ptp(np.flatnonzero(white.any(axis))) for axis in (0, 1))
        assert abs(wide - high) <= 3 and wide > 60


def test_pixels_of_an_impossible_shape_are_refused(tmp_path):
    path = write(tmp_path / "a.mp4", [circle(96, 64, 1)] * 3, aspect=Fraction(50))
    for read in (open_frames, read_video, lambda path: VideoReader().read(path, [0])):
        with pytest.raises(FileFormatError, match="aspect ratio is given as 50"):
            read(path)


@pytest.mark.parametrize("kind", ["limited", "full", "jpeg"])
def test_black_is_black_whatever_the_range_of_the_colours(tmp_path, kind):
    bars = np.zeros((64, 96, 3), np.uint8)
    bars[:, 32:64], bars[:, 64:] = 128, 255
    if kind == "jpeg":
        path = write(tmp_path / "a.avi", [bars] * 3, "mjpeg", pix_fmt="yuvj420p")
    else:
        path = tmp_path / "a.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            stream.codec_context.color_range = 2 if kind == "full" else 1
            for _ in range(3):
                frame = av.VideoFrame.from_ndarray(bars, format="rgb24")
                out.mux(stream.encode(frame.reformat(format="yuv420p", dst_color_range=2 if kind == "full" else 1)))
            out.mux(stream.encode(None))
    for image in (list(open_frames(path))[1].image, VideoReader().read(path, [1])[0], read_video(path)[1]):
        np.testing.assert_allclose(image[32, [16, 48, 80]], np.float64([[0] * 3, [128] * 3, [255] * 3]), atol=6)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_photo_is_turned_by_its_exif(tmp_path, suffix):
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated clockwise
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(picture).save(path, exif=exif)
    source = open_frames(path)
    assert source.is_photo and (source.height, source.width) == (48, 32)
    np.testing.assert_allclose(next(iter(source)).image.astype(int), np.rot90(picture, -1), atol=40)


def test_photos_keep_their_brightness_whatever_their_depth(tmp_path):
    for name, picture in (("grey", np.full((8, 8), 30000, np.uint16)), ("rgb", np.full((8, 8, 3), 30000, np.uint16))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
        np.testing.assert_allclose(next(iter(open_frames(tmp_path / f"{name}.png"))).image, 117, atol=1)


def corners(size=128):
    """An image whose quadrants are red, green, blue and white."""
    picture = np.full((size, size, 3), 255, np.uint8)
    half = size // 2
    picture[:half, :half], picture[:half, half:], picture[half:, :half] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return picture


@pytest.mark.parametrize("name", ["a.heic", "b.jpg", "c.mp4", "d.HIF"])
@pytest.mark.parametrize("turns", [0, 1])
def test_heic_is_read_whole_and_told_by_its_content(tmp_path, name, turns):
    path = write_heic(tmp_path / name, corners(), quarter_turns=turns, brand=b"mif1" if turns else b"heic")
    source = open_frames(path)
    assert source.is_photo and (source.width, source.height) == (128, 128)
    for place, colour in (((32, 32), 0), ((32, 96), 1), ((96, 32), 2), ((96, 96), 3)):
        expected = np.rot90(corners(), turns)[place]
        np.testing.assert_allclose(next(iter(source)).image[place].astype(int), expected, atol=24, err_msg=f"{colour}")


def test_a_cut_heic_is_refused(tmp_path):
    """Regression: its first tile stood in place of those that were missing."""
    pytest.importorskip("pi_heif")
    write_heic(tmp_path / "a.heic", np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8))
    content = (tmp_path / "a.heic").read_bytes()
    for length in (len(content) - 1, len(content) * 7 // 10):
        (tmp_path / "cut.heic").write_bytes(content[:length])
        with pytest.raises(FileFormatError, match=r"cut\.heic: it is cut"):
            list(open_frames(tmp_path / "cut.heic"))
    (tmp_path / "a.heic").write_bytes(content + b"made by a phone")
    assert len(list(open_frames(tmp_path / "a.heic"))) == 1


def test_heic_among_pictures_and_without_its_package(tmp_path, monkeypatch):
    write_heic(tmp_path / "IMG_1.HEIC", corners())
    cv2.imwrite(str(tmp_path / "IMG_2.jpg"), corners())
    assert [frame.image.shape for frame in open_frames(tmp_path)] == [(128, 128, 3)] * 2
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*requirements/inference\.txt"):
        open_frames(tmp_path / "IMG_1.HEIC")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
def test_animated_images_are_videos(tmp_path, suffix):
    shades = [20, 90, 160, 230]
    pictures = [Image.fromarray(np.full((24, 32, 3), shade, np.uint8)) for shade in shades]
    path = tmp_path / f"a{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 200, 50, 100], loop=0)
    source = open_frames(path)
    assert not source.is_photo and (source.width, source.height) == (32, 24)
    frames = list(source)
    np.testing.assert_allclose([frame.image[5, 5, 0] for frame in frames], shades, atol=3)
    np.testing.assert_allclose([frame.time for frame in frames], [0, 0.1, 0.3, 0.35])
    assert source.fps == pytest.approx(3 / 0.35)
    assert len(list(Excerpt(source, 0.1, 0.22))) == 2
    pictures[0].save(path)
    assert open_frames(path).is_photo
    pictures[0].save(tmp_path / "1.jpg")
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    with pytest.raises(FileFormatError, match="it is animated"):
        list(open_frames(tmp_path))


def test_pages_are_not_guessed_among(tmp_path):
    pages = [Image.fromarray(np.full((24, 32, 3), shade, np.uint8)) for shade in (20, 90)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(FileFormatError, match="2 pages"):
        open_frames(tmp_path / "scan.tif")


def test_the_content_counts_and_not_the_name(tmp_path, make_video, ramp):
    video = make_video(ramp)
    cv2.imwrite(str(tmp_path / "photo.png"), ramp[3])
    (tmp_path / "photo.mp4").write_bytes((tmp_path / "photo.png").read_bytes())
    (tmp_path / "video.jpg").write_bytes(video.read_bytes())
    assert open_frames(tmp_path / "photo.mp4").is_photo
    assert len(list(open_frames(tmp_path / "video.jpg"))) == len(ramp)
    (tmp_path / "notes.txt").write_text("Take 1\n" * 50)
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {video.name}\n")
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{video.name}\n#EXT-X-ENDLIST\n")
    Image.fromarray(ramp[3]).save(tmp_path / "a.tga")
    for name in ("notes.txt", "list.mp4", "list.m3u8", "a.tga"):
        with pytest.raises(FileFormatError, match=r"not a (readable )?video"):
            open_frames(tmp_path / name)


def test_system_files_in_folders_are_skipped(tmp_path):
    cv2.imwrite(str(tmp_path / "1.jpg"), np.zeros((8, 8, 3), np.uint8))
    for name in ("._1.jpg", "Thumbs.db", ".DS_Store", "desktop.ini"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(100))
    assert len(list(open_frames(tmp_path))) == 1
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(MissingDataError, match="no images"):
        open_frames(tmp_path)
    with pytest.raises(FileFormatError, match="AppleDouble"):
        open_frames(tmp_path / "._1.jpg")
    (tmp_path / "a.mp4").write_text("<!DOCTYPE html><title>Sign in</title>")
    with pytest.raises(FileFormatError, match="an HTML page"):
        open_frames(tmp_path / "a.mp4")


def with_timescale(path, factor):
    """An MP4 whose time base makes it run this many times faster."""
    content = bytearray(path.read_bytes())
    place = content.index(b"mdhd") + 4 + 12
    content[place : place + 4] = round(int.from_bytes(content[place : place + 4], "big") * factor).to_bytes(4, "big")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("factor", [3e4, 100])
def test_a_rate_that_cannot_be_is_refused(make_video, ramp, factor):
    path = with_timescale(make_video(ramp), factor)
    with pytest.raises(FileFormatError, match="time stamps are implausible"):
        list(open_frames(path))


def test_a_pause_of_years_is_refused(tmp_path, ramp):
    path = write(tmp_path / "a.mkv", ramp, times=[*range(0, 440, 40), 10**11])
    with pytest.raises(FileFormatError, match=r"frame 11 comes 1e\+08 s after"):
        list(open_frames(path))
    for fps in (0, -1, 1e6, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="frames per second"):
            write_video(tmp_path / "b.mp4", ramp, fps)


def test_a_file_without_a_rate_has_that_of_its_frames(tmp_path, ramp):
    path = write(tmp_path / "a.ivf", ramp, "libvpx", fps=20)
    assert open_frames(path).fps == pytest.approx(20)


def png_of_size(width, height):
    """A file of a few bytes that claims to be a large image."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ):
        parts.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(parts)


def test_pictures_that_would_fill_the_memory_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(png_of_size(100_000, 100_000))
    with pytest.raises(FileFormatError, match="more than 179 million pixels"):
        open_frames(tmp_path / "a.png")
    with pytest.raises(FileFormatError, match="not a readable picture"):
        read_picture(tmp_path / "a.png")
    path = write(tmp_path / "a.avi", [np.zeros((16, 16, 3), np.uint8)] * 3, "rawvideo", pix_fmt="bgr24")
    content = bytearray(path.read_bytes())
    place = content.index(b"strf") + 8 + 4
    content[place : place + 8] = struct.pack("<ii", 100_000, 100_000)
    path.write_bytes(content)
    for read in (open_frames, read_video, lambda path: VideoReader().read(path, [0])):
        with pytest.raises(FileFormatError):
            read(path)


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


def test_files_that_are_not_videos_are_refused(tmp_path, make_video, ramp):
    with pytest.raises(FileFormatError, match="contains no video stream, only audio"):
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
    with pytest.raises(MissingDataError, match="no images"):
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
    with pytest.raises(MissingDataError, match="delivered no frame"):
        record(iter([]), tmp_path / "none.mp4", seconds=1)
    assert not (tmp_path / "none.mp4").exists()


def test_walking_ahead_keeps_order_and_errors_and_ends_with_its_user():
    def numbers():
        yield from range(20)
        raise FileFormatError("video.mp4", "it ends prematurely")

    threads, seen = threading.active_count(), []
    with pytest.raises(FileFormatError, match="ends prematurely"):
        for number in ahead(numbers(), 3):
            seen.append(number)
    assert seen == list(range(20))
    walk = ahead(numbers(), 3)
    assert next(walk) == 0
    walk.close()
    assert threading.active_count() == threads
