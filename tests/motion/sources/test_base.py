"""What all sources share: lazy listing in order, names, filters, and folders with broken files."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tracemalloc

import numpy as np
import pytest
from capture_files import MIXAMO, as_bvh, write_bvh

from mviper.config import load_config
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.motion import (
    AMASSMotion,
    BVHMotion,
    C3DMotion,
    CMUMotion,
    DeepMimicMotion,
    KeyPoseMotion,
    SMPLMotion,
)
from mviper.motion.sources.base import Clip, MotionSource, check_timing, read_index, split_of
from mviper.registry import MOTION_SOURCES
from mviper.structures import Motion
from mviper.synthesis import complete_config, list_jobs

INDEX = "mocap/cmu-mocap-index-text.txt"


def names(source):
    return [clip.name for clip in source.clips()]


def test_cmus_index(shared_data):
    index = read_index(shared_data / INDEX)
    assert len(index) > 2400 and index["49_18"] == "balance on one leg, outstretched arms"
    assert index["01_01"] == "playground - forward jumps, turn around" and "Subject" not in "".join(index)


def test_system_files_are_skipped(acclaim, tmp_path):
    """macOS's ``._NAME`` and ``__MACOSX``, for every kind of file, and next to a clip's skeleton."""
    junk = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(100)
    good = ("07/07.asf", "07/07_01.amc", "b/dab.bvh", "c/x.c3d", "d/humanoid3d_run.txt", "e/a_poses.npz")
    for name in good:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        (path.parent / f"._{path.name}").write_bytes(junk)
        hidden = tmp_path / "__MACOSX" / path.parent.name / f"._{path.name}"
        hidden.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_bytes(junk)
        (hidden.parent / path.name).write_bytes(junk)
    for kind in (CMUMotion, BVHMotion, C3DMotion, DeepMimicMotion, AMASSMotion, SMPLMotion):
        clips = list(kind(tmp_path).clips())
        assert len(clips) == 1 and not clips[0].path.name.startswith("."), kind
    for name in ("07.asf", "07_01.amc"):
        shutil.copy(acclaim / name, tmp_path / "07" / name)
    source = CMUMotion(tmp_path)
    assert len(source.read(next(source.clips()))) == 320


def test_rates_and_lengths_of_human_range(tmp_path):
    """Files and configs that would be resampled for hours are refused at once."""
    for fps in (0, 0.1, 1e6, float("nan"), float("inf"), -30):
        with pytest.raises(FileFormatError, match="frames a second, expected 1 to 10000"):
            check_timing(tmp_path / "a.bvh", 100, fps)
        for kind in (CMUMotion, BVHMotion, DeepMimicMotion, AMASSMotion, SMPLMotion):
            with pytest.raises(ConfigError, match="fps must be > 0"):
                kind(tmp_path, fps=fps)
        with pytest.raises(ConfigError, match="fps must be > 0"):
            KeyPoseMotion(fps=fps)
    check_timing(tmp_path / "a.bvh", 4 * 3600 * 120, 120)
    with pytest.raises(
        FileFormatError, match=r"lasts 100000 s \(100000 frames at 1 a second\), expected at most 14400"
    ):
        check_timing(tmp_path / "a.bvh", 100_000, 1)
    for wrong in (dict(cycles=10**9), dict(cycles=0), dict(min_seconds=1e9), dict(blend_seconds=-1.0)):
        with pytest.raises(ConfigError, match="DeepMimicMotion needs cycles"):
            DeepMimicMotion(tmp_path, **wrong)
    with pytest.raises(ConfigError, match="'slow': last longer than 14400 s"):
        KeyPoseMotion(sequences=dict(slow=[(0, "stand"), (1e9, "squat")]))


def test_filters_by_action(shared_data, tmp_path):
    root = shared_data / "mocap/asf_amc"
    source = CMUMotion(root, index=shared_data / INDEX, actions=["Walk", "balance*arms"])
    assert names(source) == ["07_01", "07_02", "07_12", "35_01", "49_18", "49_19", "49_20"]
    assert next(source.clips()).description == "walk"
    with pytest.raises(MissingDataError, match=r"no clip named 49_.* described as swim"):
        names(CMUMotion(root, names="49_*", index=shared_data / INDEX, actions="swim"))
    with pytest.raises(ConfigError, match=r"set source\.index"):
        CMUMotion(root, actions="walk")
    with pytest.raises(MissingDataError, match="no such index"):
        names(CMUMotion(root, index=tmp_path / "none.txt"))
    (tmp_path / "empty.txt").write_text("nothing\n")
    with pytest.raises(FileFormatError, match="holds no line"):
        names(CMUMotion(root, index=tmp_path / "empty.txt"))


def test_filters_by_length(shared_data):
    root = shared_data / "mocap"
    long = CMUMotion(root / "asf_amc", seconds=(8.0, 10.0))
    assert names(long) == ["131_04", "49_18"] and names(CMUMotion(root / "asf_amc", seconds=(None, 2.0))) == ["09_06"]
    for clip in long.clips():  # known without reading the whole file
        assert long.duration(clip) == len(long.read(clip)) / 120
    bvh = BVHMotion(root / "bvh", seconds=(8.0, 12.0))
    assert names(bvh) == ["131_01", "dab", "salsa_10"]
    assert all(abs(bvh.duration(clip) - len(bvh.read(clip)) / bvh.read(clip).fps) < 0.02 for clip in bvh.clips())
    assert names(DeepMimicMotion(root / "deepmimic", names=["run", "walk"], seconds=(1.0, None))) == ["walk"]
    assert names(DeepMimicMotion(root / "deepmimic", names="run", cycles=2, seconds=(1.0, None))) == ["run"]
    for wrong in ((1.0,), (-1.0, 2.0)):
        with pytest.raises(ConfigError, match="seconds must be"):
            CMUMotion(root / "asf_amc", seconds=wrong)


def test_two_files_of_one_name(tmp_path):
    for folder in ("a", "b/deep"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "walk.bvh").touch()
    clips = list(BVHMotion(tmp_path).clips())
    assert [clip.name for clip in clips] == ["walk", "b-deep-walk"]
    assert [clip.path.parent.name for clip in clips] == ["a", "deep"]


def test_a_walk_keeps_no_more_than_names(tmp_path):
    """5,000 files: clips are listed one by one, with constant memory."""
    for folder in range(50):
        (tmp_path / f"{folder:02d}").mkdir()
        for trial in range(100):
            (tmp_path / f"{folder:02d}" / f"{folder:02d}_{trial:02d}.bvh").touch()
    source = BVHMotion(tmp_path)
    tracemalloc.start()
    clips = source.clips()
    assert next(clips).name == "00_00"
    start, _ = tracemalloc.get_traced_memory()
    assert sum(1 for _ in clips) == 4999
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - start < 2e6


def save_motion(path, frames=40):
    path.parent.mkdir(parents=True, exist_ok=True)
    poses = np.zeros((frames, 72))
    poses[:, 0] = np.pi / 2
    np.savez(path, poses=poses, trans=np.tile([0, 0, 0.9], (frames, 1)), betas=np.zeros(10), mocap_framerate=30.0)


@pytest.fixture
def bad_folder(tmp_path, acclaim, target):
    """For each source, a good clip among bad ones."""
    root, walk = tmp_path / "data", DeepMimicMotion(names="walk")
    clip = next(walk.clips())
    save_motion(tmp_path / "good.npz")
    write_bvh(tmp_path / "good.bvh", as_bvh(walk.load(clip, target), target.rest_joints, MIXAMO))
    garbage = bytes(np.random.default_rng(0).integers(0, 256, 2000, dtype=np.uint8))
    for good in (acclaim / "07_01.amc", tmp_path / "good.bvh", clip.path, tmp_path / "good.npz"):
        ending = good.suffix
        folder = root / ending[1:]
        folder.mkdir(parents=True)
        prefix = "humanoid3d_" if ending == ".txt" else ""
        middle = folder / f"{prefix}m_good{ending}"
        shutil.copy(good, middle)
        content = middle.read_bytes()
        cut = content[: len(content) // 3] + b"-"
        bad = {"a_garbage": garbage, "b_cut": cut, "n_empty": b"", "o_text": b"hello\n" * 9}
        for name, replacement in bad.items():
            (folder / f"{prefix}{name}{ending}").write_bytes(replacement)
    shutil.copy(acclaim / "07.asf", root / "amc/07.asf")
    return {
        "amc": CMUMotion(root / "amc"), "bvh": BVHMotion(root / "bvh"), "txt": DeepMimicMotion(root / "txt"),
        "npz": AMASSMotion(root / "npz"), "smpl": SMPLMotion(root / "npz"),
    }  # fmt: skip


def test_bad_files_do_not_stop_a_folder(bad_folder, target):
    for kind, source in bad_folder.items():
        good, bad = [], []
        for clip in source.clips():
            try:
                good.append(source.load(clip, target).name)
            except FileFormatError as error:
                assert error.path == clip.path and str(clip.path) in str(error)
                assert error.line is not None or kind in ("npz", "smpl", "txt")
                bad.append(clip.name)
        assert good == ["m_good"] and bad == ["a_garbage", "b_cut", "n_empty", "o_text"], kind
        source.seconds = (0.5, 60.0)  # a clip of unknown length is listed, so that it is reported
        assert {"m_good", "a_garbage"} <= set(names(source))


@pytest.mark.slow
def test_bad_files_do_not_stop_the_factory(bad_folder, tmp_path):
    if importlib.util.find_spec("bpy") is None:
        pytest.skip("no bpy")
    from mviper.synthesis import generate

    config = load_config("configs/synthesis/bvh.py").to_dict() | dict(
        source=dict(type="BVHMotion", root=str(bad_folder["bvh"].root)), outfit=[], max_frames=2, min_seconds=0.1,
        cameras=dict(type="CompassCameras", resolution=32), renderer=dict(type="CyclesRenderer", samples=1),
    )  # fmt: skip
    summary = generate(config, tmp_path / "out")
    assert summary.made == ["m_good__00"] and not summary.rejected
    assert set(summary.failed) == {f"{name}__00" for name in ("a_garbage", "b_cut", "n_empty", "o_text")}
    assert all(".bvh:" in reason and "Traceback" not in reason for reason in summary.failed.values())
    manifest = json.loads((tmp_path / "out/train/m_good__00/manifest.json").read_text())
    assert manifest["clip"] == "m_good" and manifest["frames"] == 2


def test_cmu_full(shared_data, repository):
    """The config for all of CMU, on the available clips: descriptions, splits by subject, several bodies per clip."""
    config = load_config(
        repository / "configs/synthesis/cmu_full.py",
        {"source.root": str(shared_data / "mocap/asf_amc"), "source.index": str(shared_data / INDEX)},
    )
    config = complete_config(config.to_dict())
    jobs = list_jobs(config)
    assert len(jobs) == 3 * 13 and len({job.name for job in jobs}) == len(jobs)
    assert {job.clip.description for job in jobs} >= {"walk", "run"}
    splits = {}
    for name in read_index(shared_data / INDEX):
        subject = name.split("_")[0]
        splits.setdefault(subject, set()).add(split_of(Clip(name, subject, None), config["splits"]))
    assert all(len(used) == 1 for used in splits.values())  # no subject is in two
    share = {split: sum({split} == used for used in splits.values()) / len(splits) for split in ("val", "test")}
    assert 0.05 < share["val"] < 0.15 and 0.05 < share["test"] < 0.15


@pytest.mark.parametrize("kind", ["CMUMotion", "BVHMotion", "DeepMimicMotion", "AMASSMotion", "SMPLMotion"])
def test_missing_folders_say_what_to_do(kind, tmp_path):
    source = MOTION_SOURCES.build(dict(type=kind, root=tmp_path / "nowhere", names="x", seconds=(1, None)))
    with pytest.raises(MissingDataError, match=rf"{kind}: no folder .*nowhere; .*(set|pip)"):
        source.clips()
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(MissingDataError, match="no clip named x of"):
        list(source.clips())


class _OwnMotions(MotionSource):
    """A source that reads a body's motion but does not fit it."""

    def find_clips(self):
        yield Clip("still", "", self.root)

    def read(self, clip):
        return Motion(np.zeros((3, 24, 3)), np.zeros((3, 3)), np.zeros(10), 30.0)


def test_a_source_of_motions_needs_a_fit_of_its_own(tmp_path, target):
    source = _OwnMotions(tmp_path)
    with pytest.raises(TypeError, match=r"_OwnMotions.read gives no skeleton: it needs a fit of its own"):
        source.load(next(source.clips()), target)
