"""DeepMimic's clips: the pybullet wheel's and the shared ones, looping, broken files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mviper.errors import FileFormatError, MissingDataError
from mviper.motion import DeepMimicMotion, forward_kinematics, heading
from mviper.motion.quality import frame_jumps
from mviper.motion.sources.deepmimic import read_deepmimic
from mviper.registry import MOTION_SOURCES


@pytest.fixture(scope="module")
def wheel():
    pytest.importorskip("pybullet_data")
    return MOTION_SOURCES.build({"type": "DeepMimicMotion"})


def test_the_wheel_brings_real_clips(wheel):
    clips = list(wheel.clips())
    assert {"walk", "run", "cartwheel", "backflip"} <= {clip.name for clip in clips}
    for clip in clips:
        motion = wheel.read(clip)
        assert np.isfinite(motion.positions).all() and motion.fps == 60
        bones = np.linalg.norm(motion.point("left_knee") - motion.point("left_hip"), axis=1)
        assert np.allclose(bones, 0.421546, atol=1e-6)


def test_walk_goes_forward_on_human_feet(wheel, target):
    """The walker must face its direction of travel, with the left hip on the left and knees that bend backwards."""
    clip = next(clip for clip in wheel.clips() if clip.name == "walk")
    motion = wheel.load(clip, target)
    travel = motion.transl[-1] - motion.transl[0]
    facing = heading(motion.poses[:, 0])
    front = np.stack([np.sin(facing), -np.cos(facing)], axis=1)
    assert (front @ travel[:2] / np.linalg.norm(travel[:2])).min() > 0.9
    joints, _ = forward_kinematics(motion.poses, motion.transl, target.rest_joints)
    left = np.stack([np.cos(facing), np.sin(facing)], axis=1)
    assert (((joints[:, 1] - joints[:, 2])[:, :2] * left).sum(1) > 0.1).all()
    knee_ahead = joints[:, 4] - 0.5 * (joints[:, 1] + joints[:, 7])
    assert ((knee_ahead[:, :2] * front).sum(1) > -0.01).all()


def test_cycles_travel_on(wheel, target):
    clip = next(clip for clip in wheel.clips() if clip.name == "walk")
    once = wheel.load(clip, target)
    long = DeepMimicMotion(min_seconds=6).load(clip, target)
    assert len(long) >= 6 * long.fps
    assert (len(long) - 1) % (len(once) - 1) == 0
    assert len(DeepMimicMotion(cycles=3).read(clip)) == 3 * (len(once) - 1) + 1
    toes = [
        10,
        11,
    ]  # these bend to the floor, whose height depends on the whole clip, as do the targets of hands and feet
    assert np.allclose(np.delete(long.poses[: len(once)], toes, 1), np.delete(once.poses, toes, 1), atol=1e-3)
    period = len(once) - 1
    steps = np.linalg.norm(np.diff(long.transl[::period, :2], axis=0), axis=1)
    assert np.ptp(steps) < 0.02 * steps[0] and steps[0] > 1
    assert frame_jumps(long).max() < 1.3 * frame_jumps(once).max()
    speed = np.linalg.norm(np.diff(long.transl, axis=0), axis=1) * long.fps
    assert speed.max() < 1.2 * np.linalg.norm(np.diff(once.transl, axis=0), axis=1).max() * once.fps


def test_clips_that_do_not_loop_are_not_repeated(wheel):
    clip = next(clip for clip in wheel.clips() if clip.name == "getup_facedown")
    assert len(DeepMimicMotion(min_seconds=60).read(clip)) == len(wheel.read(clip))


def test_missing_folder(tmp_path):
    with pytest.raises(MissingDataError, match="pip install pybullet"):
        DeepMimicMotion(tmp_path / "nowhere").clips()


@pytest.fixture
def small(wheel, tmp_path):
    content = json.loads((wheel.root / "humanoid3d_run.txt").read_text())
    path = tmp_path / "humanoid3d_run.txt"
    path.write_text(json.dumps(content))
    return path, content


def test_broken_files(small):
    path, content = small
    text = path.read_text()
    source = DeepMimicMotion(path.parent)
    clip = next(source.clips())

    def changed(**changes):
        return json.dumps({**content, **changes})

    frames = content["Frames"]
    nan = [list(frame) for frame in frames]
    nan[3][7] = float("nan")
    zero = [list(frame) for frame in frames]
    zero[4][8:12] = [0, 0, 0, 0]
    still = [list(frame) for frame in frames]
    still[2][0] = 0
    for bad, message in (
        ("", "not DeepMimic's JSON"),
        (text[: len(text) // 2], "not DeepMimic's JSON"),
        ("\x00\x01", "not DeepMimic's JSON"),
        ("[1, 2]", "no list 'Frames'"),
        (changed(Frames=[]), "0 frames"),
        (changed(Frames=[frame[:-1] for frame in frames]), "frame 0: expected 44"),
        (changed(Frames=nan), "frame 3"),
        (changed(Frames=zero), "frame 4: chest's quaternion"),
        (changed(Frames=still), "frame 2: its duration"),
    ):
        path.write_text(bad)
        with pytest.raises(FileFormatError, match=message):
            source.read(clip)


def test_mutated_files_raise_only_our_error(small):
    path, _ = small
    source = DeepMimicMotion(path.parent)
    clip = next(source.clips())
    original = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(200):
        content = bytearray(original)
        for _ in range(rng.integers(1, 3)):
            place = int(rng.integers(len(content)))
            if rng.random() < 0.5:
                content[place] = rng.integers(256)
            else:
                content[place : place + int(rng.integers(40))] = rng.choice([b"", b"9", b"-", b"NaN", b"[", b"1e400,"])
        path.write_bytes(bytes(content))
        try:
            assert np.isfinite(source.read(clip).positions).all()
        except FileFormatError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("seconds", [999_999_999, 1e5, 61.0, 1e-9])
def test_frames_that_last_beyond_reason_are_refused_at_once(small, seconds):
    path, content = small
    content["Frames"][3][0] = seconds
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=r"frame 3: (its duration|holds something)"):
        read_deepmimic(path)


def test_a_byte_order_mark_and_a_closing_ctrl_z(small):
    path, _ = small
    before = read_deepmimic(path)[0]
    for content in (b"\xef\xbb\xbf" + path.read_bytes() + b"\x1a", path.read_text().encode("utf-16")):
        path.write_bytes(content)
        assert np.array_equal(read_deepmimic(path)[0], before)
