"""Which way is up: people on the floor, on their hands and on their feet, in every format, with each axis up."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from capture_files import MIXAMO, as_bvh, write_bvh, write_c3d
from scipy.spatial.transform import Rotation

from mviper.motion import (
    AMASSMotion,
    BVHMotion,
    C3DMotion,
    DeepMimicMotion,
    KeyPoseMotion,
    SMPLMotion,
    forward_kinematics,
)
from mviper.motion.rotations import Y_UP_TO_Z_UP
from mviper.motion.sources.c3d import read_markers
from mviper.structures.joints import SMPL_JOINTS

PLANK = dict(shoulders=dict(elevate=90, plane=90), ankles=dict(flex=10))
FLOOR = {
    "plank": [(0, PLANK | dict(pelvis=dict(flex=80))), (2, PLANK | dict(pelvis=dict(flex=83)))],
    "lying": [(0, dict(pelvis=dict(flex=-90))), (2, dict(pelvis=dict(flex=-90), neck=dict(turn=40)))],
    "handstand": [
        (0, dict(pelvis=dict(flex=178), shoulders=dict(elevate=175, plane=90))),
        (2, dict(pelvis=dict(flex=182), shoulders=dict(elevate=175, plane=90), hips=dict(abduct=20))),
    ],
}
CAPTURED = ("crawl", "getup_facedown", "getup_faceup", "roll", "cartwheel", "backflip", "walk")
MOTIONS = (*FLOOR, *CAPTURED)

#: From the world's axes (z up) to those of a file.
TO_FILE = {"y": Y_UP_TO_Z_UP.inv(), "z": Rotation.identity(), "-y": Rotation.from_euler("x", 90, degrees=True)}


@pytest.fixture(scope="module")
def motions(target):
    """Motions by name, in the world; long ones are thinned."""
    sources = [
        KeyPoseMotion(names=list(FLOOR), sequences={k: dict(keys=v, feet="free") for k, v in FLOOR.items()}, fps=30),
        DeepMimicMotion(names=list(CAPTURED), fps=30),
    ]
    return {clip.name: source.load(clip, target) for source in sources for clip in source.clips()}


def heights(motion, target):
    """Heights of SMPL's joints above the first frame's pelvis, (T, 24) [m]."""
    joints, _ = forward_kinematics(motion.poses, motion.transl, target.rest_joints)
    return joints[..., 2] - joints[0, 0, 2]


def turned_about(motion, degrees):
    """The motion with another heading."""
    turn = Rotation.from_euler("z", degrees, degrees=True)
    poses = motion.poses.copy()
    poses[:, 0] = (turn * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
    return replace(motion, poses=poses, transl=turn.apply(motion.transl))


def save(path, motion, up, layout):
    """Saves SMPL parameters in a world with another up axis."""
    turn = TO_FILE[up]
    root = (turn * Rotation.from_rotvec(motion.poses[:, 0])).as_rotvec()
    poses, transl = np.concatenate([root[:, None], motion.poses[:, 1:]], axis=1), turn.apply(motion.transl)
    if layout == "amass":
        arrays = dict(poses=poses.reshape(-1, 72), trans=transl, mocap_framerate=motion.fps)
    else:
        arrays = dict(global_orient=root, body_pose=poses[:, 1:].reshape(-1, 69), transl=transl, fps=motion.fps)
    np.savez(path, **arrays)


@pytest.mark.parametrize("name", MOTIONS)
@pytest.mark.parametrize("up", ["y", "z"])
def test_bvh_as_its_offsets_stand(name, up, motions, target, tmp_path):
    """A skeleton defined upright along the file's up axis: that is up, whatever the motion."""
    motion = motions[name]
    axes = Rotation.identity() if up == "y" else Y_UP_TO_Z_UP
    write_bvh(tmp_path / "a.bvh", as_bvh(motion, target.rest_joints, MIXAMO, 100.0, axes))
    source = BVHMotion(tmp_path)
    captured = source.read(next(source.clips()))
    truth = heights(motion, target)
    for joint in ("pelvis", "head", "left_wrist", "right_ankle"):
        read = captured.positions[:, captured.skeleton.index(MIXAMO[joint]), 1]
        assert np.allclose(read - captured.positions[0, 0, 1], truth[:, SMPL_JOINTS.index(joint)], atol=0.02)


@pytest.mark.parametrize("name", MOTIONS)
def test_c3d_has_z_up(name, motions, target, tmp_path):
    motion = motions[name]
    joints, _ = forward_kinematics(motion.poses, motion.transl, target.rest_joints)
    noise = np.random.default_rng(0).normal(0, 0.001, joints.shape)
    write_c3d(tmp_path / "a.c3d", SMPL_JOINTS, joints + noise, fps=motion.fps)
    markers = read_markers(tmp_path / "a.c3d")
    order = [SMPL_JOINTS.index(joint) for joint in markers.names]
    assert np.allclose(markers.points[..., 2], joints[:, order, 2], atol=0.01)


@pytest.mark.parametrize("name", MOTIONS)
@pytest.mark.parametrize("layout", ["amass", "plain"])
def test_smpl_files_have_z_up(name, layout, motions, target, tmp_path):
    motion = motions[name]
    save(tmp_path / "a.npz", motion, "z", layout)
    source = (AMASSMotion if layout == "amass" else SMPLMotion)(tmp_path)
    read = source.read(next(source.clips()))
    assert np.allclose(heights(read, target), heights(motion, target), atol=1e-6)


@pytest.mark.parametrize("up", ["y", "-y"])
@pytest.mark.parametrize("name", ["walk", "crawl", "cartwheel", "getup_faceup"])
def test_who_gets_about_shows_what_is_up(name, up, motions, target, tmp_path, caplog):
    """Contrary to each format's convention: y or -y in C3D and SMPL files, z with a BVH skeleton defined with y up."""
    motion = motions[name]
    truth = heights(motion, target)
    with caplog.at_level(logging.WARNING, "mviper.motion.sources.upward"):
        for layout in ("amass", "plain"):
            save(tmp_path / "a.npz", motion, up, layout)
            source = SMPLMotion(tmp_path)
            assert np.allclose(heights(source.read(next(source.clips())), target), truth, atol=1e-6)
        joints, _ = forward_kinematics(motion.poses, motion.transl, target.rest_joints)
        turned = TO_FILE[up].apply(joints.reshape(-1, 3)).reshape(joints.shape)
        write_c3d(tmp_path / "a.c3d", SMPL_JOINTS, turned, fps=motion.fps)
        markers = read_markers(tmp_path / "a.c3d")
        order = [SMPL_JOINTS.index(joint) for joint in markers.names]
        assert np.allclose(markers.points[..., 2], joints[:, order, 2], atol=0.01)
        bvh = as_bvh(motion, target.rest_joints, MIXAMO, 1.0, Y_UP_TO_Z_UP, [Y_UP_TO_Z_UP.inv()] * 24)
        write_bvh(tmp_path / "a.bvh", bvh)
        source = BVHMotion(tmp_path)
        read = source.read(next(source.clips())).positions[:, 0, 1]
        assert np.allclose(read - read[0], truth[:, 0], atol=0.02)
    assert not caplog.text


@pytest.mark.parametrize("name", ["plank", "handstand"])
def test_uncertain_directions_give_a_warning(name, motions, target, tmp_path, caplog):
    """With y up in formats that are z-up, and nobody moving around: a warning, and ``up`` fixes it.

    They lie across z; with heads towards z they would look like standing people.
    """
    motion = turned_about(motions[name], 90)
    truth = heights(motion, target)
    for layout in ("amass", "plain"):
        save(tmp_path / "a.npz", motion, "y", layout)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            source = SMPLMotion(tmp_path)
            source.read(next(source.clips()))
        assert "a.npz: which way is up is unclear" in caplog.text and "up='y'" in caplog.text
        caplog.clear()
        for kind in (SMPLMotion, AMASSMotion) if layout == "amass" else (SMPLMotion,):
            source = kind(tmp_path, up="y")
            assert np.allclose(heights(source.read(next(source.clips())), target), truth, atol=1e-6)
        assert not caplog.text
    joints, _ = forward_kinematics(motion.poses, motion.transl, target.rest_joints)
    write_c3d(tmp_path / "a.c3d", SMPL_JOINTS, TO_FILE["y"].apply(joints.reshape(-1, 3)).reshape(joints.shape))
    clip = next(C3DMotion(tmp_path).clips())
    assert C3DMotion(tmp_path, up="y").read_markers(clip).points[..., 2].min() > -0.05


@pytest.mark.parametrize("name", MOTIONS)
def test_no_words_where_all_is_plain(name, motions, target, tmp_path, caplog):
    """With the floor at 0 and the format's convention, the floor resolves the ambiguity if nobody moves around."""
    save(tmp_path / "a.npz", motions[name], "z", "amass")
    source = AMASSMotion(tmp_path)
    with caplog.at_level(logging.WARNING):
        source.read(next(source.clips()))
    assert not caplog.text
