"""C3D files as other programs write them: read, fitted, and refused if damaged."""

import logging

import numpy as np
import pytest
import torch
from benchmarks.simulated_markers import simulate_markers
from capture_files import write_c3d
from scipy.spatial.transform import Rotation

from mviper.body.rotations import axis_angle_to_matrix, geodesic_angle
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.motion import C3DMotion, DeepMimicMotion, forward_kinematics
from mviper.motion.sources.c3d import read_markers, read_points
from mviper.registry import MOTION_SOURCES
from mviper.structures.joints import SMPL_JOINTS

ezc3d = pytest.importorskip("ezc3d", reason="pip install ezc3d (requirements/tests.txt)")

BETAS = np.array([-0.9, 0.7, -0.4, 0.8, 0.3, -1.0, 0.5, 0.2, -0.5, 0.4])


@pytest.fixture(scope="module")
def kick(body):
    """A clip held out from the pose prior."""
    source = DeepMimicMotion(names=["spinkick"], fps=120)
    return source.load_for_body(next(source.clips()), body, BETAS)


@pytest.fixture(scope="module")
def capture(body, kick):
    return simulate_markers(body, kick, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, kick, capture):
    root = tmp_path_factory.mktemp("c3d")
    write_c3d(root / "jack/kick.c3d", capture.names, capture.points)
    write_c3d(root / "jack/short.c3d", capture.names, capture.points[:30], unit="m", y_up=True)
    (root / "jack/torn.c3d").write_bytes((root / "jack/kick.c3d").read_bytes()[:40000])
    return root


def test_fit(folder, body, kick):
    """Subject-prefixed labels, millimetres, gaps, noise, swapped labels, unlabelled points, 120 Hz."""
    source = MOTION_SOURCES.build(dict(type="C3DMotion", root=folder, names="kick", calibration_clips=1))
    (clip,) = source.clips()
    assert (clip.name, clip.subject) == ("kick", "jack")
    motion = source.read(clip)
    assert motion.fps == 120 and len(motion) == len(kick) and motion.body_model == body.body_model_id
    bodies, turns = [], []
    for one in (motion, kick):
        rotmat = axis_angle_to_matrix(torch.tensor(one.poses)).float()
        betas, transl = torch.tensor(one.betas).float(), torch.tensor(one.transl).float()
        bodies.append(body(betas.expand(len(rotmat), -1), rotmat, transl))
        turns.append(rotmat)
    heights = [np.ptp(body.rest_vertices(torch.tensor(m.betas).float()[None])[0, :, 1].numpy()) for m in (motion, kick)]
    assert (bodies[0].joints - bodies[1].joints)[:, :24].norm(dim=-1).mean() < 0.015
    assert (bodies[0].vertices - bodies[1].vertices).norm(dim=-1).mean() < 0.015
    assert torch.rad2deg(geodesic_angle(*turns)).mean() < 6
    assert abs(heights[0] - heights[1]) < 0.02

    # Another body instead: same poses except the toes, on the floor.
    other = source.load_for_body(clip, body, np.zeros(10))
    assert np.allclose(np.delete(other.poses, [10, 11], 1), np.delete(motion.poses, [10, 11], 1), atol=1e-4)
    assert not other.betas.any() and other.body_model == body.body_model_id


def test_units_axes_and_gaps(folder, capture):
    whole, short = read_markers(folder / "jack/kick.c3d"), read_markers(folder / "jack/short.c3d")
    assert whole.subject == "Jack" and whole.fps == 120 and set(whole.names) == set(capture.names)
    for read, frames in ((whole, len(capture.points)), (short, 30)):
        points = read.points[:, [read.names.index(name) for name in capture.names]]
        assert np.isnan(points).any() and np.allclose(points, capture.points[:frames], atol=1e-4, equal_nan=True)


def test_a_given_rate_goes_before_the_files(tmp_path, capture):
    """Also where the file's cannot be, which was a dead end: the error named an option that was not there."""
    write_c3d(tmp_path / "a.c3d", capture.names, capture.points[:9], fps=2e4)
    source = C3DMotion(tmp_path, fps=100)
    assert source.read_markers(next(source.clips())).fps == 100 and source.duration(next(source.clips())) == 0.09
    with pytest.raises(FileFormatError, match=r"20000 frames a second.*set source\.fps"):
        read_markers(tmp_path / "a.c3d")


def test_mirror_images_and_false_units(tmp_path, kick, body, capture, caplog):
    """A left-handed engine's axes, swapped sides, a wrongly stated unit; a lying person is not taken for mirrored."""
    names = tuple(SMPL_JOINTS)
    joints, _ = forward_kinematics(
        kick.poses[:9], kick.transl[:9], body.rest_joints(torch.tensor(BETAS)[None].float())[0].numpy()
    )
    other = [name.translate(str.maketrans("LR", "RL")) if name[0] in "LR" else name for name in capture.names]
    for labels, points in ((names, joints * [1, -1, 1]), (capture.names, capture.points[:9] * [-1, 1, 1]),
                           (other, capture.points[:9])):  # fmt: skip
        write_c3d(tmp_path / "a.c3d", labels, points)
        with pytest.raises(FileFormatError, match=r"are mirrored.*left-handed engine"):
            read_markers(tmp_path / "a.c3d")
    for turn in (Rotation.from_euler("x", 90, degrees=True), Rotation.from_euler("yz", [90, 40], degrees=True)):
        write_c3d(tmp_path / "a.c3d", names, turn.apply(joints.reshape(-1, 3)).reshape(joints.shape))
        assert len(read_markers(tmp_path / "a.c3d")) == 9
    with caplog.at_level(logging.WARNING):
        write_c3d(tmp_path / "a.c3d", names, joints / 10, unit="m")  # decimetres
        with pytest.raises(FileFormatError, match="not the size of a person"):
            read_markers(tmp_path / "a.c3d")
        write_c3d(tmp_path / "a.c3d", names, joints * 100, unit="m")
        read_markers(tmp_path / "a.c3d")
    assert sum("in its unit (m) is not the size of a person: assuming cm" in text for text in caplog.messages) == 1


def test_clips_are_found_lazily_and_bad_ones_fail_alone(folder, body, caplog):
    source = C3DMotion(folder, calibration_clips=2, settings=dict(calibration_frames=8))
    clips = {clip.name: clip for clip in source.clips()}
    assert list(clips) == ["kick", "short", "torn"]
    with pytest.raises(FileFormatError, match=r"torn\.c3d.*cut"):
        source.load_for_body(clips["torn"], body, np.zeros(10))
    assert source.duration(clips["short"]) == pytest.approx(0.25)
    assert [clip.name for clip in C3DMotion(folder, seconds=(0.5, None)).clips()] == [
        "kick",
        "torn",
    ]  # damaged: unknown
    with pytest.raises(MissingDataError, match="no clip named nothing"):
        list(C3DMotion(folder, names="nothing").clips())
    with caplog.at_level(logging.WARNING):
        assert len(source.load_for_body(clips["short"], body, np.zeros(10))) == 30


def test_subjects_of_files_in_one_folder(tmp_path):
    for name in ("07_01", "07_02", "walk_01"):
        (tmp_path / f"{name}.C3D").touch()
    assert [clip.subject for clip in C3DMotion(tmp_path).clips()] == ["07", "07", "walk_01"]


def test_synonyms_and_other_peoples_markers(tmp_path, capture):
    names = [f"K{k}" for k in range(41)]
    write_c3d(tmp_path / "own.c3d", names, capture.points[:5], prefix="")
    with pytest.raises(FileFormatError, match=r"0 known markers.*K\d.*synonyms"):
        read_markers(tmp_path / "own.c3d")
    synonyms = dict(zip(names, capture.names))
    seen = np.isfinite(capture.points[:5, :, 0]).any(axis=0).sum()
    assert len(read_markers(tmp_path / "own.c3d", synonyms).names) == seen >= 38
    assert C3DMotion(tmp_path, synonyms=synonyms).read_markers(next(C3DMotion(tmp_path).clips())).names
    two = [f"Ann:{name}" for name in capture.names] + [f"Bob:{name}" for name in capture.names[:20]]
    points = np.concatenate([capture.points[:5], capture.points[:5, :20] + 1.0], axis=1)
    write_c3d(tmp_path / "two.c3d", two, points, prefix="")
    assert read_markers(tmp_path / "two.c3d").subject == "Ann"
    bob = read_markers(tmp_path / "two.c3d", subject="Bob")
    assert bob.subject == "Bob" and 18 <= len(bob.names) <= 20
    with pytest.raises(ConfigError, match="unknown markers NOSE"):
        C3DMotion(tmp_path, synonyms={"K1": "NOSE"})
    with pytest.raises(ConfigError, match="settings"):
        C3DMotion(tmp_path, settings={"speed": 1})


def test_unusable_contents(tmp_path, capture, body):
    path = tmp_path / "bad.c3d"
    write_c3d(path, capture.names, capture.points[:5] * 40)
    with pytest.raises(FileFormatError, match="not the size of a person"):
        read_markers(path)
    write_c3d(path, capture.names[:6], capture.points[:5, :6])
    with pytest.raises(FileFormatError, match="6 known markers, at least 8"):
        read_markers(path)
    write_c3d(path, capture.names, np.full((5, 41, 3), np.nan))
    with pytest.raises(FileFormatError, match="0 known markers"):
        read_markers(path)
    shuffled = np.random.default_rng(0).permutation(41)
    write_c3d(path, capture.names, capture.points[:5, shuffled])
    source = C3DMotion(tmp_path)
    with pytest.raises(FileFormatError, match=r"bad\.c3d: the markers do not fit a body"):
        source.load_for_body(next(source.clips()), body, np.zeros(10))
    for content in (b"", b"\x02\x50", b"garbage" * 500, bytes(2048)):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"bad\.c3d"):
            read_points(path)


def test_mutated_files_never_crash(tmp_path, capture):
    path = tmp_path / "short.c3d"
    write_c3d(path, capture.names, capture.points[:3])
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(400):
        data = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.3 else whole)
        for place in rng.integers(0, min(len(data), 4096), rng.integers(1, 20)):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            read_markers(path)
        except FileFormatError:
            failed += 1
    assert 100 < failed
