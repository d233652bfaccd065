"""Frame rate, length, axis-angle continuity, heading, lead-in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mviper.motion import (
    CMUMotion,
    DeepMimicMotion,
    busiest_start,
    continuous,
    crop,
    forward_kinematics,
    from_t_pose,
    heading,
    lead_in,
    resample,
    rest_pose,
)
from mviper.motion.contact import body_points, foot_points, lowest, posed_points
from mviper.motion.rotations import Y_UP_TO_Z_UP, swings
from mviper.structures import Motion

ANGLE = st.floats(-np.pi, np.pi)


def spinning(fps=10.0, frames=21, rate=2.0):
    """A body whose joints all turn about z at a constant rate [rad/s] while it moves at (1, 2, 0) m/s."""
    time = np.arange(frames) / fps
    angle = np.repeat((rate * time)[:, None, None], 24, 1) * [0, 0, 1.0]
    poses = Rotation.from_rotvec(angle.reshape(-1, 3)).as_rotvec().reshape(-1, 24, 3)
    return Motion(poses, time[:, None] * [1.0, 2.0, 0.0], np.zeros(10), fps)


def test_busiest_start_finds_the_part_that_moves():
    still, moving = np.zeros((21, 24, 3)), spinning().poses
    poses = np.concatenate([still, moving, still])
    motion = Motion(poses, np.zeros((63, 3)), np.zeros(10), 10.0)
    rest_joints = np.random.default_rng(0).normal(size=(24, 3))
    assert busiest_start(motion, 22, rest_joints) in (20, 21)
    assert busiest_start(motion, 63, rest_joints) == busiest_start(motion, 100, rest_joints) == 0


@pytest.mark.parametrize("fps", [10.0, 4.0, 30.0, 7.0])
def test_resample(fps):
    motion = resample(spinning(), fps)
    time = np.arange(len(motion)) / fps
    assert time[-1] <= 2.0 + 1e-9 < time[-1] + 1 / fps + 1e-6
    expected = Rotation.from_rotvec((2.0 * time)[:, None] * [0, 0, 1.0])
    for joint in (0, 7, 23):
        assert (expected.inv() * Rotation.from_rotvec(motion.poses[:, joint])).magnitude().max() < 1e-7
    assert np.allclose(motion.transl, time[:, None] * [1, 2, 0])
    assert motion.fps == fps


def test_crop():
    motion = spinning()
    assert len(crop(motion, 5)) == 5 and len(crop(motion, 500)) == len(motion)
    assert np.array_equal(crop(motion, 3, start=4).transl, motion.transl[4:7])


def test_continuous_axis_angle_never_jumps():
    motion = spinning(frames=100)
    wrapped = motion.poses
    assert np.linalg.norm(np.diff(wrapped, axis=0), axis=-1).max() > 1
    unwrapped = continuous(wrapped)
    assert np.allclose(unwrapped[:, 3, 2], 0.2 * np.arange(100))
    back = Rotation.from_rotvec(unwrapped.reshape(-1, 3)) * Rotation.from_rotvec(wrapped.reshape(-1, 3)).inv()
    assert back.magnitude().max() < 1e-7


@settings(deadline=None)
@given(ANGLE, st.floats(-1.4, 1.4), st.floats(-np.pi, np.pi))
def test_heading(turn, lean, about):
    """A body that leans about any horizontal axis keeps its heading."""
    upright = Rotation.from_euler("z", turn) * Y_UP_TO_Z_UP
    leaning = Rotation.from_rotvec(lean * np.array([np.cos(about), np.sin(about), 0]))
    measured = heading((leaning * upright).as_rotvec())
    assert abs(np.angle(np.exp(1j * (measured - turn)))) < 1e-6


def test_heading_zero_is_south_and_quarter_is_east():
    assert np.allclose(heading(np.stack([Y_UP_TO_Z_UP.as_rotvec()] * 2)), 0)
    front = (Rotation.from_euler("z", np.pi / 2) * Y_UP_TO_Z_UP).apply([0, 0, 1])
    assert np.allclose(front, [1, 0, 0])


def test_swings_are_smallest():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 3))
    turns = swings(a, b)
    moved = turns.apply(a)
    assert np.allclose(np.cross(moved, b), 0, atol=1e-9) and ((moved * b).sum(1) > 0).all()
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert np.allclose(turns.magnitude(), np.arccos(cosine))


@pytest.fixture(
    scope="module",
    params=[
        *(pytest.param(name, marks=pytest.mark.shared_data) for name in ("07_01", "01_01")),
        "run", "cartwheel", "backflip", "crawl",
    ],
    ids=lambda name: f"clip_{name}",
)  # fmt: skip
def motion(request, target):
    if request.param[0].isdigit():
        source = CMUMotion(request.getfixturevalue("shared_data") / "mocap/asf_amc", names=request.param)
    else:
        source = DeepMimicMotion(names=request.param)
    return crop(resample(source.load(next(source.clips()), target), 30), 40)


@pytest.mark.parametrize("pose", ["t", "a"])
def test_lead_in(motion, target, pose):
    still, moving = 5, 25
    led = lead_in(motion, target.rest_joints, moving, still, pose, target.soles)
    first = still + moving
    assert len(led) == first + len(motion)
    # The captured frames are untouched.
    assert np.array_equal(led.poses[first:], motion.poses) and np.array_equal(led.transl[first:], motion.transl)
    # It starts in the rest pose, upright, facing as the first frame does, soles on the floor, and stands still.
    expected = rest_pose(pose)
    assert np.allclose(led.poses[:still, 1:], expected[1:])
    upright = Rotation.from_euler("z", heading(motion.poses[0, 0])) * Y_UP_TO_Z_UP
    assert (upright.inv() * Rotation.from_rotvec(led.poses[0, 0])).magnitude() < 1e-9
    assert np.ptp(led.transl[:still], axis=0).max() == 0
    feet = posed_points(led.poses, led.transl, target.rest_joints, foot_points(target.rest_joints, target.soles))
    assert np.allclose(feet[:still, :, 2], 0, atol=2e-3)
    # No foot, hand or knee below the floor until the clip begins.
    everything = posed_points(led.poses, led.transl, target.rest_joints, body_points(target.rest_joints, target.soles))
    assert lowest(everything[:first]).min() > -1e-9
    # Smooth: it starts slowly, and no joint moves abruptly.
    joints, _ = forward_kinematics(led.poses, led.transl, target.rest_joints)
    step = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(axis=1) * led.fps
    assert step[:still].max() < 0.1 and step[: first - 1].max() < 6
    change = np.abs(np.diff(step[: first - 1])).max()
    assert change < 1.0  # [m/s per frame]


def test_before_an_a_pose_stands_a_t_pose(motion, target):
    led = lead_in(motion, target.rest_joints, 10, 4, "a", target.soles)
    whole = from_t_pose(led, 3)
    first = len(whole) - len(led)
    assert first == 3 + int(np.ceil(0.5 * motion.fps))
    np.testing.assert_array_equal(whole.poses[first:], led.poses)
    np.testing.assert_array_equal(whole.transl[first:], led.transl)
    assert not whole.poses[:3, 1:].any() and (whole.poses[:first, 0] == led.poses[0, 0]).all()
    steps = np.abs(np.diff(whole.poses[: first + 2], axis=0)).max((1, 2))
    assert 0 < steps.max() < 2.5 * np.pi / 4 / (first - 3) and steps[0] == 0
    joints = forward_kinematics(whole.poses, whole.transl, target.rest_joints)[0]
    wrists = joints[: first + 1, [20, 21], 2]
    assert (np.diff(wrists, axis=0) <= 1e-9).all() and (wrists[0] - wrists[-1] > 0.3).all()


def test_lead_in_arrives_with_the_clips_speed(target):
    """A body that walks at 1 m/s, with one arm rotating at 1 rad/s, is reached at that speed."""
    frames = np.arange(30)
    poses = np.zeros((30, 24, 3))
    poses[:, 0] = Y_UP_TO_Z_UP.as_rotvec()
    poses[:, 16, 2] = -1.0 + frames / 30
    height = -target.soles[0, 0, 1]
    motion = Motion(poses, frames[:, None] / 30 * [0, -1.0, 0] + [0, 0, height], np.zeros(10), 30.0)
    led = lead_in(motion, target.rest_joints, 30, 0, soles=target.soles)
    speed = np.diff(led.transl, axis=0)[:, 1] * 30
    assert abs(speed[28] + 1) < 0.05 and abs(speed[29] + 1) < 0.05 and abs(speed[0]) < 0.05
    turning = np.diff(led.poses[:, 16, 2]) * 30
    assert abs(turning[29] - 1) < 0.05


def test_rest_pose_names():
    with pytest.raises(ValueError, match="'t' or 'a'"):
        rest_pose("x")


@pytest.mark.slow
def test_lead_in_of_every_shared_clip(shared_data, target):
    """From either pose, to the start and the middle of every clip: smooth, on position, never below the floor."""
    sources = (CMUMotion(shared_data / "mocap/asf_amc"), DeepMimicMotion(shared_data / "mocap/deepmimic"))
    still, moving = 5, 30
    first = still + moving
    for source in sources:
        for clip in source.clips():
            whole = resample(source.load(clip, target), 30)
            hardest = _accelerations(whole, target).max()
            for pose, start in (("t", 0), ("a", len(whole) // 2)):
                motion = crop(whole, 3, start)
                led = lead_in(motion, target.rest_joints, moving, still, pose, target.soles)
                bottom = body_points(target.rest_joints, target.soles)
                points = posed_points(led.poses, led.transl, target.rest_joints, bottom)
                assert lowest(points[:first]).min() > -1e-9, clip.name
                # On position: above the first captured frame's pelvis when it begins, and moving like the clip there.
                assert np.allclose(led.transl[0, :2], motion.transl[0, :2])
                before, after = np.diff(led.transl, axis=0)[first - 1 : first + 1] * 30
                assert np.linalg.norm((after - before)[:2]) < max(0.3, 0.5 * np.linalg.norm(after)), clip.name
                # Within human accelerations: 60 m/s2 is half that of the hand in a brisk walk; flips and kicks reach
                # 370.
                assert _accelerations(led[: first + 1], target).max() < max(60, hardest), clip.name


def _accelerations(motion, target):
    joints, _ = forward_kinematics(motion.poses, motion.transl, target.rest_joints)
    return np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1) * motion.fps**2
