"""Known motions, written in the style of other software."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mviper.motion import forward_kinematics
from mviper.motion.rotations import Y_UP_TO_Z_UP
from mviper.motion.sources.bvh import BVH
from mviper.structures.joints import SMPL_JOINTS, SMPL_PARENTS

MIXAMO = {
    "pelvis": "Hips", "spine_1": "Spine", "spine_2": "Spine1", "spine_3": "Spine2", "neck": "Neck", "head": "Head",
    **{f"{side}_{part}": f"{side.title()}{name}" for side in ("left", "right") for part, name in {
        "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
        "elbow": "ForeArm", "wrist": "Hand", "hand": "HandMiddle1"}.items()},
}  # fmt: skip


def as_bvh(motion, rest_joints, names, unit=1.0, axes=None, bind=None):
    """A fitted motion as a BVH on the body's own skeleton.

    Args:
        motion: In the world.
        rest_joints: (24, 3).
        names: BVH name of each SMPL joint.
        unit: File units per metre.
        axes: From body axes (y up) to the file's.
        bind: Global rotations (24) of the pose that the OFFSETs represent instead of the T-pose.
    """
    axes = axes or Rotation.identity()
    bind = bind or [Rotation.identity()] * 24
    joints, turned = forward_kinematics(motion.poses, motion.transl, rest_joints)
    to_file = axes * Y_UP_TO_Z_UP.inv()
    values, offsets = [unit * to_file.apply(joints[:, 0])], np.zeros((24, 3))
    world = [to_file * Rotation.from_matrix(turned[:, k]) * (axes * bind[k]).inv() for k in range(24)]
    for k, parent in enumerate(SMPL_PARENTS):
        local = world[k] if parent < 0 else world[parent].inv() * world[k]
        values.append(local.as_euler("ZXY", degrees=True))
        if parent >= 0:
            offsets[k] = unit * (axes * bind[parent]).apply(rest_joints[k] - rest_joints[parent])
    turns = ("Zrotation", "Xrotation", "Yrotation")
    channels = (("Xposition", "Yposition", "Zposition", *turns), *(turns,) * 23)
    bvh_names = tuple(names[joint] for joint in SMPL_JOINTS)
    return BVH(bvh_names, np.array(SMPL_PARENTS), offsets, channels, np.concatenate(values, 1), 1 / motion.fps)


def write_c3d(path, names, points, fps=120.0, unit="mm", prefix="Jack:", y_up=False, unlabelled=5):
    """Writes a C3D like a capture system: labels with the subject's name, points in any order, with ghost markers."""
    ezc3d = pytest.importorskip("ezc3d", reason="pip install ezc3d (requirements/tests.txt)")
    rng = np.random.default_rng(0)
    if y_up:
        points = np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)
    ghosts = np.full((len(points), unlabelled, 3), np.nan)
    for k in range(unlabelled):
        begin = rng.integers(0, max(len(points) - 10, 1))
        ghosts[begin : begin + 10, k] = rng.normal(0, 1, 3)
    labels = [f"{prefix}{name}" for name in names] + [f"*{k + 1}" for k in range(unlabelled)]
    order = rng.permutation(len(labels))
    points = np.concatenate([points, ghosts], axis=1)[:, order] * {"mm": 1e3, "cm": 1e2, "m": 1.0}[unit]
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [fps]
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    file["parameters"]["POINT"]["LABELS"]["value"] = [labels[k] for k in order]
    file["data"]["points"] = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1).transpose(2, 1, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.write(str(path))


def write_bvh(path: Path, bvh: BVH) -> None:
    """Writes a BVH file that :func:`mviper.motion.sources.bvh.read_bvh` reads back identically, with 17 digits.

    Args:
        path: The file.
        bvh: What to write. A joint without channels and children becomes an End Site.
    """
    children: dict[int, list[int]] = {}
    for joint, parent in enumerate(bvh.parents):
        children.setdefault(int(parent), []).append(joint)

    columns = np.split(np.arange(bvh.values.shape[1]), np.cumsum([len(channels) for channels in bvh.channels])[:-1])
    order: list[int] = []  # values are in the order of the joints in the file: depth first

    def numbers(values: np.ndarray) -> str:
        return " ".join(map(repr, map(float, values)))

    def block(joint: int, depth: int) -> Iterator[str]:
        indent, site = "  " * depth, not bvh.channels[joint] and joint not in children and depth > 0
        order.extend(columns[joint])
        yield indent + ("End Site" if site else f"{'JOINT' if depth else 'ROOT'} {bvh.names[joint]}")
        yield indent + "{"
        yield f"{indent}  OFFSET {numbers(bvh.offsets[joint])}"
        if not site:
            yield f"{indent}  CHANNELS {len(bvh.channels[joint])} {' '.join(bvh.channels[joint])}".rstrip()
        for child in children.get(joint, []):
            yield from block(child, depth + 1)
        yield indent + "}"

    text = ["HIERARCHY", *block(0, 0), "MOTION", f"Frames: {len(bvh)}", f"Frame Time: {float(bvh.frame_time)!r}"]
    text += map(numbers, bvh.values[:, order])
    path.write_text("\n".join(text) + "\n", encoding="latin-1", errors="replace")


def _acclaim_bones() -> list[tuple[str, str, str, str, str | None, str]]:
    """CMU's bones: name, parent, start and end joint, joint that rotates it, degrees of freedom."""
    arm = [
        ("clavicle", "thorax", "neck", "shoulder", "collar", "ry rz"),
        ("humerus", "clavicle", "shoulder", "elbow", "shoulder", "rx ry rz"),
        ("radius", "humerus", "elbow", "wrist", "elbow", "rx"), ("wrist", "radius", "elbow", "wrist", None, "ry"),
        ("hand", "wrist", "wrist", "hand", "wrist", "rx rz"), ("fingers", "hand", "wrist", "hand", "hand", "rx"),
        ("thumb", "wrist", "wrist", "hand", None, "rx rz"),
    ]  # fmt: skip
    leg = [
        ("hipjoint", "root", "pelvis", "hip", None, ""), ("femur", "hipjoint", "hip", "knee", "hip", "rx ry rz"),
        ("tibia", "femur", "knee", "ankle", "knee", "rx"), ("foot", "tibia", "ankle", "foot", "ankle", "rx rz"),
        ("toes", "foot", "ankle", "foot", "foot", "rx"),
    ]  # fmt: skip
    trunk = [
        ("lowerback", "root", "pelvis", "spine_2", "spine_1", "rx ry rz"),
        ("upperback", "lowerback", "spine_2", "spine_3", "spine_2", "rx ry rz"),
        ("thorax", "upperback", "spine_3", "neck", "spine_3", "rx ry rz"),
        ("lowerneck", "thorax", "neck", "head", "neck", "rx ry rz"),
        ("upperneck", "lowerneck", "neck", "head", None, "rx ry rz"),
        ("head", "upperneck", "neck", "head", "head", "rx ry rz"),
    ]
    middle = {"root", "thorax", "pelvis", "neck"}

    def of(side: str, limb: list) -> list:
        def name(part: str | None, prefix: str) -> str | None:
            return part if part is None or part in middle else prefix + part

        return [
            (side[0] + bone, name(parent, side[0]), *(name(joint, f"{side}_") for joint in joints), dof)
            for bone, parent, *joints, dof in limb
        ]

    return [*of("left", leg), *of("right", leg), *trunk, *of("left", arm), *of("right", arm)]


def write_acclaim(folder: Path, motion, rest_joints, name: str = "07_01") -> None:
    """A fitted motion as ASF and AMC on CMU's bones, in CMU's layout; ``name`` is ``SUBJECT_NUMBER``.

    Only what CMU's bones can represent is written: an elbow bends about one axis, a hip joint is stiff.
    """
    bones, inches = _acclaim_bones(), 0.45 / 0.0254
    lines = ["# written by a test", ":version 1.10", ":name VICON", ":units", "  mass 1.0", "  length 0.45"]
    lines += ["  angle deg", ":documentation", "   none", ":root", "   order TX TY TZ RX RY RZ", "   axis XYZ"]
    lines += ["   position 0 0 0  ", "   orientation 0 0 0 ", ":bonedata"]
    places = {joint: rest_joints[k] for k, joint in enumerate(SMPL_JOINTS)}
    for number, (bone, _, first, last, _, dof) in enumerate(bones, 1):
        offset = places[last] - places[first]
        if bone.endswith("toes"):
            offset = np.array([0.0, 0.0, 0.06])
        length = inches * np.linalg.norm(offset) * (0.4 if bone.endswith(("neck", "wrist", "fingers", "thumb")) else 1)
        direction = " ".join(f"{x:.6g}" for x in offset / np.linalg.norm(offset))
        axis = "0 0 90" if bone.endswith("radius") else "0 0 0"  # an elbow bends about the body's upward axis
        lines += ["  begin", f"     id {number} ", f"     name {bone}", f"     direction {direction} "]
        lines += [f"     length {length:.6g} ", f"     axis {axis}   XYZ"]
        if dof:
            lines += [f"    dof {dof}", *(f"           ({-160.0} {20.0})" for _ in dof.split())]
            lines[-len(dof.split())] = "    limits (-160.0 20.0)"
        lines += ["  end"]
    lines += [":hierarchy", "  begin"]
    for parent in ("root", *(bone for bone, *_ in bones)):
        if children := [bone for bone, own, *_ in bones if own == parent]:
            lines += [f"    {parent} {' '.join(children)}"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name.partition('_')[0]}.asf").write_text("\n".join([*lines, "  end"]) + "\n")

    joints, turned = forward_kinematics(motion.poses, motion.transl, rest_joints)
    to_file = Y_UP_TO_Z_UP.inv()
    root = Rotation.from_matrix(turned[:, 0])
    values = {"root": np.c_[inches * to_file.apply(joints[:, 0]), (to_file * root).as_euler("xyz", degrees=True)]}
    for bone, _, _, _, joint, dof in bones:
        if not dof:
            continue
        turns = Rotation.from_rotvec(motion.poses[:, SMPL_JOINTS.index(joint)] if joint else np.zeros((len(motion), 3)))
        axis = Rotation.from_euler("z", 90 if bone.endswith("radius") else 0, degrees=True)
        angles = (axis.inv() * turns * axis).as_euler("xyz", degrees=True)
        values[bone] = angles[:, ["rx ry rz".split().index(one) for one in dof.split()]]
    order = [
        *bones[10:16],
        *bones[23:],
        *bones[16:23],
        *bones[5:10],
        *bones[:5],
    ]  # as CMU's AMC files
    moving = ["root", *(bone for bone, *_ in order if bone in values)]
    lines = ["# written by a test", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(len(motion)):
        lines += [str(frame + 1)]
        lines += [" ".join([bone, *map(repr, map(float, values[bone][frame]))]) for bone in moving]
    (folder / f"{name}.amc").write_text("\n".join(lines) + "\n")
