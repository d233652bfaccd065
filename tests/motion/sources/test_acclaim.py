"""ASF/AMC: compared with an independent BVH of the same clip, written and read back, broken and mutated."""

from __future__ import annotations

import logging
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mviper.errors import FileFormatError, MissingDataError
from mviper.motion import CMUMotion
from mviper.motion.sources.acclaim import METRES_PER_INCH, pose_acclaim, read_amc, read_asf
from mviper.registry import MOTION_SOURCES

#: Joints at the same position in CMU's BVH and ASF (the BVH omits the lengths of thorax and wrist).
BVH_TO_ASF = {
    "Hips": "root", "Spine": "upperback", "Spine1": "thorax", "Neck1": "upperneck", "Head": "head",
    "LeftUpLeg": "lfemur", "LeftLeg": "ltibia", "LeftFoot": "lfoot", "LeftToeBase": "ltoes",
    "RightUpLeg": "rfemur", "RightLeg": "rtibia", "RightFoot": "rfoot", "RightToeBase": "rtoes",
    "LeftArm": "lhumerus", "LeftForeArm": "lradius", "LeftHand": "lwrist",
    "RightArm": "rhumerus", "RightForeArm": "rradius", "RightHand": "rwrist",
}  # fmt: skip


def bvh_positions(path, every):
    """Positions by joint name from a BVH, with plain 4 x 4 matrices: a second implementation independent of ours."""
    text = path.read_text().split()
    joints, stack, k = [], [], 0
    while text[k] != "MOTION":
        word = text[k]
        if word in ("ROOT", "JOINT", "End"):
            joints.append({"name": text[k + 1], "parent": stack[-1] if stack else None, "channels": []})
            k += 1
        elif word == "{":
            stack.append(len(joints) - 1)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            joints[-1]["offset"] = np.array(text[k + 1 : k + 4], float)
            k += 3
        elif word == "CHANNELS":
            count = int(text[k + 1])
            joints[-1]["channels"] = text[k + 2 : k + 2 + count]
            k += 1 + count
        k += 1
    frames = int(text[k + 2])
    values = np.array(text[k + 6 :], float).reshape(frames, -1)[1::every]  # its frame 0 is a T-pose of its own
    result = {}
    for joint in joints:
        joint["world"] = []
    for row in values:
        column = 0
        for joint in joints:
            matrix = np.eye(4)
            matrix[:3, 3] = joint["offset"]
            for channel in joint["channels"]:
                value, axis = row[column], "XYZ".index(channel[0])
                column += 1
                step = np.eye(4)
                if channel.endswith("position"):
                    step[axis, 3] = value
                else:
                    a, b = (axis + 1) % 3, (axis + 2) % 3
                    c, s = np.cos(np.radians(value)), np.sin(np.radians(value))
                    step[a, a], step[a, b], step[b, a], step[b, b] = c, -s, s, c
                matrix = matrix @ step
            parent = joint["parent"]
            joint["now"] = matrix if parent is None else joints[parent]["now"] @ matrix
            joint["world"].append(joint["now"][:3, 3])
    for joint in joints:
        result[joint["name"]] = np.array(joint["world"])
    return result


def test_agrees_with_the_bvh_of_the_same_clip(shared_data):
    source = CMUMotion(shared_data / "mocap/asf_amc", names="01_01")
    motion = source.read(next(source.clips()))
    every = 50
    reference = bvh_positions(shared_data / "mocap/bvh/01_01_fairmotion.bvh", every)
    at = {name: motion.positions[::every, motion.skeleton.index(name)] for name in BVH_TO_ASF.values()}
    # Without the thorax's length, everything above is compared from the thorax's end.
    missing = motion.positions[::every, motion.skeleton.index("lowerneck")]
    missing = missing - motion.positions[::every, motion.skeleton.index("thorax")]
    below = ("Hips", "Spine", "Spine1", "Leg", "UpLeg", "Foot", "ToeBase")
    for bvh_name, asf_name in BVH_TO_ASF.items():
        ours = at[asf_name] - (0 if bvh_name.endswith(below) else missing)
        theirs = reference[bvh_name] * METRES_PER_INCH / 0.45
        assert np.linalg.norm(ours - theirs[: len(ours)], axis=1).max() < 0.002, asf_name


def test_walks_the_folder_lazily_and_pairs_files(shared_data):
    source = MOTION_SOURCES.build({"type": "CMUMotion", "root": shared_data / "mocap/asf_amc"})
    clips = {clip.name: clip for clip in source.clips()}
    assert len(clips) == 13
    assert clips["07_02"].subject == "07" and clips["charleston2"].subject == "charleston"
    assert [clip.name for clip in CMUMotion(source.root, ["07_*", "zombie"]).clips()] == [
        "07_01",
        "07_02",
        "07_12",
        "zombie",
    ]
    motion = source.read(clips["09_06"])
    assert motion.fps == 120 and motion.subject == "09" and len(motion) == 141
    assert 0.8 < motion.skeleton.rest[:, 1].ptp() / 1.6 < 1.2  # metres


def test_missing_data_say_what_to_do(tmp_path):
    with pytest.raises(MissingDataError, match=r"mocap\.cs\.cmu\.edu"):
        CMUMotion(tmp_path / "nowhere").clips()
    with pytest.raises(MissingDataError, match="no clip named 99_"):
        list(CMUMotion(tmp_path, names=["99_*"]).clips())


def test_amc_whose_asf_lacks_bones(shared_data):
    source = CMUMotion(shared_data / "mocap/broken")
    for clip in source.clips():
        with pytest.raises(FileFormatError, match=r"'lowerback'.*02\.asf") as error:
            source.read(clip)
        assert error.value.line == 6 and error.value.path == clip.path


@pytest.fixture
def small(acclaim, tmp_path):
    """Two frames of a clip in a separate folder; returns (asf, amc, source)."""
    asf, amc = tmp_path / "07.asf", tmp_path / "07_01.amc"
    shutil.copy(acclaim / "07.asf", asf)
    amc.write_text("\n".join((acclaim / "07_01.amc").read_text().splitlines()[: 3 + 2 * 30]) + "\n")
    return asf, amc, CMUMotion(tmp_path)


def read_only(source):
    return source.read(next(source.clips()))


def edit(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        ("lfoot", "lfin", "'lfin'", 32),
        ("rtibia ", "rtibia 1 ", "expected 1 numbers, got 2", 27),
        ("rtibia ", "rtibia x", "not a number", 27),
        ("rtibia ", "rtibia 1_", "not a number", 27),
        ("rtibia ", "rtibia nan #", "not a usable value", 27),
        ("ltibia", "rtibia", "occurs twice in frame 1", 31),
        ("rtibia", "# rtibia", "frame 1 lacks rtibia", 34),
        ("\n1\n", "\n", "frame's number", 4),
        ("\n1\n", "\n:radians\n1\n", ":radians after :DEGREES: expected one unit", 4),
    ],
)
def test_broken_amc(small, old, new, message, line):
    _, amc, source = small
    edit(amc, old, new)
    with pytest.raises(FileFormatError, match=message) as error:
        read_only(source)
    assert error.value.line == line and error.value.path == amc


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":hierarchy", ":hierarchie", "':hierarchy' is missing"),
        ("length 0.45", "length nan", "length unit"),
        ("angle deg", "angle grad", "angle unit"),
        ("name lfemur", "name", "one word"),
        ("name lfemur", "name ltibia", "defined twice"),
        ("dof rx ry rz", "dof rx ry rq", "dof may hold"),
        ("limits (-160.0 20.0)", "limits (-160.0)", "limits"),
        ("lfemur ltibia", "lfemur lshin", "'lshin'"),
        ("    ltibia lfoot\n", "", "'lfoot' is not connected"),
        ("ltibia lfoot", "ltibia lfoot lfemur", "second parent"),
        ("    axis 0 0 0   XYZ", "    axis 0 0   XYZ", "expected 3 numbers"),
        ("order TX TY TZ RX RY RZ", "order TX TY TZ RX RY", "root order"),
        ("  end\n", "", "'begin' inside"),
    ],
)
def test_broken_asf(small, old, new, message):
    asf, _, source = small
    text = asf.read_text()
    old = old if old in text else old.strip()
    edit(asf, old, new)
    with pytest.raises(FileFormatError, match=message) as error:
        read_only(source)
    assert error.value.path == asf and error.value.line


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (lambda x, y, z: (x, -z, y), r"head is not towards \+y"),  # z up
        (lambda x, y, z: (-x, y, -z), r"left is not towards \+x"),  # faces -z
        (lambda x, y, z: (-x, y, z), r"left is not towards \+x"),  # left-handed
        (lambda x, y, z: (x, y, -z), r"toes are not towards \+z"),
    ],
)
def test_asf_in_other_axes(small, turn, message):
    """Regression: each was lying, facing away or mirrored, and was read without a warning."""
    asf, _, source = small
    read_only(source)

    def turned(match):
        return "direction " + " ".join(map(str, turn(*map(float, match[1].split()))))

    asf.write_text(re.sub(r"direction (.+)", turned, asf.read_text()))
    with pytest.raises(FileFormatError, match=message) as error:
        read_only(source)
    assert error.value.path == asf


def test_frames_that_are_missing(small, caplog):
    """Jumps in frame numbers are lost frames; constant steps are a clip thinned to another rate."""
    _, amc, source = small
    text = amc.read_text()
    third = text[text.index("\n2\n") :].replace("\n2\n", "\n4\n")
    amc.write_text(text + third.lstrip("\n"))
    with pytest.raises(FileFormatError, match="frame 4 follows frame 2; are some lost") as error:
        read_only(source)
    assert error.value.line == 4 + 2 * 30
    amc.write_text(text.replace("\n2\n", "\n5\n"))
    with caplog.at_level(logging.WARNING):
        assert len(read_only(source)) == 2
    assert "contains one frame in 4: source.fps must be the rate of these frames" in caplog.text


def test_asf_without_a_limb_names_its_bones(small):
    asf, amc, source = small
    text = asf.read_text().replace("    lfoot ltoes\n", "")
    start = text.index("begin\n     id 5")
    asf.write_text(text[:start] + text[text.index("end\n", start) + 4 :])
    amc.write_text("\n".join(line for line in amc.read_text().splitlines() if not line.startswith("ltoes")) + "\n")
    with pytest.raises(FileFormatError, match="lacks the bones ltoes"):
        read_only(source)


def test_empty_binary_and_cut_files(small, caplog):
    asf, amc, source = small
    content = amc.read_bytes()
    for bad, message in ((b"", "no frames"), (b":DEGREES\n", "no frames"), (b"\x89PNG\0\0" * 50, "binary")):
        amc.write_bytes(bad)
        with pytest.raises(FileFormatError, match=message):
            read_only(source)
    amc.write_bytes(content[: content.rindex(b"rtibia") + 9])  # cut within a line
    assert not amc.read_bytes().endswith(b"\n")
    with pytest.raises(FileFormatError):
        read_only(source)
    # Cut between two lines: everything before is intact (07_12 of the shared data is published like this).
    amc.write_bytes(content[: content.rindex(b"ltoes")])
    with caplog.at_level(logging.WARNING):
        assert len(read_only(source)) == 1
    assert "last frame (2)" in caplog.text
    asf.unlink()
    with pytest.raises(FileFormatError, match="no skeleton"):
        read_only(source)


def test_degrees_and_radians_flags(small):
    asf, amc, source = small
    reference = read_only(source).positions
    lines = []
    bones = read_asf(asf).bones
    for line in amc.read_text().splitlines():
        words = line.split()
        if words and words[0] in bones:
            turns = [kind.startswith("r") for kind in bones[words[0]].dof]
            values = [float(w) * (np.pi / 180 if turn else 1) for w, turn in zip(words[1:], turns)]
            line = " ".join([words[0], *(repr(value) for value in values)])
        lines.append(line.replace(":DEGREES", ":RADIANS"))
    amc.write_text("\n".join(lines) + "\n")
    assert np.allclose(read_only(source).positions, reference, atol=1e-6)


# --- skeletons written, read, and written again --------------------------------------------------------------------

ORDERS = ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"]
NUMBER = st.floats(-170, 170).map(lambda x: round(x, 6))


@st.composite
def skeletons(draw):
    bones = []
    for k in range(draw(st.integers(1, 6))):
        direction = np.array(draw(st.tuples(NUMBER, NUMBER, st.floats(200, 400))))
        bones.append({
            "name": f"bone{k}",
            "parent": draw(st.sampled_from(["root", *(f"bone{n}" for n in range(k))])),
            "direction": direction / np.linalg.norm(direction),
            "length": draw(st.floats(0.1, 9)),
            "axis": draw(st.tuples(NUMBER, NUMBER, NUMBER)),
            "order": draw(st.sampled_from(ORDERS)),
            "dof": draw(st.lists(st.sampled_from(["rx", "ry", "rz"]), unique=True)),
        })  # fmt: skip
    frames = draw(st.integers(1, 3))
    size = 6 + sum(len(bone["dof"]) for bone in bones)
    values = draw(st.lists(st.lists(NUMBER, min_size=size, max_size=size), min_size=frames, max_size=frames))
    return bones, np.array(values)


def write(folder, bones, values):
    lines = [":version 1.10", ":units", "length 0.45", "angle deg", ":root", "order TX TY TZ RX RY RZ", "axis XYZ"]
    lines += ["position 0 0 0", "orientation 0 0 0", ":bonedata"]
    for bone in bones:
        lines += ["begin", f"name {bone['name']}", "direction " + " ".join(map(repr, map(float, bone["direction"])))]
        lines += [f"length {bone['length']!r}", f"axis {' '.join(map(repr, bone['axis']))} {bone['order']}"]
        lines += [f"dof {' '.join(bone['dof'])}"] * bool(bone["dof"]) + ["end"]
    lines += [":hierarchy", "begin", *(f"{bone['parent']} {bone['name']}" for bone in bones), "end"]
    (folder / "s.asf").write_text("\n".join(lines) + "\n")
    lines = [":DEGREES"]
    for number, row in enumerate(values, 1):
        row = list(map(float, row))
        lines += [str(number), "root " + " ".join(map(repr, row[:6]))]
        rest = row[6:]
        for bone in bones:
            count = len(bone["dof"])
            if count:
                lines.append(" ".join([bone["name"], *map(repr, rest[:count])]))
            rest = rest[count:]
    (folder / "s.amc").write_text("\n".join(lines) + "\n")
    asf = read_asf(folder / "s.asf")
    return asf, read_amc(folder / "s.amc", asf)


@settings(max_examples=40, deadline=None)
@given(skeletons())
def test_write_and_read_is_stable(tmp_path_factory, skeleton):
    bones, values = skeleton
    folder = tmp_path_factory.mktemp("acclaim")
    asf, channels = write(folder, bones, values)
    joints, rotations, positions = pose_acclaim(asf, channels)
    assert np.allclose(rotations @ rotations.transpose(0, 1, 3, 2), np.eye(3), atol=1e-9)
    for bone in bones:  # rigid bones of the written length, in every frame
        children = [other["name"] for other in bones if other["parent"] == bone["name"]] or [f"{bone['name']}_end"]
        ends = positions[:, joints.index(children[0])] - positions[:, joints.index(bone["name"])]
        assert np.allclose(np.linalg.norm(ends, axis=1), bone["length"] * METRES_PER_INCH / 0.45, atol=1e-9)
    again = np.concatenate(
        [np.concatenate([channels["root"][:, :3], np.degrees(channels["root"][:, 3:])], axis=1)]
        + [np.degrees(channels[bone["name"]]) for bone in bones if bone["dof"]], axis=1,
    )  # fmt: skip
    asf, channels = write(folder, bones, again)
    assert np.allclose(pose_acclaim(asf, channels)[2], positions, atol=1e-9)


def test_mutated_files_raise_only_our_error(small):
    asf, amc, source = small
    rng = np.random.default_rng(0)
    originals = {path: path.read_bytes() for path in (asf, amc)}
    refused = 0
    for _ in range(300):
        path = asf if rng.random() < 0.5 else amc
        content = bytearray(originals[path])
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(content)))
            kind = rng.integers(4)
            if kind == 0:
                content[place] = rng.integers(256)
            elif kind == 1:
                del content[place : place + int(rng.integers(1, 200))]
            elif kind == 2:
                content[place:place] = content[int(rng.integers(len(content))) :][: int(rng.integers(1, 200))]
            else:
                content[place:place] = rng.choice([b"nan", b"-", b"1e999", b"\n", b"begin", b"()", b":root\n"])
        path.write_bytes(bytes(content))
        try:
            motion = read_only(source)
            assert np.isfinite(motion.positions).all()
        except FileFormatError as error:
            assert str(error.path) in str(error)
            refused += 1
        path.write_bytes(originals[path])
    assert refused > 100


def test_a_byte_order_mark_and_a_closing_ctrl_z(small):
    asf_path, amc_path, _ = small
    asf = read_asf(asf_path)
    channels = read_amc(amc_path, asf)
    for path in (asf_path, amc_path):
        content = path.read_bytes()
        for changed in (b"\xef\xbb\xbf" + content + b"\x1a", content.decode("latin-1").encode("utf-16")):
            path.write_bytes(changed)
            again = read_amc(amc_path, read_asf(asf_path))
            assert all(np.array_equal(again[bone], channels[bone]) for bone in channels)
        path.write_bytes(content)


def test_more_bones_than_anybody_has(small):
    asf_path, _, _ = small
    bone = "begin\n id 9\n name b{0}\n direction 1 0 0\n length 1\n axis 0 0 0 XYZ\nend\n"
    text = asf_path.read_text().replace(":hierarchy", "".join(bone.format(k) for k in range(1001)) + ":hierarchy")
    asf_path.write_text(text)
    with pytest.raises(FileFormatError, match="more than 1000 bones"):
        read_asf(asf_path)
