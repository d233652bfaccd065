"""Quality measures on hand-made cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mviper.motion import CMUMotion, DeepMimicMotion, TargetBody, resample
from mviper.motion.quality import (
    MotionQuality,
    align_similarity,
    angle_between,
    facing_errors,
    fit_error,
    frame_jumps,
    hinge_errors,
    joint_position_errors,
    limb_direction_errors,
    measure_motion,
    motion_difference,
)
from mviper.structures.joints import SMPL_JOINTS
from mviper.synthesis import CONFIG_KEYS


def test_angle_between():
    assert np.allclose(angle_between(np.array([[1, 0, 0], [1, 0, 0.0]]), np.array([[0, 3, 0], [1, 1, 0.0]])), [90, 45])
    assert angle_between(np.array([1.0, 0, 0]), np.array([1.0, 1e-9, 0])) == pytest.approx(np.degrees(1e-9))


def test_align_similarity_undoes_one():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(20, 3))
    moved = 2.5 * target @ Rotation.from_rotvec([0.4, 2.0, -1.0]).as_matrix().T + [1, 2, 3]
    assert np.allclose(align_similarity(moved, target), target)
    mirrored = target * [-1, 1, 1]
    assert np.linalg.norm(align_similarity(mirrored, target) - target, axis=1).mean() > 0.1


@pytest.fixture(scope="module")
def walk(target):
    source = DeepMimicMotion(names="walk")
    clip = next(source.clips())
    return source.read(clip), source.load(clip, target)


def turned(motion, joint, degrees, axis):
    poses = motion.poses.copy()
    index = SMPL_JOINTS.index(joint)
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array(axis))
    poses[:, index] = (Rotation.from_rotvec(poses[:, index]) * turn).as_rotvec()
    return replace(motion, poses=poses)


def test_a_spoilt_limb_is_found(walk, target):
    captured, motion = walk
    along = target.rest_joints[SMPL_JOINTS.index("left_knee")] - target.rest_joints[SMPL_JOINTS.index("left_hip")]
    across = np.cross(along, [0, 0, 1.0])
    bad = turned(motion, "left_hip", 10, across / np.linalg.norm(across))
    before, errors = (limb_direction_errors(captured, which, target.rest_joints) for which in (motion, bad))
    assert (np.abs(errors["left_thigh"] - 10) <= before["left_thigh"] + 1e-6).all()
    assert np.allclose(errors["right_thigh"], before["right_thigh"]) and before["right_thigh"].max() < 2
    assert joint_position_errors(captured, bad, target.rest_joints)["left_ankle"].mean() > 0.05
    facing = facing_errors(captured, turned(motion, "head", 20, [0, 1.0, 0]), target.rest_joints)
    assert np.allclose(facing["head"], 20, atol=1e-6) and facing["chest"].max() < 1e-6


def test_a_twisted_upper_arm_is_found_though_directions_are_right(walk, target):
    captured, motion = walk
    bad = turned(turned(motion, "left_shoulder", 40, [1.0, 0, 0]), "left_elbow", 0, [1.0, 0, 0])
    index = SMPL_JOINTS.index("left_elbow")
    poses = bad.poses.copy()  # the elbow undoes the twist, so the forearm stays in place
    poses[:, index] = (
        Rotation.from_rotvec([np.radians(-40), 0, 0]) * Rotation.from_rotvec(motion.poses[:, index])
    ).as_rotvec()
    bad = replace(bad, poses=poses)
    assert limb_direction_errors(captured, bad, target.rest_joints)["left_forearm"].max() < 1
    assert hinge_errors(captured, motion, target.rest_joints)["left_elbow"].max() < 1
    assert hinge_errors(captured, bad, target.rest_joints)["left_elbow"].min() > 30


def test_jumps_and_penetration(walk, target):
    _, motion = walk
    poses = motion.poses.copy()
    poses[10:, 16] = (Rotation.from_rotvec(poses[10:, 16]) * Rotation.from_rotvec([0, 1.0, 0])).as_rotvec()
    jumps = frame_jumps(replace(motion, poses=poses))
    assert jumps.argmax() == 9 and jumps.max() > 45 > frame_jumps(motion).max()
    sunk = [replace(motion, transl=motion.transl - [0, 0, depth]) for depth in (0.1, 0.2)]
    depths = [measure_motion(each, target).penetration for each in sunk]
    assert depths[0] == pytest.approx(0.1, abs=0.02) and depths[1] - depths[0] == pytest.approx(0.1)


@pytest.fixture(scope="module")
def measures(body):
    return TargetBody.from_body(body, np.zeros(10))


LIMITS = MotionQuality(**CONFIG_KEYS["motion_quality"])


@pytest.mark.slow
def test_plainly_good_clips_pass(shared_data, measures):
    """All shared clips that a person can have performed; 131_04 has a hand inside a hip."""
    asf_amc = CMUMotion(shared_data / "mocap/asf_amc")
    for source in (asf_amc, DeepMimicMotion(shared_data / "mocap/deepmimic")):
        for clip in source.clips():
            motion, captured = source.fit(clip, measures)
            error = fit_error(captured, motion, measures.rest_joints)
            problems = measure_motion(resample(motion, 30), measures, error).problems(LIMITS)
            assert [problem.split()[:2] for problem in problems] == [["body", "parts"]] * (clip.name == "131_04")


def with_joint(motion, joint, rotvec, frames=slice(None)):
    poses = motion.poses.copy()
    poses[frames, SMPL_JOINTS.index(joint)] = rotvec
    return replace(motion, poses=poses)


@pytest.mark.parametrize(
    ("figure", "spoil"),
    [
        # The walk's speed is 1.2 m/s: at twice the distance, or on the spot, its feet slide that fast.
        ("skating", lambda m: replace(m, transl=m.transl * [3, 3, 1])),
        ("penetration", lambda m: replace(m, transl=m.transl - [0, 0, 0.1])),
        ("limit_excess", lambda m: with_joint(m, "left_knee", [-1.0, 0, 0])),
        ("limit_excess", lambda m: with_joint(m, "right_elbow", [0, -1.2, 0])),
        ("limit_excess", lambda m: with_joint(m, "head", [0, 2.5, 0])),
        ("intersection", lambda m: with_joint(with_joint(m, "right_hip", [0, 0, 0.35]), "left_hip", [0, 0, -0.35])),
        ("turn_speed", lambda m: with_joint(m, "left_shoulder", [0, 0, 1.2], slice(20, 21))),
        ("joint_speed", lambda m: replace(m, transl=m.transl + (np.arange(len(m)) > 20)[:, None] * [0.0, 1.0, 0])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_figure_finds_its_fault(walk, measures, figure, spoil):
    good = resample(walk[1], 30)
    assert not measure_motion(good, measures, 0.0).problems(LIMITS)
    quality = measure_motion(spoil(good), measures, 0.0)
    limit = getattr(LIMITS, figure)
    assert getattr(quality, figure) > limit >= getattr(measure_motion(good, measures), figure)
    assert any(f"limit {limit:g}" in problem for problem in quality.problems(LIMITS))
    nothing = MotionQuality(**dict.fromkeys(CONFIG_KEYS["motion_quality"]))
    assert quality.problems(nothing) == []


def test_fit_error_finds_a_wrong_limb(walk, measures):
    captured, motion = walk
    assert fit_error(captured, motion, measures.rest_joints) < 2
    bad = fit_error(captured, turned(motion, "left_hip", 30, [1.0, 0, 0]), measures.rest_joints)
    assert bad > LIMITS.limb_error


def test_difference_of_two_motions_is_what_was_turned(walk, target):
    _, motion = walk
    spoilt = turned(motion, "left_elbow", 23.0, [0.0, 1, 0])
    other = replace(spoilt, transl=motion.transl + np.array([1.0, 2.0, 3.0]))[: len(motion) - 2]
    difference = motion_difference(motion, other, target.rest_joints)
    below = [SMPL_JOINTS.index(f"left_{name}") for name in ("elbow", "wrist", "hand")]
    angles, joints = difference["rotations"], difference["joints"]
    assert angles.shape == joints.shape == (len(motion) - 2, 24)
    np.testing.assert_allclose(angles[:, below], 23.0, atol=1e-5)
    assert np.delete(angles, below, axis=1).max() < 1e-4 and np.delete(joints, below[1:], axis=1).max() < 1e-9
    forearm = np.linalg.norm(target.rest_joints[below[1]] - target.rest_joints[below[0]])
    assert 0.01 < joints[:, below[1]].max() <= 2 * forearm * np.sin(np.radians(11.5)) + 1e-9
