"""Videos: written frames are read back, and browsers can play the files."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from mviper.errors import FileFormatError
from mviper.graphics.video import open_video, read_video, write_video


def moving_square(count: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    frames = [np.full((height, width, 3), (40, 90, 160), np.uint8) for _ in range(count)]
    for i, frame in enumerate(frames):
        frame[10:30, 2 * i : 2 * i + 20] = (220, 60, 30)
    return frames


def test_round_trip(tmp_path):
    frames = moving_square(12)
    assert write_video(tmp_path / "v.mp4", iter(frames), 30, crf=12) == 12
    read = read_video(tmp_path / "v.mp4")
    assert read.shape == (12, 64, 96, 3)
    assert np.abs(read.astype(int) - np.stack(frames)).mean() < 3
    assert len(read_video(tmp_path / "v.mp4", limit=5)) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_browsers_can_play_it(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, moving_square(4), 29.97)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(29.97, abs=0.01)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays before it is loaded completely


def test_odd_sizes_are_padded(tmp_path):
    write_video(tmp_path / "v.mp4", moving_square(2, 63, 95), 30)
    assert read_video(tmp_path / "v.mp4").shape == (2, 64, 96, 3)


def test_failure_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="frame 1 has shape"):
        write_video(tmp_path / "v.mp4", [np.zeros((16, 16, 3), np.uint8), np.zeros((16, 18, 3), np.uint8)], 30)
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "v.mp4", [], 30)
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "v.mp4"
    with pytest.raises(FileFormatError, match=r"v\.mp4"):
        read_video(path)
    path.write_bytes(b"not a video" * 50)
    with pytest.raises(FileFormatError, match=r"v\.mp4"):
        read_video(path)


@pytest.mark.parametrize("kind", ["relative", "absolute"])
def test_errors_name_the_place_as_it_was_given(tmp_path, monkeypatch, kind):
    """Callers check whether the path is inside a folder, such as the data set's."""
    monkeypatch.chdir(tmp_path)
    place = {"relative": Path(), "absolute": tmp_path}[kind] / "a:b" / "none" / "v.mp4"
    with pytest.raises(FileNotFoundError) as raised:
        open_video(place)
    assert Path(raised.value.filename) == place
    place.parent.mkdir(parents=True)
    write_video(place, moving_square(2), 30)
    assert len(read_video(place)) == 2
