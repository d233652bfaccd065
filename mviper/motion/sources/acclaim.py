"""Acclaim ASF/AMC, the format of CMU's motion capture library.

The format: https://research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/ASF-AMC.html. A bone's motion is ``C M C^-1``
in its parent's frame, with C from its ``axis`` and M from its ``dof`` values. The ASF's pose (all zeros) is thus the
rest pose, and a bone's rotation needs no local axes afterwards.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.errors import FileFormatError
from mviper.files import is_hidden
from mviper.motion.rotations import swings
from mviper.motion.skeleton import JointMap, Skeleton, SkeletonMotion
from mviper.motion.sources.base import Clip, MotionSource, check_fps, check_timing
from mviper.motion.sources.text import TextLines
from mviper.registry import MOTION_SOURCES

_LOGGER = logging.getLogger(__name__)

#: CMU's unit: an inch divided by the ASF's ``length`` unit (0.45).
METRES_PER_INCH = 0.0254

_ROTATIONS = ("rx", "ry", "rz")
_TRANSLATIONS = ("tx", "ty", "tz")


#: More bones than any skeleton has; beyond it a file is damaged.
_MOST_BONES = 1000


@dataclass(frozen=True)
class Bone:
    """One bone of an ASF (the root too, with length 0).

    Attributes:
        name: Its name.
        parent: Its parent's name, ``None`` for the root.
        offset: From its start to its end in the rest pose [m], shape (3,).
        axes: Its local axes C in the rest pose, shape (3, 3).
        dof: Its degrees of freedom in the AMC's order, from ``rx ry rz`` (and ``tx ty tz`` for the root).
        limits: Lower and upper limit of each rotation [rad], shape (D, 2); empty if the ASF has none.
    """

    name: str
    parent: str | None
    offset: np.ndarray
    axes: np.ndarray
    dof: tuple[str, ...]
    limits: np.ndarray


@dataclass(frozen=True)
class AcclaimSkeleton:
    """The contents of an ASF.

    Attributes:
        path: The file.
        bones: By name, root first, parents before children.
        metres: Length of the file's unit [m].
        degrees: Whether angles are in degrees, unless the AMC says otherwise.
        root_position: [m], shape (3,).
    """

    path: Path
    bones: dict[str, Bone]
    metres: float
    degrees: bool
    root_position: np.ndarray

    def skeleton(self) -> Skeleton:
        """Joints at the bones' starts, named after the bone, and ``<bone>_end`` where a chain ends."""
        names, parents, rest = [], [], []
        ends: dict[str, np.ndarray] = {}
        for bone in self.bones.values():
            names.append(bone.name)
            parents.append(names.index(bone.parent) if bone.parent else -1)
            rest.append(ends[bone.parent] if bone.parent else np.zeros(3))
            ends[bone.name] = rest[-1] + bone.offset
        with_children = {bone.parent for bone in self.bones.values()}
        for bone in self.bones.values():
            if bone.name not in with_children:
                names.append(f"{bone.name}_end")
                parents.append(names.index(bone.name))
                rest.append(ends[bone.name])
        return Skeleton(tuple(names), np.array(parents), np.array(rest))


def _axes(angles: np.ndarray, order: str, degrees: bool) -> np.ndarray:
    """Local axes from ``axis`` angles; ``XYZ`` rotates about the fixed x first, then y, then z."""
    by_name = dict(zip("XYZ", angles))
    return Rotation.from_euler(order.lower(), [by_name[letter] for letter in order], degrees=degrees).as_matrix()


def _axis_order(word: str) -> str | None:
    word = word.upper()
    return word if sorted(word) == ["X", "Y", "Z"] else None


def read_asf(path: str | Path) -> AcclaimSkeleton:
    """Reads an Acclaim skeleton.

    Args:
        path: The ``.asf``.

    Returns:
        Its bones in metres.

    Raises:
        FileFormatError: Something is missing, misspelt or impossible; names the line.
    """
    lines = TextLines(path, "Acclaim text", comment="#")
    sections: dict[str, list[tuple[int, list[str]]]] = {}
    current: list[tuple[int, list[str]]] | None = None
    for number, words in lines:
        if words[0].startswith(":"):
            current = sections.setdefault(words[0][1:].lower(), [])
            words = words[1:]
        elif current is None:
            raise lines.fail(f"expected a section such as ':root', got {words[0][:40]!r}", number)
        if words:
            current.append((number, words))
    for section in ("root", "bonedata", "hierarchy"):
        if section not in sections:
            raise lines.fail(f"section ':{section}' is missing (is the file cut?)")

    length_unit, degrees = 1.0, True
    for number, words in sections.get("units", []):
        if words[0] == "length":
            length_unit = lines.floats(words[1:], 1, "length unit", number)[0]
            if length_unit <= 0:
                raise lines.fail(f"length unit must be positive, got {length_unit}", number)
        elif words[0] == "angle":
            if words[1:] not in (["deg"], ["rad"]):
                raise lines.fail(f"angle unit must be 'deg' or 'rad', got {' '.join(words[1:])!r}", number)
            degrees = words[1] == "deg"
    metres = METRES_PER_INCH / length_unit

    root, position = _read_root(lines, sections["root"], degrees)
    drafts = {"root": root}
    for start, block in _blocks(lines, sections["bonedata"]):
        bone = _read_bone(lines, start, block, metres, degrees)
        if bone.name in drafts:
            raise lines.fail(f"bone {bone.name!r} is defined twice", start)
        if len(drafts) > _MOST_BONES:
            raise lines.fail(f"more than {_MOST_BONES} bones", start)
        drafts[bone.name] = bone
    return AcclaimSkeleton(
        lines.path, _read_hierarchy(lines, sections["hierarchy"], drafts), metres, degrees, position * metres
    )


def _read_root(lines: TextLines, section: list, degrees: bool) -> tuple[Bone, np.ndarray]:
    dof, order = _TRANSLATIONS + _ROTATIONS, "XYZ"
    position, orientation = np.zeros(3), np.zeros(3)
    for number, words in section:
        key, values = words[0].lower(), words[1:]
        if key == "order":
            dof = tuple(word.lower() for word in values)
            if sorted(dof) != sorted(_TRANSLATIONS + _ROTATIONS):
                raise lines.fail(f"root order must hold TX TY TZ RX RY RZ once each, got {' '.join(values)!r}", number)
        elif key == "axis":
            stated = _axis_order("".join(values))
            if stated is None:
                raise lines.fail(f"root axis must be an order such as XYZ, got {' '.join(values)!r}", number)
            order = stated
        elif key == "position":
            position = lines.floats(values, 3, "root position", number)
        elif key == "orientation":
            orientation = lines.floats(values, 3, "root orientation", number)
    bone = Bone("root", None, np.zeros(3), _axes(orientation, order, degrees), dof, np.empty((0, 2)))
    return bone, position


def _blocks(lines: TextLines, section: list) -> Iterator[tuple[int, list[tuple[int, list[str]]]]]:
    """The ``begin ... end`` blocks of a section."""
    block: list | None = None
    start = 0
    for number, words in section:
        if words[0] == "begin":
            if block is not None:
                raise lines.fail(f"'begin' inside the block that began in line {start}", number)
            block, start = [], number
        elif words[0] == "end":
            if block is None:
                raise lines.fail("'end' without 'begin'", number)
            yield start, block
            block = None
        elif block is None:
            raise lines.fail(f"expected 'begin', got {words[0][:40]!r}", number)
        else:
            block.append((number, words))
    if block is not None:
        raise lines.fail(f"the block that began in line {start} has no 'end' (is the file cut?)")


def _read_bone(lines: TextLines, start: int, block: list, metres: float, degrees: bool) -> Bone:
    name: str | None = None
    direction: np.ndarray | None = None
    length: float | None = None
    axes: np.ndarray | None = None
    dof: tuple[str, ...] = ()
    limits: list[np.ndarray] = []
    limits_line, in_limits = start, False
    for number, words in block:
        key, values = words[0], words[1:]
        if key == "limits" or (in_limits and key.startswith("(")):
            in_limits, limits_line = True, number
            text = " ".join(values if key == "limits" else words)
            for pair in re.findall(r"\(([^()]*)\)", text):
                numbers = pair.replace(",", " ").replace("-inf", "-1e5").replace("inf", "1e5").split()
                limits.append(lines.floats(numbers, 2, "limits", number))
            continue
        in_limits = False
        if key == "name":
            if len(values) != 1:
                raise lines.fail("expected 'name' and one word", number)
            name = values[0]
        elif key == "direction":
            direction = lines.floats(values, 3, "direction", number)
            if np.linalg.norm(direction) < 1e-6:
                raise lines.fail("direction has no length", number)
        elif key == "length":
            length = lines.floats(values, 1, "length", number)[0]
            if length < 0:
                raise lines.fail(f"length must not be negative, got {length}", number)
        elif key == "axis":
            order = _axis_order(values[-1]) if values else None
            if order is None:
                raise lines.fail("axis must end in its order, such as XYZ", number)
            axes = _axes(lines.floats(values[:-1], 3, "axis", number), order, degrees)
        elif key == "dof":
            dof = tuple(word.lower() for word in values)
            if len(set(dof)) != len(dof) or not set(dof) <= set(_ROTATIONS):
                raise lines.fail(f"dof may hold rx, ry, rz once each, got {' '.join(values)!r}", number)
    if name is None or direction is None or length is None or axes is None:
        parts = {"name": name, "direction": direction, "length": length, "axis": axes}
        lacking = next(what for what, value in parts.items() if value is None)
        raise lines.fail(f"the bone that begins here has no '{lacking}'", start)
    if limits and len(limits) != len(dof):
        raise lines.fail(f"bone {name!r} has {len(dof)} dof and {len(limits)} limits", limits_line)
    limits_array = np.array(limits).reshape(-1, 2)
    offset = direction / np.linalg.norm(direction) * length * metres
    return Bone(name, "", offset, axes, dof, np.radians(limits_array) if degrees else limits_array)


def _read_hierarchy(lines: TextLines, section: list, drafts: dict[str, Bone]) -> dict[str, Bone]:
    parent_of: dict[str, str] = {}
    children_of: dict[str, list[str]] = {}
    last = len(lines.lines)
    for _, block in _blocks(lines, section):
        for number, words in block:
            last = number
            for name in words:
                if name not in drafts:
                    raise lines.fail(f"the hierarchy names {name!r}, which ':bonedata' does not define", number)
            for child in words[1:]:
                if child in parent_of or child == "root":
                    raise lines.fail(f"bone {child!r} has a second parent {words[0]!r}", number)
                parent_of[child] = words[0]
                children_of.setdefault(words[0], []).append(child)
    ordered: dict[str, Bone] = {"root": drafts["root"]}
    queue = ["root"]
    while queue:
        parent = queue.pop(0)
        for child in children_of.get(parent, []):
            draft = drafts[child]
            ordered[child] = Bone(child, parent, draft.offset, draft.axes, draft.dof, draft.limits)
            queue.append(child)
    for name in drafts:
        if name not in ordered:
            raise lines.fail(f"bone {name!r} is not connected to the root by the hierarchy", last)
    return ordered


def read_amc(path: str | Path, asf: AcclaimSkeleton) -> dict[str, np.ndarray]:
    """Reads an Acclaim motion.

    Args:
        path: The ``.amc``.
        asf: The skeleton that it belongs to.

    Returns:
        For each moving bone, its values in ``dof`` order, lengths in the file's unit, angles in radians, (T, D).

    Raises:
        FileFormatError: A bone that the ASF lacks, a wrong count, NaN, a truncated frame, or no frame; names the line.
    """
    lines = TextLines(path, "Acclaim text", comment="#")
    moving = {bone.name: len(bone.dof) for bone in asf.bones.values() if bone.dof}
    values: dict[str, list[list[float]]] = {name: [] for name in moving}
    line_of: dict[str, list[int]] = {name: [] for name in moving}
    degrees, unit, frame, seen, number, step = asf.degrees, None, None, 0, 0, 0
    for number, words in lines:
        key = words[0]
        if key.startswith(":"):
            if key.upper() in (":DEGREES", ":RADIANS"):
                if unit not in (None, key.upper()):
                    raise lines.fail(f"{key} after {unit}: expected one unit of angles", number)
                unit, degrees = key.upper(), key.upper() == ":DEGREES"
            continue
        if len(words) == 1 and key.isascii() and key.isdigit():
            _check_frame_is_whole(lines, values, frame, seen, number)
            if frame is not None:
                step = step or int(key) - frame
                if int(key) - frame != step or step < 1:
                    raise lines.fail(f"frame {int(key)} follows frame {frame}; are some lost?", number)
            frame, seen = int(key), seen + 1
            continue
        if frame is None:
            raise lines.fail(f"expected the first frame's number, got {' '.join(words)[:40]!r}", number)
        if key not in moving:
            known = "does not let move" if key in asf.bones else "does not define"
            raise FileFormatError(
                lines.path, f"bone {key[:40]!r} in frame {frame}, which {asf.path.name} {known}", line=number,
                hint="the motion belongs to another skeleton, or the skeleton file is cut; expected the bones of "
                f"{asf.path}",
            )  # fmt: skip
        if len(values[key]) >= seen:
            raise lines.fail(f"bone {key!r} occurs twice in frame {frame}", number)
        if len(words) - 1 != moving[key]:
            raise lines.fail(
                f"bone {key!r} in frame {frame}: expected {moving[key]} numbers, got {len(words) - 1}", number
            )
        try:
            values[key].append([float(word.replace("_", "no number")) for word in words[1:]])
        except ValueError:
            raise lines.fail(
                f"bone {key!r} in frame {frame}: not a number in {' '.join(words[1:])[:60]!r}", number
            ) from None
        line_of[key].append(number)
    if frame is None:
        raise lines.fail("holds no frames")
    if step > 1:
        _LOGGER.warning("%s: contains one frame in %d: source.fps must be the rate of these frames", path, step)
    if seen > 1 and lines.ends_in_newline and any(len(rows) < seen for rows in values.values()):
        # Some published files stop between two lines of their last frame (07_12 in one mirror); earlier frames are
        # complete. A file that stops within a line was truncated in transfer, and fails below.
        _LOGGER.warning("%s:%d: the last frame (%d) is incomplete and is left out", path, number, frame)
        values = {name: rows[: seen - 1] for name, rows in values.items()}
        seen -= 1
    _check_frame_is_whole(lines, values, frame, seen, number)
    result = {}
    for name, rows in values.items():
        array = np.array(rows)
        usable = (np.abs(array) < 1e6).all(axis=1)  # false for NaN too
        if not usable.all():
            bad = int(np.argmin(usable))
            raise lines.fail(
                f"bone {name!r}: {' '.join(map(str, rows[bad]))} is not a usable value", line_of[name][bad]
            )
        turns = [kind.startswith("r") for kind in asf.bones[name].dof]
        if degrees:
            array[:, turns] = np.radians(array[:, turns])
        result[name] = array
    return result


def _check_frame_is_whole(lines: TextLines, values: dict, frame: int | None, seen: int, number: int) -> None:
    if frame is None:
        return
    missing = [name for name, rows in values.items() if len(rows) < seen]
    if missing:
        raise lines.fail(f"frame {frame} lacks {', '.join(missing[:5])} (is the file cut?)", number)


def pose_acclaim(asf: AcclaimSkeleton, channels: dict[str, np.ndarray]) -> tuple[Skeleton, np.ndarray, np.ndarray]:
    """Forward kinematics of an Acclaim motion.

    Args:
        asf: The skeleton.
        channels: Values from :func:`read_amc`.

    Returns:
        The skeleton, its joints' global rotations relative to the rest pose (T, J, 3, 3), and positions [m] (T, J, 3).
    """
    skeleton = asf.skeleton()
    frames = len(channels["root"])
    turned: dict[str, Rotation] = {}
    root = np.zeros((frames, 3))
    for bone in asf.bones.values():
        local = Rotation.identity(frames)
        values = channels[bone.name] if bone.dof else np.empty((frames, 0))
        turns = [k for k, kind in enumerate(bone.dof) if kind.startswith("r")]
        if turns:
            order = "".join(bone.dof[k][1] for k in turns)
            local = Rotation.from_euler(order, values[:, turns].reshape(frames, -1))
        if bone.parent is None:
            for k, kind in enumerate(bone.dof):
                if kind.startswith("t"):
                    root[:, "xyz".index(kind[1])] = values[:, k] * asf.metres
        axes = Rotation.from_matrix(bone.axes)
        local = axes * local * axes.inv()
        turned[bone.name] = turned[bone.parent] * local if bone.parent else local
    rotations = np.empty((frames, len(skeleton.names), 3, 3))
    for joint, name in enumerate(skeleton.names):
        rotations[:, joint] = (
            turned[name.removesuffix("_end")].as_matrix() if name not in turned else turned[name].as_matrix()
        )
    return skeleton, rotations, skeleton.positions(rotations, root + asf.root_position)


def _sided(pairs: dict[str, str]) -> dict[str, str]:
    """``{"hip": "femur"}`` -> ``{"left_hip": "lfemur", "right_hip": "rfemur"}``."""
    return {f"{side}_{smpl}": f"{side[0]}{bone}" for side in ("left", "right") for smpl, bone in pairs.items()}


#: CMU's bones to SMPL's joints. lwrist (pronation) is left to the wrist: retargeting shares it with the forearm.
CMU_ROTATIONS = {
    "pelvis": "root", "spine_1": "lowerback", "spine_2": "upperback", "spine_3": "thorax",
    "neck": "upperneck", "head": "head",
    **_sided({
        "hip": "femur", "knee": "tibia", "ankle": "foot", "foot": "toes", "collar": "clavicle", "shoulder": "humerus",
        "elbow": "radius", "wrist": "hand", "hand": "fingers",
    }),
}  # fmt: skip
#: CMU's root lies 10 cm above its hips, and its lowerneck well below its shoulders: they do not match SMPL's pelvis and
#: neck.
CMU_POINTS = {
    "neck": "upperneck", "head": "head",
    **_sided({
        "hip": "femur", "knee": "tibia", "ankle": "foot", "foot": "toes", "shoulder": "humerus", "elbow": "radius",
        "wrist": "hand", "hand": "fingers",
    }),
}  # fmt: skip


def cmu_joint_map(asf: AcclaimSkeleton) -> JointMap:
    """Maps a CMU skeleton to SMPL's, with its elbow and knee axes (their bones' ``rx``).

    Its feet are rigid and orthogonal to the legs (their local z), which are apart in the rest pose; its palms face
    down.

    Raises:
        FileFormatError: The ASF lacks bones that the body needs.
    """
    joint_map = JointMap(CMU_ROTATIONS, CMU_POINTS)
    missing = sorted(joint_map.joints() - asf.bones.keys())
    if missing:
        raise FileFormatError(
            asf.path, f"lacks the bones {', '.join(missing)}", hint="expected a complete CMU skeleton"
        )
    _check_stance(asf)
    hinges = {
        joint: asf.bones[bone].axes[:, 0]
        for joint, bone in CMU_ROTATIONS.items()
        if joint.endswith(("knee", "elbow")) and asf.bones[bone].dof == ("rx",)
    }
    starts: dict[str, np.ndarray] = {}
    for side in ("left", "right"):
        upright = swings(np.array([0.0, 1.0, 0.0]), asf.bones[f"{side[0]}foot"].axes[:, 2]).as_matrix()
        starts |= {f"{side}_ankle": upright, f"{side}_foot": upright}
        starts |= {f"{side}_wrist": np.eye(3), f"{side}_hand": np.eye(3)}
    return JointMap(CMU_ROTATIONS, CMU_POINTS, hinges, starts)


def _check_stance(asf: AcclaimSkeleton) -> None:
    """Refuses axes other than y up, z forward, x to the left, which would silently give lying or reversed people."""
    skeleton = asf.skeleton()
    head, left, right, ankle, toes = (
        skeleton.rest[skeleton.index(name)] for name in ("head", "lfemur", "rfemur", "lfoot", "ltoes")
    )
    drawn = {
        "y": ("its head is", head - ankle),
        "x": ("its left is", left - right),
        "z": ("its toes are", toes - ankle),
    }
    for axis, (what, direction) in drawn.items():
        if not direction["xyz".index(axis)] > 0.5 * np.linalg.norm(direction):
            raise FileFormatError(
                asf.path, f"in its rest pose its {what} not towards +{axis}",
                hint="expected y up, facing +z, as CMU's; turn it in the tool that exported it, or export BVH",
            )  # fmt: skip


@MOTION_SOURCES.register_module()
class CMUMotion(MotionSource):
    """CMU's motion capture library as ASF/AMC, in CMU's or any other folder structure.

    An AMC's skeleton lies in the same folder: ``<subject>.asf`` for ``<subject>_<trial>.amc``, else an ASF whose name
    is a prefix of the AMC's, else the only ASF.

    Args:
        root: Folder with ``.asf`` and ``.amc`` files at any depth.
        names: Clip names or glob patterns (``"07_*"``); ``None`` for all.
        fps: Frame rate, which AMC files do not state; CMU's is 120.
        index: See :class:`MotionSource`, as ``actions`` and ``seconds``; CMU's is ``cmu-mocap-index-text.txt``.
        actions: Filter by the index's descriptions.
        seconds: Shortest and longest duration.
    """

    how_to_get = (
        "unpack ASF/AMC clips from mocap.cs.cmu.edu (all_asfamc.zip) and set source.root to their folder, or use "
        "configs/synthesis/deepmimic.py, whose clips come with pybullet"
    )

    def __init__(
        self, root: str | Path = "data/cmu", names: str | Sequence[str] | None = None, fps: float = 120.0,
        index: str | Path | None = None, actions: str | Sequence[str] | None = None,
        seconds: tuple[float | None, float | None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(root, names, index, actions, seconds)
        check_fps(self, fps)
        self.fps = fps

    def find_clips(self) -> Iterator[Clip]:
        """Every ``.amc`` under ``root``; its subject is its skeleton's name."""
        folder, skeletons = None, []
        for path in self.walk(".amc"):
            if path.parent != folder:
                folder = path.parent
                skeletons = sorted(
                    file for file in os.listdir(folder) if file.lower().endswith(".asf") and not is_hidden(file)
                )
            skeleton = _skeleton_of(path.stem, skeletons)
            subject = Path(skeleton).stem if skeleton else path.stem.partition("_")[0]
            yield Clip(path.stem, subject, path)

    def duration(self, clip: Clip) -> float:
        """A clip's duration from its frame numbers [s], without reading the values."""
        try:
            frames = len(re.findall(rb"^[ \t]*\d+[ \t]*\r?$", clip.path.read_bytes(), re.MULTILINE))
        except OSError as error:
            raise FileFormatError(clip.path, f"cannot be read: {error.strerror or error}") from error
        if not frames:
            raise FileFormatError(clip.path, "holds no frames")
        return frames / self.fps

    def read(self, clip: Clip) -> SkeletonMotion:
        """Reads one clip; see :meth:`MotionSource.read`."""
        asf = read_asf(self._find_asf(clip.path))
        channels = read_amc(clip.path, asf)
        check_timing(clip.path, len(channels["root"]), self.fps)
        joint_map = cmu_joint_map(asf)
        skeleton, rotations, positions = pose_acclaim(asf, channels)
        return SkeletonMotion(skeleton, rotations, positions, self.fps, joint_map, clip.name, clip.subject)

    def _find_asf(self, amc: Path) -> Path:
        try:
            files = sorted(file for file in os.listdir(amc.parent) if not is_hidden(file))
        except OSError as error:
            raise FileFormatError(amc, f"cannot be read: {error.strerror or error}") from error
        skeleton = _skeleton_of(amc.stem, [file for file in files if file.lower().endswith(".asf")])
        if skeleton is None:
            raise FileFormatError(
                amc, "has no skeleton in its folder", hint=f"expected {amc.stem.partition('_')[0]}.asf in {amc.parent}"
            )
        return amc.parent / skeleton


def _skeleton_of(stem: str, skeletons: list[str]) -> str | None:
    """The ASF file name that belongs to an AMC's stem."""
    by_stem = {Path(name).stem.lower(): name for name in skeletons}
    subject = stem.partition("_")[0].lower()
    if subject in by_stem:
        return by_stem[subject]
    prefixes = [name for name in by_stem if stem.lower().startswith(name)]
    if prefixes:
        return by_stem[max(prefixes, key=len)]
    return skeletons[0] if len(skeletons) == 1 else None
