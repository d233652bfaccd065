"""Uploads are renamed, limited in size and length, and always removed."""

import json
import shutil
import socket

import numpy as np
import pytest
from sequence_files import write_sequences

from mviper.app import Cancelled, Gallery, Limits, Workplace, serve
from mviper.app.jobs import remarks
from mviper.errors import ConfigError, FileFormatError, NobodyFound
from mviper.graphics import write_video
from mviper.inference import MeshRecoverer


@pytest.fixture(scope="module")
def recoverer():
    return MeshRecoverer(tta=False, max_people=1)


@pytest.fixture
def workplace(tmp_path):
    (tmp_path / "work").mkdir()
    return Workplace(tmp_path / "work", Limits())


def silent(step, share, left):
    pass


def test_upload_becomes_files_and_is_removed(workplace, recoverer, short_video, tmp_path):
    upload = shutil.copy(short_video, tmp_path / "dance.MP4")
    job = workplace.begin("me")
    path = job.take(upload)
    assert path == job.folder / "upload.mp4" and not upload.exists()
    heard = []
    made = job.recover(recoverer, path, lambda *now: heard.append(now))
    assert [file.name for file in made.files] == ["overlay.mp4", "motion.glb", "motion.bvh", "motion.npz"]
    assert sorted(job.folder.iterdir()) == sorted([*made.files, made.page])
    assert "<video" in made.page.read_text() and any("focal length" in remark for remark in made.remarks)
    steps = [step for step, *_ in heard]
    assert [step for k, step in enumerate(steps) if step not in steps[:k]] == [
        "1 of 3: finding people", "2 of 3: recovering bodies", "3 of 3: drawing", "3 of 3: writing the files",
    ]  # fmt: skip
    shares = [share for step, share, _ in heard if share is not None and "finding" in step]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1, abs=0.05)
    workplace.leave("me")
    assert not list(workplace.root.iterdir())


@pytest.mark.parametrize("name", ["a b.mp4", "x.mp4;rm", "..mp4", "f.php%00.mp4", "ü.verylongending"])
def test_names_never_reach_the_disk(workplace, tmp_path, name):
    upload = tmp_path / name
    upload.write_bytes(b"x")
    path = workplace.begin("me").take(upload)
    assert path.parent.parent == workplace.root and path.name in ("upload", "upload.mp4")


def test_limits(recoverer, short_video, tmp_path):
    for limits, problem in {
        Limits(megabytes=1e-3): "larger than 0.001 MB",
        Limits(megapixels=0.01): "more than 0.01 million",
    }.items():
        workplace = Workplace(tmp_path, limits)
        job = workplace.begin("me")
        path = job.take(shutil.copy(short_video, tmp_path / "copy.mp4"))
        with pytest.raises(FileFormatError, match=problem):
            job.recover(recoverer, path, silent)
        assert not path.exists()


def test_length_is_what_the_frames_say(recoverer, tmp_path):
    """A container may state any length; reading stops at the stream's own time stamps."""
    job = Workplace(tmp_path, Limits(seconds=1)).begin("me")
    for name, fps in (("stated.mp4", 2), ("stream.mkv", 2)):
        write_video(tmp_path / "long.mp4", [np.zeros((64, 64, 3), np.uint8)] * 8, fps)
        path = job.take(shutil.copy(tmp_path / "long.mp4", tmp_path / name))
        with pytest.raises(FileFormatError, match="longer than 1 s"):
            job.recover(recoverer, path, silent)


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\x00\x00\x00\x20ftypisom" + b"\xff" * 500])
def test_files_that_are_not_videos_are_refused_and_removed(workplace, recoverer, tmp_path, content):
    job = workplace.begin("me")
    (tmp_path / "fake.mp4").write_bytes(content)
    path = job.take(tmp_path / "fake.mp4")
    with pytest.raises(FileFormatError):
        job.recover(recoverer, path, silent)
    assert not list(job.folder.iterdir())


def test_nobody_in_it(workplace, recoverer, tmp_path):
    job = workplace.begin("me")
    write_video(tmp_path / "grey.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 3, 10)
    with pytest.raises(NobodyFound, match="no person found in 3 frames"):
        job.recover(recoverer, job.take(tmp_path / "grey.mp4"), silent)


@pytest.mark.parametrize("moment", ["finding", "recovering", "drawing"])
def test_a_closed_page_ends_the_job_and_leaves_nothing(workplace, recoverer, short_video, tmp_path, moment):
    job = workplace.begin("me")
    path = job.take(shutil.copy(short_video, tmp_path / "copy.mp4"))

    def close(step, share, left):
        if moment in step:
            workplace.leave("me")

    with pytest.raises(Cancelled):
        job.recover(recoverer, path, close)
    assert not list(workplace.root.iterdir())


def test_a_new_upload_removes_what_was_there(workplace, tmp_path):
    first = workplace.begin("me")
    other = workplace.begin("another")
    second = workplace.begin("me")
    assert first.cancelled.is_set() and not first.folder.exists()
    assert second.folder.exists() and other.folder.exists() and not other.cancelled.is_set()


def test_strays_are_swept(workplace):
    job = workplace.begin("me")
    (job.folder / "upload.mp4").write_bytes(b"x")
    (workplace.root / "stray").write_bytes(b"x")
    (workplace.root / "folder").mkdir()
    workplace.sweep()
    assert len(list(workplace.root.iterdir())) == 3  # another upload may be in progress
    workplace.sweep(seconds=-1)
    assert list(workplace.root.iterdir()) == [job.folder] and list(job.folder.iterdir())


def test_remarks_say_where_nobody_was_found_and_what_is_unsure(recoverer, short_video):
    result = recoverer(short_video)
    person = result.people[0]
    person.landmarks[:4] = np.nan
    person.features = person.features + 50  # far outside the calibrated range
    said = " ".join(remarks(result))
    assert "not found in 4 of 8 frames" in said and "Person 1: 8 of 8 frames are unsure, about" in said


def test_gallery_selects(tmp_path):
    write_sequences(tmp_path)
    for path in tmp_path.glob("*/*/manifest.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "garments": [{"name": "dress"}]}))
    gallery = Gallery(tmp_path)
    assert gallery.videos and not gallery.skipped
    video = gallery.videos[0]
    assert video.garments == ("dress",) and "dress" in video.title
    assert video in gallery.select(video.garments, video.motion, video.visible)
    assert not gallery.select([*video.garments, "crown"])
    assert not gallery.select(motion="no such clip") and not gallery.select(visible=1.01)
    frames = list(video.frames())
    assert len(frames) == video.sequence.manifest["frames"]
    assert video.write(tmp_path / "video.mp4").stat().st_size > 0


def test_taken_port_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} cannot be used .*; choose another with --port"):
            serve(None, port=port)
