"""Arms are rotated out of trunk and legs, and nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.body import SMPL
from mviper.motion import KeyPoseMotion, busiest_start, lead_in
from mviper.motion.arm_room import make_arm_room
from mviper.motion.capsules import self_intersection
from mviper.motion.quality import frame_jumps
from mviper.motion.target import TargetBody


@pytest.fixture(scope="module")
def hanging(body: SMPL):
    """Arms that swing through the hips of a stout body: the lead-in to rising arms."""
    betas = np.zeros(10)
    betas[2] = 2.0
    measures = TargetBody.from_body(body, betas)
    source = KeyPoseMotion()
    clip = next(clip for clip in source.clips() if clip.name == "arms_overhead")
    motion, _ = source.fit(clip, measures)
    start = busiest_start(motion, 20, measures.rest_joints)
    return lead_in(motion[start : start + 20], measures.rest_joints, frames=30, still=5), measures


def test_arms_come_free_and_the_rest_stays(hanging):
    motion, measures = hanging
    before = self_intersection(motion, measures.rest_joints, measures.capsules).max()
    freed = make_arm_room(motion, measures, room=0.03)
    after = self_intersection(freed, measures.rest_joints, measures.capsules).max()
    assert before > 0.1 and after < 0.02
    moved = np.abs(freed.poses - motion.poses).max(axis=(0, 2)) > 1e-12
    assert set(np.flatnonzero(moved)) <= {16, 17} and moved.any()
    np.testing.assert_array_equal(freed.transl, motion.transl)
    assert frame_jumps(freed).max() < frame_jumps(motion).max() + 3


def test_free_arms_are_left_alone(hanging):
    motion, measures = hanging
    raised = motion.poses.copy()
    raised[:, 16:18] = 0  # that of the T-pose
    raised = type(motion)(raised, motion.transl, motion.betas, motion.fps, motion.body_model, motion.name)
    assert make_arm_room(raised, measures, room=0.03) is raised
