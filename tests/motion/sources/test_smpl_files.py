"""SMPL parameters from files: AMASS's three layouts, HumanData, plain arrays, MVIPER's own; ownership of betas."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mviper.errors import ConfigError, FileFormatError
from mviper.motion import AMASSMotion, DeepMimicMotion, SMPLMotion, forward_kinematics
from mviper.motion.rotations import Y_UP_TO_Z_UP
from mviper.motion.sources.smpl_files import fit_to_body, read_amass, stride_scale
from mviper.registry import MOTION_SOURCES
from mviper.structures.joints import SMPL_JOINTS


@pytest.fixture(scope="module")
def walk(target):
    """A fitted walk of 3 s at 60 Hz, with another body's betas."""
    source = DeepMimicMotion(names="walk", min_seconds=3.0, fps=120)
    motion = source.load(next(source.clips()), target)
    return replace(motion[::2], fps=60.0, betas=np.linspace(-1, 1, 16))


def layout(motion, width):
    """``poses`` in the width of SMPL (72), SMPL-H (156) or SMPL-X (165)."""
    poses = np.full((len(motion), width), 0.3)  # fingers, jaw and eyes, which must not be taken for hands
    poses[:, :66] = motion.poses[:, :22].reshape(len(motion), 66)
    if width == 72:
        poses[:, 66:] = motion.poses[:, 22:].reshape(len(motion), 6)
    return poses


def save_amass(path, motion, width=156, rate="mocap_framerate", **changes):
    arrays = dict(
        poses=layout(motion, width), trans=motion.transl, betas=motion.betas, gender="female",
        marker_data=np.zeros((len(motion), 5, 3)), **{rate: motion.fps},
    )  # fmt: skip
    arrays |= changes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def only(source):
    clips = list(source.clips())
    assert len(clips) == 1
    return clips[0]


@pytest.mark.parametrize(
    ("width", "rate"), [(72, "mocap_framerate"), (156, "mocap_framerate"), (165, "mocap_frame_rate")]
)
def test_amass_layouts(tmp_path, walk, target, width, rate):
    save_amass(tmp_path / "CMU/35/35_01_poses.npz", walk, width, rate)
    np.savez(tmp_path / "CMU/35/shape.npz", betas=walk.betas)
    np.savez(tmp_path / "CMU/35/neutral_stagei.npz", betas=walk.betas)
    source = MOTION_SOURCES.build(dict(type="AMASSMotion", root=tmp_path))
    clip = only(source)
    assert (clip.name, clip.subject) == ("35_01", "35") and source.duration(clip) == pytest.approx(len(walk) / 60)
    read = source.read(clip)
    assert (
        read.fps == 60 and np.allclose(read.poses[:, :22], walk.poses[:, :22]) and np.allclose(read.betas, walk.betas)
    )
    assert np.allclose(read.poses[:, 22:], walk.poses[:, 22:] if width == 72 else 0)
    motion, captured = source.fit(clip, target)
    assert captured is None and motion.subject == "35" and not motion.betas.any()
    assert np.allclose(motion.poses[:, :10], walk.poses[:, :10]) and len(motion) == len(walk)
    assert abs(motion.transl[:, 2].mean() - walk.transl[:, 2].mean()) < 0.02  # the same body: it stands as it stood


def test_amass_smplx_in_parts(tmp_path, walk):
    flat = walk.poses.reshape(len(walk), 72)
    save_amass(tmp_path / "a_stageii.npz", walk, poses=None, root_orient=flat[:, :3], pose_body=flat[:, 3:66])
    motion = read_amass(tmp_path / "a_stageii.npz")
    assert np.allclose(motion.poses[:, :22], walk.poses[:, :22]) and only(AMASSMotion(tmp_path)).name == "a"


def test_betas_of_another_body_are_dropped_with_one_warning(tmp_path, walk, body, caplog):
    for k in range(3):
        save_amass(tmp_path / f"{k}_poses.npz", walk[:20])
    source = AMASSMotion(tmp_path)
    betas = np.array([1.0, -1, 0, 0, 0, 0, 0, 0, 0, 0])
    with caplog.at_level(logging.WARNING):
        motions = [source.load_for_body(clip, body, betas) for clip in source.clips()]
    assert all(motion.body_model == body.body_model_id and np.array_equal(motion.betas, betas) for motion in motions)
    assert caplog.text.count("are dropped") == 1 and "a body that the file does not name" in caplog.text


def test_own_motions_come_back_as_they_are(tmp_path, walk, body, caplog):
    betas = np.array([0.5, 0, -1, 0, 0, 0, 0, 0, 0, 0])
    own = replace(walk, betas=betas, body_model=body.body_model_id, name="35_01", subject="35")
    own.save(tmp_path / "train/35_01__00/motion.npz")
    np.savez(tmp_path / "train/35_01__00/garments.npz", shirt_vertices=np.zeros((2, 5, 3)))
    source = MOTION_SOURCES.build(dict(type="SMPLMotion", root=tmp_path))
    clip = only(source)
    assert clip.name == "35_01__00"
    with caplog.at_level(logging.WARNING):
        same = source.load_for_body(clip, body, betas)
        assert np.array_equal(same.poses, own.poses) and np.array_equal(same.transl, own.transl)
        other = source.load_for_body(clip, body, -betas)
    assert not caplog.text  # variants are other shapes of the same body
    assert np.array_equal(other.betas, -betas) and not np.array_equal(other.transl, own.transl)


def test_another_body_takes_strides_of_its_legs(walk, target):
    tall = 1.2 * target.rest_joints
    assert stride_scale(walk, tall) == pytest.approx(1.2 * stride_scale(walk, target.rest_joints), rel=0.05)
    assert stride_scale(walk, target.rest_joints) == pytest.approx(1, abs=0.1)
    moved = fit_to_body(walk, replace(target, rest_joints=tall, soles=1.2 * target.soles, body_model="tall"))
    assert np.ptp(moved.transl[:, :2], axis=0).max() > 1.1 * np.ptp(walk.transl[:, :2], axis=0).max()
    feet = forward_kinematics(moved.poses, moved.transl, tall)[0][:, [10, 11]]
    height = 1.2 * (target.rest_joints[10, 1] - target.soles[0, 0, 1])
    assert abs(np.percentile(feet[..., 2].min(1), 10) - height) < 0.02
    still = replace(walk, transl=walk.transl * 0)
    assert stride_scale(still, tall) == 1


def parameters(motion, turn=None, shift=0.0, pelvis=0.0):
    """MMHuman3D's parameters of a motion in axes rotated from the world's."""
    turn = turn or Rotation.identity()
    root = (turn * Rotation.from_rotvec(motion.poses[:, 0])).as_rotvec()
    transl = turn.apply(motion.transl + pelvis) + shift - pelvis
    return dict(
        global_orient=root,
        body_pose=motion.poses[:, 1:],
        transl=transl,
        betas=np.tile(motion.betas[:10], (len(motion), 1)),
    )


@pytest.mark.parametrize("kind", ["camera", "y_up", "camera_unknown", "plain"])
def test_human_data(tmp_path, walk, target, kind):
    """Camera axes, with and without a stated camera, and a y-up world: people stand on their feet."""
    tilted = Rotation.from_euler(
        "x", -90 - (10 if kind == "camera" else 0), degrees=True
    )  # a camera looking down a bit
    turn = tilted if kind.startswith("camera") else Y_UP_TO_Z_UP.inv()
    smpl = parameters(walk, turn, np.array([0.1, 0.2, 5.0]), target.rest_joints[0])
    arrays = dict(smpl=smpl, keypoints2d_mask=np.ones(190, np.uint8), config="open:" + "0" * 64)
    if kind == "camera":
        arrays["cam_param"] = dict(K=np.eye(3), R=turn.as_matrix(), t=np.array([0.1, 0.2, 5.0]), width=250, height=250)
    if kind == "plain":
        arrays = smpl | dict(fps=60.0, body_pose=smpl["body_pose"].reshape(len(walk), 69))
    np.savez(tmp_path / "east.npz", **arrays)
    source = SMPLMotion(tmp_path, fps=60.0)
    clip = only(source)
    assert source.read(clip).fps == 60 and source.read(clip).body_model == (kind != "plain") * ("open:" + "0" * 64)
    motion = source.load(clip, target)
    first = forward_kinematics(walk.poses, walk.transl, target.rest_joints)[0]
    second = forward_kinematics(motion.poses, motion.transl, target.rest_joints)[0]
    assert np.allclose((first - first[:, :1])[..., 2], (second - second[:, :1])[..., 2], atol=1e-6)
    assert abs(second[..., 2].min() - first[..., 2].min()) < 0.03
    assert second[:, SMPL_JOINTS.index("head"), 2].min() > 1.2
    with pytest.raises(ConfigError, match="up must be one of"):
        SMPLMotion(tmp_path, up="upwards")
    forced = SMPLMotion(tmp_path, up="-y").read(clip)
    if kind in ("y_up", "plain"):  # a stated camera is used
        joints = forward_kinematics(forced.poses, forced.transl, target.rest_joints)[0]
        assert (joints[:, SMPL_JOINTS.index("head"), 2] < joints[:, 0, 2]).all()


def test_given_options_override_the_files(tmp_path, walk, target):
    """fps and up in every layout, with the rate stated correctly, wrongly, or not at all."""
    y_up = Y_UP_TO_Z_UP.inv()
    poses = walk.poses.copy()
    poses[:, 0] = (y_up * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
    turned = replace(walk, poses=poses, transl=y_up.apply(walk.transl))
    flat = poses.reshape(len(walk), 72)
    save_amass(tmp_path / "whole.npz", turned)
    save_amass(tmp_path / "no_rate.npz", turned, mocap_framerate=None)
    save_amass(tmp_path / "wrong_rate.npz", turned, mocap_framerate=5e5)
    save_amass(tmp_path / "parts.npz", turned, poses=None, root_orient=flat[:, :3], pose_body=flat[:, 3:66])
    np.savez(tmp_path / "human_data.npz", smpl=parameters(turned), cam_param=dict(R=np.eye(3), t=np.zeros(3)), fps=60.0)
    np.savez(tmp_path / "plain.npz", **parameters(turned), fps=60.0)
    for kind in (SMPLMotion, AMASSMotion):
        for clip in kind(tmp_path, fps=25, up="y").clips():
            if kind is AMASSMotion and clip.name in ("human_data", "plain"):
                continue
            source = kind(tmp_path, fps=25, up="y")
            read = source.read(clip)
            assert read.fps == 25 and source.duration(clip) == pytest.approx(len(walk) / 25), clip.name
            assert np.allclose(read.transl, walk.transl) and np.allclose(read.poses[:, 1:22], walk.poses[:, 1:22])
            root = Rotation.from_rotvec(read.poses[:, 0]).inv() * Rotation.from_rotvec(walk.poses[:, 0])
            assert root.magnitude().max() < 1e-6, clip.name
    with pytest.raises(FileFormatError, match=r"has 500000 frames a second, expected 1 to 10000"):
        read_amass(tmp_path / "wrong_rate.npz")
    with pytest.raises(FileFormatError, match=r"has no frame rate.*source\.fps"):
        read_amass(tmp_path / "no_rate.npz")


@pytest.mark.parametrize("frames", [1, 2])
def test_a_pose_is_a_short_motion(tmp_path, walk, target, frames):
    save_amass(tmp_path / "a_poses.npz", walk[:frames], 156)
    np.savez(tmp_path / "b.npz", **parameters(walk[:frames]))
    for source in (AMASSMotion(tmp_path, names="a"), SMPLMotion(tmp_path, names="b")):
        motion = source.load(only(source), target)
        assert len(motion) == frames and np.isfinite(motion.transl).all()
        assert np.allclose(motion.poses[:, :10], walk.poses[:frames, :10])


BROKEN = {
    "nan": (dict(trans=np.full((5, 3), np.nan)), r"'trans' holds nan at \[0, 0\]"),
    "inf": (dict(poses=np.full((5, 72), np.inf)), r"'poses' holds inf at \[0, 0\]"),
    "no frames": (dict(poses=np.zeros((0, 72))), "'poses' holds no frames"),
    "width": (dict(poses=np.zeros((5, 70))), r"'poses' has shape \(5, 70\), expected 66 or 72 or 156 or 165"),
    "disagree": (dict(trans=np.zeros((4, 3))), "'trans' has 4 frames, but the poses have 5"),
    "no trans": (dict(trans=None), "has no 'trans'; it has"),
    "text": (dict(trans=np.array(["a"] * 5)), "'trans' does not hold numbers"),
    "rate": (dict(mocap_framerate=0.0), "must be one number > 0"),
    "no rate": (dict(mocap_framerate=None), "has no frame rate: expected one of mocap_framerate"),
    "no poses": (dict(poses=None), "has neither 'poses'"),
    "betas": (dict(betas=np.zeros(0)), "'betas' is empty"),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_broken_files(tmp_path, walk, problem):
    changes, message = BROKEN[problem]
    save_amass(tmp_path / "a_poses.npz", walk[:5], 72, **changes)
    with pytest.raises(FileFormatError, match=message) as error:
        AMASSMotion(tmp_path).read(only(AMASSMotion(tmp_path)))
    assert error.value.path == tmp_path / "a_poses.npz"


@pytest.mark.parametrize("kind", ["amass", "plain"])
def test_degrees_and_other_units(tmp_path, walk, kind):
    """Regression: degrees, centimetres, and a rate in thousandths were read as radians and metres."""

    def read(motion):
        if kind == "amass":
            save_amass(tmp_path / "a.npz", motion)
        else:
            np.savez(tmp_path / "a.npz", **parameters(motion), fps=motion.fps)
        return SMPLMotion(tmp_path, up="z").read(only(SMPLMotion(tmp_path)))

    read(walk)
    read(replace(walk, poses=np.concatenate([walk.poses[:, :1] + [0, 0, 8 * np.pi], walk.poses[:, 1:]], 1)))
    with pytest.raises(FileFormatError, match=r"turns a joint by .* expected radians, are these degrees"):
        read(replace(walk, poses=np.degrees(walk.poses)))
    for changed in (dict(transl=100 * walk.transl), dict(fps=5000.0)):
        with pytest.raises(FileFormatError, match="expected metres, is it another unit, or another rate than"):
            read(replace(walk, **changed))


def test_broken_human_data(tmp_path, walk):
    smpl = parameters(walk[:4])
    path = tmp_path / "a.npz"

    def read(**arrays):
        np.savez(path, **arrays)
        return SMPLMotion(tmp_path).read(only(SMPLMotion(tmp_path)))

    with pytest.raises(FileFormatError, match="'smpl' is not a dictionary"):
        read(smpl=np.zeros(3))
    with pytest.raises(FileFormatError, match="has no 'transl'"):
        read(smpl={key: value for key, value in smpl.items() if key != "transl"})
    with pytest.raises(FileFormatError, match="one rotation R"):
        read(smpl=smpl, cam_param=dict(R=np.zeros((4, 3, 3)), t=np.zeros((4, 3))))
    for matrix in (np.diag([-1.0, 1, 1]), 2 * np.eye(3), np.eye(3) + np.eye(3, k=1)):  # a left-handed camera, ...
        with pytest.raises(FileFormatError, match="R that is not a rotation: it scales, shears or mirrors"):
            read(smpl=smpl, cam_param=dict(R=matrix, t=np.zeros(3)))
    with pytest.raises(FileFormatError, match="'transl' holds complex numbers"):
        read(smpl=smpl | dict(transl=np.full((4, 3), 1 + 2j)))
    with pytest.raises(FileFormatError, match="holds 2 sequences"):
        read(smpl=smpl, image_path=np.array(["a/0.png", "a/1.png", "b/0.png", "b/1.png"]))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FileFormatError, match=r"not a readable \.npz"):
        SMPLMotion(tmp_path).read(only(SMPLMotion(tmp_path)))
    with pytest.raises(ConfigError, match="fps must be > 0"):
        SMPLMotion(tmp_path, fps=0.0)
