"""Capsules: distances compared with brute force, radii with the body's girths, intersections with posed cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mviper.body.capsules import segment_distances
from mviper.body.surface import BodyShape
from mviper.motion import TargetBody
from mviper.motion.capsules import self_intersection
from mviper.motion.rotations import Y_UP_TO_Z_UP
from mviper.structures import Motion
from mviper.structures.joints import SMPL_JOINTS


def test_segment_distances_equal_brute_force():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 100, 2, 3))
    second[0] = first[0] + [0, 0, 1.0]  # parallel
    second[1, :] = second[1, :1]  # a point
    first[2, :] = first[2, :1]
    share = np.linspace(0, 1, 401)[:, None]
    for distance, a, b in zip(segment_distances(first, second), first, second):
        on_a, on_b = (ends[0] + share * (ends[1] - ends[0]) for ends in (a, b))
        brute = np.linalg.norm(on_a[:, None] - on_b[None], axis=-1).min()
        assert distance <= brute + 1e-9 and brute - distance < 0.01


@pytest.fixture(scope="module", params=[0.0, 2.0], ids=["mean", "stout"])
def measured(request, body):
    betas = np.zeros(10)
    betas[1] = request.param
    return TargetBody.from_body(body, betas), BodyShape.from_body(body, betas)


def test_radii_are_the_bodys(measured):
    measures, shape = measured
    capsules = measures.capsules
    radius = dict(zip(capsules.names, capsules.radii))
    tailor = shape.measurements()
    upper_arm, thigh = tailor["upper_arm"] / (2 * np.pi), tailor["thigh"] / (2 * np.pi)
    assert 0.7 * upper_arm < radius["left_upper_arm"] < 1.1 * upper_arm
    assert 0.6 * thigh < radius["left_thigh"] < 1.1 * thigh
    for side in ("left", "right"):
        assert radius[f"{side}_forearm"] < radius[f"{side}_upper_arm"] < radius[f"{side}_thigh"]
    assert radius["left_shin"] == pytest.approx(radius["right_shin"], rel=0.05)


def posed(measures, **turns):
    poses = np.zeros((1, 24, 3))
    poses[0, 0] = Y_UP_TO_Z_UP.as_rotvec()
    for joint, turn in turns.items():
        poses[0, SMPL_JOINTS.index(joint)] = turn
    return self_intersection(
        Motion(poses, np.zeros((1, 3)), np.zeros(10), 30.0), measures.rest_joints, measures.capsules
    )


def test_standing_bodies_do_not_touch_themselves(measured):
    measures, _ = measured
    assert posed(measures).max() == 0
    hanging = posed(measures, left_shoulder=[0, 0, -1.2], right_shoulder=[0, 0, 1.2])
    assert hanging.max() < 0.6  # arms next to the trunk


def test_limbs_through_each_other_are_found(measured):
    measures, _ = measured

    def worst(**turns):
        share = posed(measures, **turns)[0]
        a, b = measures.capsules.pairs[share.argmax()]
        return share.max(), {measures.capsules.names[a], measures.capsules.names[b]}

    share, pair = worst(left_hip=[0, 0, -0.35], right_hip=[0, 0, 0.35])  # legs crossed at the same depth
    assert share > 0.9 and all("shin" in name or "thigh" in name for name in pair)
    share, pair = worst(left_shoulder=[0, 0, -1.3], left_elbow=[0, 0, -1.5])
    assert share > 0.8 and any("forearm" in name or "hand" in name for name in pair)


def test_moving_the_body_changes_nothing(measured):
    measures, _ = measured
    poses = torch.randn(4, 24, 3, generator=torch.Generator().manual_seed(0)).double().numpy() * 0.7
    motion = Motion(poses, np.zeros((4, 3)), np.zeros(10), 30.0)
    expected = self_intersection(motion, measures.rest_joints, measures.capsules)
    poses = poses.copy()
    poses[:, 0] = [0.3, -2.0, 0.5]
    moved = replace(motion, poses=poses, transl=np.ones((4, 3)))
    assert np.allclose(self_intersection(moved, measures.rest_joints, measures.capsules), expected)
