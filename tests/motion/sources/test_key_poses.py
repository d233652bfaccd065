"""Key poses: the effect of their terms on a body, planted feet, the built-in sequences on thin and stout bodies."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.errors import ConfigError
from mviper.motion import KeyPoseMotion, forward_kinematics, resample
from mviper.motion.contact import foot_points, lowest, posed_points
from mviper.motion.quality import MotionQuality, measure_motion
from mviper.motion.sources.key_poses import SEQUENCES, body_poses
from mviper.motion.target import TargetBody
from mviper.registry import MOTION_SOURCES
from mviper.structures.joints import SMPL_JOINTS
from mviper.synthesis import CONFIG_KEYS

#: SMPL's axes: x left, y up, z ahead.
LEFT, UP, AHEAD = np.eye(3)


def direction(pose: dict, start: str, end: str, rest_joints: np.ndarray) -> np.ndarray:
    """Direction of a bone, in SMPL's axes, in a pose given as (part, movement): degrees."""
    poses = body_poses({key: np.array([float(value)]) for key, value in pose.items()})
    joints, _ = forward_kinematics(poses, np.zeros((1, 3)), rest_joints)
    bone = joints[0, SMPL_JOINTS.index(end)] - joints[0, SMPL_JOINTS.index(start)]
    return bone / np.linalg.norm(bone)


@pytest.mark.parametrize(
    ("movement", "bone", "wanted"),
    [
        (("left_hip", "flex", 90), ("left_hip", "left_knee"), AHEAD),
        (("right_hip", "abduct", 90), ("right_hip", "right_knee"), -LEFT),
        (("left_hip", "rotate", 90), ("left_ankle", "left_foot"), LEFT),
        (("right_knee", "flex", 90), ("right_knee", "right_ankle"), -AHEAD),
        (("left_shoulder", "plane", 0), ("left_shoulder", "left_wrist"), -UP),
        (("left_shoulder", "elevate", 90), ("left_shoulder", "left_wrist"), LEFT),
        (("right_shoulder", "elevate", 180), ("right_shoulder", "right_wrist"), UP),
        (("left_elbow", "flex", 90), ("left_elbow", "left_wrist"), AHEAD),
        (("spine", "flex", 90), ("neck", "head"), AHEAD),
        (("spine", "bend", 90), ("neck", "head"), LEFT),
        (("pelvis", "turn", 90), ("left_ankle", "left_foot"), LEFT),
    ],
    ids=lambda value: "_".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_words_mean_what_anatomy_says(movement, bone, wanted, target):
    part, name, degrees = movement
    assert direction({(part, name): degrees}, *bone, target.rest_joints) @ wanted > 0.93  # bones are not quite straight


def test_an_arm_ahead_and_the_other_side_mirrored(target):
    raised = {("left_shoulder", "elevate"): 90, ("left_shoulder", "plane"): 90}
    ahead = direction(raised, "left_shoulder", "left_wrist", target.rest_joints)
    assert ahead @ AHEAD > 0.97
    both = {(f"{side}_{part}", name): np.array([35.0]) for side in ("left", "right")
            for part, name in (("shoulder", "elevate"), ("shoulder", "rotate"), ("elbow", "flex"), ("hip", "rotate"),
                               ("collar", "raise"), ("wrist", "flex"))}  # fmt: skip
    poses = body_poses(both)[0]
    for part in ("shoulder", "elbow", "hip", "collar", "wrist"):
        left, right = (poses[SMPL_JOINTS.index(f"{side}_{part}")] for side in ("left", "right"))
        np.testing.assert_allclose(right, left * [1, -1, -1], atol=1e-12)


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("betas", [(0, 0), (2, 0), (-2, 0), (0, -2)], ids=str)
def test_built_in_sequences_are_good_motions(name, betas, body):
    shape = np.array([*betas, *[0] * 8], float)
    measures = TargetBody.from_body(body, shape)
    source = MOTION_SOURCES.build(dict(type="KeyPoseMotion", names=name))
    (clip,) = source.clips()
    motion = source.load_for_body(clip, body, shape)
    assert abs(len(motion) / motion.fps - source.duration(clip)) < 0.05 and motion.name == name
    quality = measure_motion(resample(motion, 30), measures)
    assert quality.problems(MotionQuality(**CONFIG_KEYS["motion_quality"])) == []
    assert quality.skating < 0.02 and quality.limit_excess == 0 and quality.intersection < 0.4
    soles = foot_points(measures.rest_joints, measures.soles)
    assert -lowest(posed_points(motion.poses, motion.transl, measures.rest_joints, soles)).min() < 0.005
    assert motion.body_model == body.body_model_id and (motion.betas == shape).all()


def test_soles_stay_where_they_are(target):
    source = KeyPoseMotion(names="squat")
    motion = source.load(next(source.clips()), target)
    soles = [(7, target.soles[0], 0.0), (8, target.soles[1], 0.0)]
    points = posed_points(motion.poses, motion.transl, target.rest_joints, soles)
    assert np.abs(points - points[0]).max() < 2e-3
    joints, _ = forward_kinematics(motion.poses, motion.transl, target.rest_joints)
    hips, knees = joints[:, [1, 2], 2].mean(1), joints[:, [4, 5], 2].mean(1)
    assert (hips - knees).min() < 0.08 and (hips - knees)[0] > 0.3  # thighs get level, and rise again
    assert np.abs(motion.poses[0] - motion.poses[-1]).max() < 1e-6


def test_own_sequences_and_poses(target):
    wave = [(0, "stand"), (0.5, ["stand", "up"]), (1.0, ["stand", "up", dict(right_wrist=dict(axis_angle=(0, 30, 0)))])]
    hop = dict(feet="free", keys=[(0, {}), (0.4, dict(knees=dict(flex=60), hips=dict(flex=40))), (0.8, {})])
    source = KeyPoseMotion(
        names=["wave", "hop"], pace=0.5, poses=dict(up=dict(right_shoulder=dict(elevate=150))),
        sequences=dict(wave=wave, hop=hop),
    )  # fmt: skip
    clips = {clip.name: clip for clip in source.clips()}
    assert set(clips) == {"wave", "hop"} and source.duration(clips["wave"]) == 2.0
    motion = source.load(clips["wave"], target)
    joints, _ = forward_kinematics(motion.poses, motion.transl, target.rest_joints)
    right, left = SMPL_JOINTS.index("right_wrist"), SMPL_JOINTS.index("left_wrist")
    assert joints[-1, right, 2] > joints[-1, left, 2] + 0.5
    assert np.degrees(np.linalg.norm(motion.poses[-1, right])) == pytest.approx(30)
    assert len(source.load(clips["hop"], target)) == 97


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ([(0, "stand")], "at least two increasing times"),
        ([(0, "stand"), (0, "squat")], "increasing times that start at 0"),
        ([(0, "stand"), (1, "sqat")], "key 1: no pose 'sqat'; there are stand"),
        ([(0, {}), (1, dict(tail=dict(flex=3)))], "no part 'tail'; there are hips"),
        ([(0, {}), (1, dict(knees=dict(bend=3)))], "knees cannot 'bend'; it can flex, axis_angle"),
        ([(0, {}), (1, dict(knees=dict(flex="much")))], "a number of degrees, got 'much'"),
        ([(0, {}), (1, dict(left_hip=dict(axis_angle=3)))], "three numbers"),
        ([(0, {}), (1, dict(knees=90))], "needs a dict of movements"),
        ([(0, {}), (1, 3)], "expected a pose's name"),
        ("squat", "expected a list of"),
        (dict(keys=[(0, {}), (1, {})], feet="glued"), "feet='glued'"),
        (dict(key=[(0, {}), (1, {})]), "got key"),
    ],
)
def test_unreadable_poses_are_refused(sequence, message):
    with pytest.raises(ConfigError, match=message):
        KeyPoseMotion(sequences=dict(mine=sequence))


def test_bad_pace():
    with pytest.raises(ConfigError, match="pace > 0"):
        KeyPoseMotion(pace=0)
