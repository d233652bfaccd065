"""BVH: compared with CMU's own files and plain matrices; any channel order and skeleton; written, read, broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from capture_files import MIXAMO, as_bvh, write_bvh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mviper.errors import ConfigError, FileFormatError
from mviper.motion import BVHMotion, CMUMotion, DeepMimicMotion, KeyPoseMotion, forward_kinematics
from mviper.motion.quality import angle_between
from mviper.motion.sources.bvh import BVH, CHANNELS, read_bvh
from mviper.motion.sources.humanoid import _drivers, _split_words, _Tree, _words, find_joints, infer_scale
from mviper.registry import MOTION_SOURCES
from mviper.structures.joints import SMPL_JOINTS, SMPL_PARENTS


def only(source):
    clips = list(source.clips())
    assert len(clips) == 1
    return clips[0]


def test_agrees_with_the_asf_amc_of_the_same_clip(shared_data):
    """The same capture in both formats, each with its own reader, joint by joint.

    CMU's BVH omits the lengths of thorax and wrist; joints beyond them are compared without these.
    """
    bvh_source = BVHMotion(shared_data / "mocap/bvh", names="01_01*")
    asf_source = CMUMotion(shared_data / "mocap/asf_amc", names="01_01")
    bvh, asf = bvh_source.read(only(bvh_source)), asf_source.read(only(asf_source))
    assert bvh.fps == pytest.approx(120, rel=1e-4) and bvh.subject == "01_01_fairmotion"
    frames = min(len(bvh), len(asf))  # its T-pose before the capture is removed
    assert len(bvh) == 2751 == frames

    def at(motion, name):
        return motion.positions[:frames, motion.skeleton.index(name)]

    thorax = at(asf, "lowerneck") - at(asf, "thorax")
    shared = [joint for joint in asf.joint_map.points if not joint.endswith(("wrist", "hand"))]
    assert len(shared) == 14
    for joint in shared:
        theirs = asf.point(joint)[:frames]
        above = joint.endswith(("neck", "head", "shoulder", "elbow"))
        error = np.linalg.norm(bvh.point(joint)[:frames] - theirs + (thorax if above else 0), axis=1)
        assert error.max() < 0.010, joint
    for joint in ("left_elbow", "right_elbow", "left_knee", "right_knee"):  # detected here, stated there
        assert angle_between(bvh.joint_map.hinges[joint], asf.joint_map.hinges[joint]) < 1
    for joint in ("left_ankle", "right_wrist"):
        turn = Rotation.from_matrix(bvh.joint_map.starts[joint].T @ asf.joint_map.starts[joint])
        assert np.degrees(turn.magnitude()) < 2


def test_names_of_many_makers():
    made = {
        "mixamorig:LeftUpLeg": ("left", "upleg"), "mixamorig:Spine2": (None, "spine2"), "LeftUpLeg": ("left", "upleg"),
        "Bip01 L Calf": ("left", "calf"), "Bip001_R_UpperArm": ("right", "upperarm"), "lShldr": ("left", "shldr"),
        "rForeArm": ("right", "forearm"), "lfemur": ("left", "femur"), "thigh_l": ("left", "thigh"),
        "CC_Base_R_Foot": ("right", "foot"), "J_Bip_L_LowerLeg": ("left", "lowerleg"), "RightToe": ("right", "toe"),
        "LHipJoint": ("left", "hipjoint"), "shin.R": ("right", "shin"), "left_ankle": ("left", "ankle"),
        "lhand": ("left", "hand"), "Head": (None, "head"), "lowerback": (None, "lowerback"),
    }  # fmt: skip
    assert {name: _split_words(_words(name)) for name in made} == made


def test_collar_and_shoulder_are_told_apart():
    def skeleton(*arm):
        names = ["Hips", "Spine", "Neck", "Head"]
        parents = [-1, 0, 1, 2]
        for side in ("Left", "Right"):
            for start, chain in ((1, arm), (0, ("UpLeg", "Leg", "Foot", "ToeBase"))):
                for k, part in enumerate(chain):
                    parents.append(start if k == 0 else len(names) - 1)
                    names.append(side + part)
        found = find_joints(names, np.array(parents), {})
        return {role: names[joint] for role, joint in found.items()}

    mixamo = skeleton("Shoulder", "Arm", "ForeArm", "Hand")
    assert mixamo["left_collar"] == "LeftShoulder" and mixamo["left_shoulder"] == "LeftArm"
    three = skeleton("Collar", "Shoulder", "Elbow", "Wrist")
    assert three["left_collar"] == "LeftCollar" and three["left_shoulder"] == "LeftShoulder"
    assert three["right_elbow"] == "RightElbow" and three["right_ankle"] == "RightFoot"
    assert (
        mixamo["right_knee"] == "RightLeg" and mixamo["right_foot"] == "RightToeBase" and mixamo["spine_3"] == "Spine"
    )
    with pytest.raises(ValueError, match="left_wrist, right_wrist among Hips, Spine"):
        skeleton("Shoulder", "Arm", "ForeArm")


def test_units():
    for leg, metres in ((0.85, 1), (80, 0.01), (900, 0.001), (33, 0.0254), (2.7, 0.3048), (14.6, 0.0254 / 0.45)):
        assert infer_scale(leg) == pytest.approx(metres)
    assert 21.7 * infer_scale(21.7) == pytest.approx(0.82)  # not a unit in use


# --- a known motion, written in the style of other software ---------------------------------------------------


@pytest.fixture(scope="module")
def walk(target):
    source = DeepMimicMotion(names="walk", min_seconds=3.0, fps=120)
    return source.load(only(source), target)


def hanging_arms():
    turns = [Rotation.identity()] * 24
    for k, name in enumerate(SMPL_JOINTS):
        if name.endswith(("shoulder", "elbow", "wrist", "hand")):
            turns[k] = Rotation.from_euler("z", -80 if name.startswith("left") else 80, degrees=True)
    return turns


@pytest.mark.parametrize(
    ("prefix", "unit", "axes", "bind"),
    [
        ("mixamorig:", 100.0, None, None),
        ("", 1.0, Rotation.from_euler("x", 90, degrees=True), None),  # z up
        ("Character1_", 39.37, Rotation.from_euler("y", 90, degrees=True), hanging_arms()),  # faces along x, an A-pose
        ("", 1000.0, Rotation.from_euler("z", 180, degrees=True), None),
    ],
    ids=["mixamo", "z_up", "a_pose", "y_down"],
)
def test_a_known_motion_comes_back(walk, target, tmp_path, prefix, unit, axes, bind):
    names = {joint: prefix + name for joint, name in MIXAMO.items()}
    bvh = as_bvh(walk, target.rest_joints, names, unit, axes, bind)
    write_bvh(tmp_path / "walk_07.bvh", bvh)
    source = MOTION_SOURCES.build(dict(type="BVHMotion", root=tmp_path))
    clip = only(source)
    assert (clip.name, clip.subject) == ("walk_07", "walk") and source.duration(clip) == pytest.approx(len(walk) / 120)
    captured = source.read(clip)
    assert captured.skeleton.names[0] == names["pelvis"] and len(captured) == len(walk)
    again = source.load(clip, target)
    assert again.fps == pytest.approx(walk.fps)
    first, _ = forward_kinematics(walk.poses, walk.transl, target.rest_joints)
    second, _ = forward_kinematics(again.poses, again.transl, target.rest_joints)
    yaw = Rotation.from_rotvec(walk.poses[0, 0]) * Rotation.from_rotvec(again.poses[0, 0]).inv()
    assert np.degrees(np.abs(yaw.as_rotvec()[:2])).max() < 1  # only the heading may differ
    second = yaw.apply((second - second[:, :1]).reshape(-1, 3)).reshape(second.shape)
    assert np.linalg.norm(second - (first - first[:, :1]), axis=-1).max() < 0.02
    for joint in ("left_shoulder", "right_hip", "left_wrist", "right_ankle", "head", "spine_3"):
        k = SMPL_JOINTS.index(joint)
        twist = Rotation.from_rotvec(walk.poses[:, k]).inv() * Rotation.from_rotvec(again.poses[:, k])
        assert np.degrees(np.median(twist.magnitude())) < 8, joint
    travel = np.linalg.norm(np.ptp(walk.transl[:, :2], axis=0))
    assert np.linalg.norm(np.ptp(again.transl[:, :2], axis=0)) == pytest.approx(travel, rel=0.2)
    height = joint_height(again, target)
    assert abs(height - joint_height(walk, target)) < 0.01


def joint_height(motion, target):
    return forward_kinematics(motion.poses, motion.transl, target.rest_joints)[0][:, 0, 2].mean()


def test_rest_pose_from_a_file_or_a_frame(shared_data, target):
    """The 43-joint skeleton with its own rest file: the same motion however its rest pose is given."""
    folder = shared_data / "mocap/bvh"
    given = [None, "zero", 0, folder / "standard.bvh"]
    sources = [BVHMotion(folder, names="salsa_10", rest=which) for which in given]
    captured = [source.read(only(source)) for source in sources]
    assert len({len(motion) for motion in captured}) == 1 == len({motion.fps for motion in captured})
    assert len(captured[0]) == 1197  # without its leading rest pose
    for motion in captured[1:]:
        for joint in ("pelvis", "left_elbow", "right_knee", "head"):
            turn = motion.rotation(joint)[::50] * captured[0].rotation(joint)[::50].inv()
            assert np.degrees(turn.magnitude()).max() < 3, joint
    with pytest.raises(FileFormatError, match="another skeleton than its rest pose"):
        source = BVHMotion(folder, names="dab", rest=folder / "standard.bvh")
        source.read(only(source))
    with pytest.raises(FileFormatError, match="no frame 2000"):
        source = BVHMotion(folder, names="salsa_10", rest=2000)
        source.read(only(source))


def test_given_options_are_used(walk, target, tmp_path):
    names = {joint: f"bone{k}" for k, joint in enumerate(SMPL_JOINTS)}
    write_bvh(tmp_path / "x.bvh", as_bvh(walk[:20], target.rest_joints, names))
    source = BVHMotion(tmp_path)
    with pytest.raises(FileFormatError, match=r"no joint known as left_hip.*source\.joints"):
        source.read(only(source))
    source = BVHMotion(tmp_path, joints=names, scale=2.0, up="y", skip=5)
    motion = source.read(only(source))
    assert len(motion) == 15 and motion.joint_map.points["left_hip"] == "bone1"
    length = np.linalg.norm(motion.rest_point("left_knee") - motion.rest_point("left_hip"))
    assert length == pytest.approx(2 * np.linalg.norm(target.rest_joints[4] - target.rest_joints[1]))
    source = BVHMotion(tmp_path, joints={**names, "head": "bone99"})
    with pytest.raises(FileFormatError, match="no joint 'bone99' for head"):
        source.read(only(source))
    with pytest.raises(ConfigError, match="up must be one of"):
        BVHMotion(tmp_path, up="north")
    with pytest.raises(ConfigError, match="scale"):
        BVHMotion(tmp_path, scale=-1.0)


# --- the format -------------------------------------------------------------------------------------------------------

ANGLE = st.floats(-179, 179).map(lambda x: round(x, 6))
LENGTH = st.floats(-50, 50).map(lambda x: round(x, 6))


@st.composite
def bvhs(draw):
    joints = draw(st.integers(1, 7))
    parents = [-1] + [draw(st.integers(0, k - 1)) for k in range(1, joints)]
    channels = [tuple(draw(st.permutations(CHANNELS)))]
    for _ in range(1, joints):
        turns = draw(st.permutations(CHANNELS[3:]))[: draw(st.integers(0, 3))]
        moves = draw(st.permutations(CHANNELS[:3]))[: draw(st.sampled_from([0, 0, 0, 3]))]
        channels.append(tuple(draw(st.permutations([*turns, *moves]))))
    frames = draw(st.integers(1, 3))
    flat = [channel for joint in channels for channel in joint]
    rows = [[draw(ANGLE if channel.endswith("n") and "rot" in channel else LENGTH) for channel in flat]
            for _ in range(frames)]  # fmt: skip
    offsets = draw(st.lists(st.tuples(LENGTH, LENGTH, LENGTH), min_size=joints, max_size=joints))
    names = tuple(f"joint {k}" if k % 2 else f"j{k}" for k in range(joints))
    return BVH(names, np.array(parents), np.array(offsets), tuple(channels), np.array(rows), 1 / 120)


def depth_first(parents):
    order, stack = [], [0]
    while stack:
        order.append(stack.pop())
        stack += [k for k in reversed(range(len(parents))) if parents[k] == order[-1]]
    return order


@settings(max_examples=60, deadline=None)
@given(bvhs())
def test_write_and_read_is_stable(tmp_path_factory, bvh):
    path = tmp_path_factory.mktemp("bvh") / "x.bvh"
    write_bvh(path, bvh)
    again = read_bvh(path)
    order = depth_first(bvh.parents)
    assert len(again.names) == len(order) and again.frame_time == bvh.frame_time
    rotations, positions = bvh.pose()
    assert np.allclose(again.pose()[1], positions[:, order], atol=1e-9)
    assert np.allclose(again.pose()[0], rotations[:, order], atol=1e-9)
    assert np.allclose(rotations @ rotations.transpose(0, 1, 3, 2), np.eye(3), atol=1e-9)
    before = path.read_bytes()
    write_bvh(path, again)
    assert path.read_bytes() == before
    for joint, parent in enumerate(bvh.parents):  # rigid, unless it has position channels of its own
        if parent >= 0 and not any(channel.endswith("position") for channel in bvh.channels[joint]):
            bone = np.linalg.norm(positions[:, joint] - positions[:, parent], axis=1)
            assert np.allclose(bone, np.linalg.norm(bvh.offsets[joint]), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(bvhs(), st.randoms(use_true_random=False))
def test_channels_may_stand_in_any_order(tmp_path_factory, bvh, random):
    """The same rotations with position channels anywhere between them give the same pose."""
    columns = np.split(np.arange(bvh.values.shape[1]), np.cumsum([len(c) for c in bvh.channels])[:-1])
    channels, order = [], []
    for own, places in zip(bvh.channels, columns):
        turns = [k for k, channel in enumerate(own) if channel.endswith("rotation")]
        mixed = list(turns)
        for k in range(len(own)):
            if k not in turns:
                mixed.insert(random.randint(0, len(mixed)), k)
        channels.append(tuple(own[k] for k in mixed))
        order += [places[k] for k in mixed]
    other = replace(bvh, channels=tuple(channels), values=bvh.values[:, order])
    assert np.allclose(other.pose()[1], bvh.pose()[1]) and np.allclose(other.pose()[0], bvh.pose()[0])


SMALL = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Knee
  {
    OFFSET 0 -40 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -40 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0083333
0 80 0 0 0 0 0 10 0
0 80 1 0 0 0 0 20 0
"""


def test_a_small_file(tmp_path):
    path = tmp_path / "small.bvh"
    path.write_text(SMALL)
    bvh = read_bvh(path)
    assert bvh.names == ("Hips", "Knee", "Knee_end") and len(bvh) == 2
    _, positions = bvh.pose()
    turn = np.radians(20)
    assert np.allclose(positions[1, 2], [0, 40 - 40 * np.cos(turn), 1 - 40 * np.sin(turn)])
    path.write_text(SMALL.replace("\n", "\r\n").replace("ROOT Hips\r\n{", "ROOT Hips {").replace("Zrot", "zROT"))
    assert np.allclose(read_bvh(path).pose()[1], positions)


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        ("HIERARCHY", "HIERARCHIE", "expected HIERARCHY, got 'HIERARCHIE'", 1),
        ("ROOT", "JOINT", "expected ROOT", 2),
        ("OFFSET 0 -40 0\n    CH", "OFFSET 0 -40\n    CH", "OFFSET: expected 3 numbers, got '0 -40 CHANNELS'", 9),
        ("OFFSET 0 0 0", "OFFSET 0 nan 0", "OFFSET: nan is not a usable number", 4),
        ("CHANNELS 3 Z", "CHANNELS 9 Z", "a number from 0 to 6, got '9'", 9),
        ("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation", "channel 'Wrotation' does not exist", 9),
        ("CHANNELS 3 Zrotation", "CHANNELS 3 Yrotation", "channel 'Yrotation' occurs twice", 9),
        ("Knee", "Hips", "joint 'Hips' is defined twice", 6),
        ("End Site", "End Sight", "expected Site, got 'Sight'", 10),
        ("    OFFSET 0 -40 0\n    CHANNELS", "    CHANNELS", "'Knee' ends here without an OFFSET", 13),
        ("MOTION", "ROOT x", "a second ROOT", 16),
        ("MOTION", "", "expected MOTION, got 'Frames:'", 17),
        ("Frames: 2", "Frames: two", "Frames: expected a number, got 'two'", 17),
        ("Frames: 2", "Frames: 0", "holds no frames", 17),
        ("Frames: 2", "Frames: 3", "has 2 frames, but 'Frames: 3'", 20),
        ("0 20 0\n", "0 20 0\n" + 2 * "0 80 1 0 0 0 0 20 0\n", "has 4 frames, but 'Frames: 2'", 22),
        ("0.0083333", "0", "Frame Time: expected seconds > 0", 18),
        ("0.0083333", "-1", "Frame Time: expected seconds > 0", 18),
        ("0 80 1 0 0 0 0 20 0", "0 80 1 0 0 0 0 20", "frame 1: expected 9 numbers, got 8", 20),
        ("0 80 1 0 0 0 0 20 0", "0 80 1 0 0 x 0 20 0", "frame 1: expected 9 numbers, got '0 80 1", 20),
        (
            "0 80 1 0 0 0 0 20 0",
            "0 80 1 0 0 1_0 0 20 0",
            "frame 1: expected 9 numbers, got '0 80 1 0 0 1_0 0 20 0'",
            20,
        ),
        ("0 80 1 0 0 0 0 20 0", "0 80 1 0 0 inf 0 20 0", "frame 1: inf is not a usable number", 20),
        ("0 80 0 0 0 0 0 10 0", "0 80 0 0 0 0 0 10 nan", "frame 0: nan is not a usable number", 19),
    ],
)
def test_broken_files(tmp_path, old, new, message, line):
    path = tmp_path / "small.bvh"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(FileFormatError, match=message) as error:
        read_bvh(path)
    assert error.value.path == path and error.value.line == line


@pytest.mark.parametrize(
    ("how", "frames"),
    [
        (lambda text: text.encode() + b"0 80 2 0 0 0 0 30 0\n", 3),  # Rokoko's exporter writes one row more than stated
        (lambda text: b"\xef\xbb\xbf" + text.encode(), 2),
        (lambda text: text.encode("utf-16"), 2),
        (lambda text: text.encode() + b"\x1a", 2),
        (lambda text: text.encode() + b"\x1a" + bytes(100), 2),
        (lambda text: text.replace("Frames: 2", "Frames:2").encode(), 2),
        (lambda text: text.replace("Frames: 2", "FRAMES : 2").replace("Time: 0.00", "Time:0.00").encode(), 2),
    ],
    ids=["row", "bom", "utf16", "ctrl_z", "padding", "no_blank", "blank_before"],
)
def test_as_exporters_write_it(tmp_path, how, frames):
    path = tmp_path / "small.bvh"
    path.write_bytes(how(SMALL))
    bvh = read_bvh(path)
    assert len(bvh) == frames and bvh.frame_time == 0.0083333 and bvh.values[1, 7] == 20
    source = BVHMotion(tmp_path)
    assert source.duration(only(source)) == pytest.approx(2 * 0.0083333)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.0083333", "100000", "has 1e-05 frames a second, expected 1 to 10000"),
        ("0.0083333", "1e-9", "has 1e\\+09 frames a second, expected 1 to 10000"),
        ("0.0083333", "0.9", "lasts 18000 s"),
        (
            "JOINT Knee",
            "".join(f"JOINT j{k} {{ OFFSET 0 0 0 }}\n" for k in range(1000)) + "JOINT Knee",
            "more than 1000",
        ),
    ],
)
def test_numbers_out_of_human_range(tmp_path, old, new, message):
    text = SMALL.replace(old, new)
    if "lasts" in message:
        text = text.replace("Frames: 2", "Frames: 20000") + 19998 * "0 80 1 0 0 0 0 20 0\n"
    (tmp_path / "small.bvh").write_text(text)
    source = BVHMotion(tmp_path)
    with pytest.raises(FileFormatError, match=message):
        source.read(only(source))


def test_mirror_images_and_radians(walk, target, tmp_path, caplog):
    """From a left-handed engine, with and without toes; angles in radians."""
    bvh = as_bvh(walk, target.rest_joints, MIXAMO, 100.0)
    places = np.cumsum([0, *map(len, bvh.channels)])
    mirror = np.ones(bvh.values.shape[1])
    for start, channels in zip(places, bvh.channels):
        # Mirrored at the xy plane: z of positions, and rotations about x and y, change sign.
        mirror[[start + k for k, name in enumerate(channels) if name in ("Zposition", "Xrotation", "Yrotation")]] = -1
    mirrored = replace(bvh, offsets=bvh.offsets * [1, 1, -1], values=bvh.values * mirror)
    toes = [k for k, name in enumerate(SMPL_JOINTS) if name.endswith("_foot")]
    source = BVHMotion(tmp_path)
    for cut in (False, True):
        for one, message in ((bvh, ""), (mirrored, "knees forwards" if cut else "toes point backwards")):
            if cut:
                keep = np.delete(np.arange(24), toes)
                number = {old: new for new, old in enumerate([-1, *keep], -1)}
                one = replace(
                    one, names=tuple(one.names[k] for k in keep), offsets=one.offsets[keep],
                    channels=tuple(one.channels[k] for k in keep),
                    parents=np.array([number[one.parents[k]] for k in keep]),
                    values=one.values[:, np.concatenate([np.arange(places[k], places[k + 1]) for k in keep])],
                )  # fmt: skip
            write_bvh(tmp_path / "x.bvh", one)
            if not message:
                source.load(only(source), target)
                continue
            with pytest.raises(FileFormatError, match=f"{message}.*left-handed engine"):
                source.load(only(source), target)
    assert not caplog.messages
    turns = np.array([name.endswith("rotation") for channels in bvh.channels for name in channels])
    write_bvh(tmp_path / "x.bvh", replace(bvh, values=np.where(turns, np.radians(bvh.values), bvh.values)))
    source.read(only(source))
    assert "no angle exceeds 6.3 degrees; are they in radians?" in caplog.text


def test_a_given_rate_overrides_the_frame_time(walk, target, tmp_path):
    write_bvh(tmp_path / "x.bvh", replace(as_bvh(walk[:20], target.rest_joints, MIXAMO), frame_time=1e5))
    source = BVHMotion(tmp_path, fps=25)
    assert source.read(only(source)).fps == 25 and source.duration(only(source)) == 20 / 25
    text = (tmp_path / "x.bvh").read_text()
    (tmp_path / "x.bvh").write_text(text.replace("Frame Time: 100000.0", "Frame Time: 0"))  # no rate at all
    assert source.read(only(source)).fps == 25
    with pytest.raises(FileFormatError, match=r"Frame Time: expected seconds > 0.*source\.fps"):
        BVHMotion(tmp_path).read(only(source))
    with pytest.raises(ConfigError, match="fps"):
        BVHMotion(tmp_path, fps=1e6)


def test_every_frame_may_be_the_rest_pose(walk, target, tmp_path):
    """A skeleton defined curled up, of a person who squats at first and shows the rest pose when standing up later."""
    bind = [Rotation.from_euler("x", 40 * (k % 5), degrees=True) for k in range(24)]
    squat = KeyPoseMotion(names="squat", fps=60)
    down = squat.load(only(squat), target)
    motion = down[len(down) // 2 :]
    write_bvh(tmp_path / "x.bvh", as_bvh(motion, target.rest_joints, MIXAMO, 1.0, None, bind))
    with pytest.raises(FileFormatError, match="nobody stands upright in its rest pose or in any frame"):
        write_bvh(tmp_path / "y.bvh", as_bvh(motion[:10], target.rest_joints, MIXAMO, 1.0, None, bind))
        BVHMotion(tmp_path, names="y").load(only(BVHMotion(tmp_path, names="y")), target)
    source = BVHMotion(tmp_path, names="x")
    again = source.load(only(source), target)
    first, _ = forward_kinematics(motion.poses, motion.transl, target.rest_joints)
    second, _ = forward_kinematics(again.poses, again.transl, target.rest_joints)
    for joint in ("left_knee", "right_ankle", "left_wrist"):
        k = SMPL_JOINTS.index(joint)
        apart = np.linalg.norm((first[:, k] - first[:, 0]) - (second[:, k] - second[:, 0]), axis=1)
        assert apart.mean() < 0.05, joint


DAZ = {
    "pelvis": "pelvis", "spine_1": "abdomenLower", "spine_2": "abdomenUpper", "spine_3": "chestLower",
    "neck": "neckLower", "head": "head",
    **{f"{side}_{part}": f"{side[0]}{name}" for side in ("left", "right") for part, name in {
        "hip": "ThighBend", "knee": "Shin", "ankle": "Foot", "foot": "Toe", "collar": "Collar", "shoulder": "ShldrBend",
        "elbow": "ForearmBend", "wrist": "Hand", "hand": "Mid1"}.items()},
}  # fmt: skip
MAKEHUMAN = {
    "pelvis": "root", "spine_1": "spine05", "spine_2": "spine03", "spine_3": "spine01", "neck": "neck01",
    "head": "head",
    **{f"{side}_{part}": f"{name}.{side[0].upper()}" for side in ("left", "right") for part, name in {
        "hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot", "foot": "toe1-1", "collar": "clavicle",
        "shoulder": "upperarm01", "elbow": "lowerarm01", "wrist": "wrist", "hand": "finger3-1"}.items()},
}  # fmt: skip


OPTITRACK = {
    "pelvis": "Hip", "spine_1": "Ab", "spine_2": "Ab2", "spine_3": "Chest", "neck": "Neck", "head": "Head",
    **{f"{side}_{part}": f"{side[0].upper()}{name}" for side in ("left", "right") for part, name in {
        "hip": "Thigh", "knee": "Shin", "ankle": "Foot", "foot": "Toe", "collar": "Shoulder", "shoulder": "UArm",
        "elbow": "FArm", "wrist": "Hand", "hand": "Middle1"}.items()},
}  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        DAZ, MAKEHUMAN, OPTITRACK, {role: f"Skeleton 001_{name}" for role, name in OPTITRACK.items()},
        {role: f"{name}_JNT" for role, name in MIXAMO.items()},
        {role: f"Robot_{name}" for role, name in MIXAMO.items()},
        {role: f"rp_nathan_{name}_{k:03d}" for k, (role, name) in enumerate(MIXAMO.items())},
        {role: name.upper() for role, name in MIXAMO.items()},
        {role: f"ACTOR1:{name.upper()}_BIND" for role, name in MIXAMO.items()},
        {role: role.upper() for role in MIXAMO},
        {role: f"jnt_{role.removeprefix('left_').removeprefix('right_')}{role[0] if role[0] in 'lr' else ''}_jnt"
         for role in MIXAMO},
    ],
    ids=["daz", "makehuman", "optitrack", "optitrack_named", "suffix", "prefix", "numbered", "capitals", "all",
         "smpl_capitals", "side_last"],
)  # fmt: skip
def test_more_names(names):
    joints = [names[joint] for joint in SMPL_JOINTS]
    found = find_joints(joints, np.array(SMPL_PARENTS), {})
    for role, joint in found.items():
        if role not in ("spine_3", "neck"):
            assert joints[joint] == names[role], role
    assert {"left_foot", "right_collar", "head", "left_wrist", "right_knee"} <= set(found)


def test_twist_joints_turn_the_whole_limb():
    """Daz has two joints per thigh: the knee is a child of the twist joint, whose rotation the other lacks."""
    names = ["hip", "pelvis", "abdomenLower", "chestLower", "head"]
    parents = [-1, 0, 0, 2, 3]
    for side in "lr":
        chains = (("ThighBend", "ThighTwist", "Shin", "Foot", "Toe", "Toe_end"),
                  ("Collar", "ShldrBend", "ShldrTwist", "ForearmBend", "Hand", "Hand_end"))  # fmt: skip
        for start, chain in zip((1, 3), chains):
            for k, part in enumerate(chain):
                parents.append(start if k == 0 else len(names) - 1)
                names.append(side + part)
    tree = _Tree(names, np.array(parents))
    found = find_joints(names, tree.parents, {})
    turned = _drivers(tree, found, np.zeros((len(names), 3)), 0.8)
    assert names[found["left_hip"]] == "lThighBend" and turned["left_hip"] == "lThighTwist"
    assert turned["right_shoulder"] == "rShldrTwist" and turned["left_knee"] == "lShin"


def test_cut_and_binary_files(tmp_path):
    path = tmp_path / "small.bvh"
    for length in range(0, len(SMALL) - 3):
        path.write_text(SMALL[:length])
        with pytest.raises(FileFormatError) as error:
            read_bvh(path)
        assert error.value.line is not None
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(FileFormatError, match="is binary, expected BVH text"):
        read_bvh(path)
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_bvh(tmp_path / "none.bvh")


def test_other_creatures_are_refused(tmp_path):
    (tmp_path / "small.bvh").write_text(SMALL)
    source = BVHMotion(tmp_path)
    with pytest.raises(FileFormatError, match="no joint known as left_hip"):
        source.read(only(source))
