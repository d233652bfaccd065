"""Retargeting real clips: directions, facing, hinges, floor; the result on MVIPER's own mesh."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from places import SHARED_DATA
from scipy.spatial.transform import Rotation

from mviper.motion import BVHMotion, CMUMotion, DeepMimicMotion, forward_kinematics
from mviper.motion.contact import bend_toes, foot_points, lowest, posed_points
from mviper.motion.quality import (
    facing_errors,
    hinge_errors,
    joint_position_errors,
    limb_direction_errors,
)
from mviper.motion.rotations import Y_UP_TO_Z_UP
from mviper.structures.joints import SMPL_JOINTS

SOURCES = {"asf_amc": CMUMotion, "bvh": BVHMotion}


def clips():
    """Some of DeepMimic's clips, and all shared ones if the shared data exist."""
    names = ("backflip", "cartwheel", "crawl", "dance_a", "jump", "run", "spinkick", "walk")
    yield from (("deepmimic", name) for name in names)
    for kind, source in SOURCES.items():
        if (folder := SHARED_DATA / "mocap" / kind).is_dir():
            for clip in source(folder).clips():
                yield pytest.param(kind, clip.name, marks=pytest.mark.shared_data)


@pytest.mark.parametrize(("kind", "name"), list(clips()))
def test_fit(kind, name, request, target):
    """The project's targets for the deviation of a fitted body from the captured one."""
    if kind == "deepmimic":
        source = DeepMimicMotion(names=name)
    else:
        source = SOURCES[kind](request.getfixturevalue("shared_data") / "mocap" / kind, names=name)
    motion, captured = source.fit(next(source.clips()), target)
    limbs = limb_direction_errors(captured, motion, target.rest_joints)
    assert {"left_thigh", "right_shin", "left_upper_arm", "right_forearm", "trunk"} <= limbs.keys()
    for limb, error in limbs.items():
        assert error.mean() < 3 and np.percentile(error, 95) < 8, limb
    facing = facing_errors(captured, motion, target.rest_joints)
    assert facing.keys() == {"pelvis", "chest", "head"}
    for part, error in facing.items():
        assert error.mean() < 5, part
    for joint, error in hinge_errors(captured, motion, target.rest_joints).items():
        assert len(error) == 0 or error.mean() < 15, joint
    positions = np.concatenate(list(joint_position_errors(captured, motion, target.rest_joints).values()))
    assert positions.mean() < 0.040
    soles = posed_points(motion.poses, motion.transl, target.rest_joints, foot_points(target.rest_joints, target.soles))
    assert np.percentile(-lowest(soles), 90) < 0.04


@pytest.mark.parametrize("name", ["cartwheel", "backflip"])
def test_upside_down_stays_whole(name, target):
    source = DeepMimicMotion(names=name)
    motion = source.load(next(source.clips()), target)
    joints, _ = forward_kinematics(motion.poses, motion.transl, target.rest_joints)
    head = joints[:, SMPL_JOINTS.index("head"), 2] - joints[:, 0, 2]
    assert head.min() < -0.3 < 0.3 < head[0] and head[-1] > 0.3
    assert joints[..., 2].min() > -0.05


def test_toes_bend_where_the_heel_is_lifted(target):
    """A foot pitched by 40 degrees whose ball stays above the floor: the tip of its toes touches it."""
    poses = np.zeros((1, 24, 3))
    poses[:, 0] = Y_UP_TO_Z_UP.as_rotvec()
    poses[:, SMPL_JOINTS.index("left_ankle"), 0] = np.radians(40)
    joints, _ = forward_kinematics(poses, np.zeros((1, 3)), target.rest_joints)
    transl = np.array([[0, 0, 0.03 - joints[0, SMPL_JOINTS.index("left_foot"), 2]]])
    points = foot_points(target.rest_joints, target.soles)[1:2]
    assert lowest(posed_points(poses, transl, target.rest_joints, points))[0] < -0.02
    bent = bend_toes(poses, transl, target.rest_joints, target.soles)
    assert abs(lowest(posed_points(bent, transl, target.rest_joints, points))[0]) < 1e-9
    changed = np.abs(bent - poses).max(axis=(0, 2)) > 0
    assert changed[SMPL_JOINTS.index("left_foot")] and bent[0, SMPL_JOINTS.index("left_foot"), 0] < 0
    flat = poses * (np.arange(24) == 0)[:, None]
    transl[:, 2] += 1.0
    assert np.array_equal(bend_toes(flat, transl, target.rest_joints, target.soles), flat)


def test_mesh_stands_on_the_floor(body, shared_data):
    source = CMUMotion(shared_data / "mocap/asf_amc", names="07_01")
    betas = np.array([1.0, -1.0, 0.5, 0, 0, 0, 0, 0, 0, 0])
    motion = source.load_for_body(next(source.clips()), body, betas)
    assert motion.body_model == body.body_model_id and motion.subject == "07"
    frames = np.arange(0, len(motion), 20)
    rotmat = Rotation.from_rotvec(motion.poses[frames].reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    with torch.no_grad():
        vertices = body(
            torch.tensor(betas, dtype=torch.float32).expand(len(frames), -1),
            torch.tensor(rotmat, dtype=torch.float32),
            torch.tensor(motion.transl[frames], dtype=torch.float32),
        ).vertices.numpy()
    lowest = vertices[..., 2].min(axis=1)
    assert (lowest > -0.04).all() and (lowest < 0.04).all()
    assert abs(np.median(lowest)) < 0.015


def test_a_floor_that_tilts_is_levelled(shared_data, target):
    """CMU's subject 07 climbs 2 % while walking on a flat floor."""
    source = CMUMotion(shared_data / "mocap/asf_amc", names="07_12")
    found = next(source.clips())
    captured = source.read(found)
    hips = captured.point("left_hip")[:, 1]
    assert hips[-40:].mean() - hips[:40].mean() > 0.05
    motion = source.load(found, target)
    assert abs(motion.transl[-40:, 2].mean() - motion.transl[:40, 2].mean()) < 0.02
