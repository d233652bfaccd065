"""Interprets a human skeleton of unknown origin: its joints, rest pose, unit and upward axis.

Joints are identified by name and position in the hierarchy; axes, units, hinges and soles by the motion.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.errors import FileFormatError
from mviper.motion.retarget import BODY_HINGES
from mviper.motion.rotations import swings
from mviper.motion.skeleton import JointMap, Skeleton, SkeletonMotion
from mviper.motion.sources.upward import AXES, infer_up, signed_axis

SIDES = ("left", "right")

#: Other names of SMPL's joints, without side, prefix and punctuation, best first. A name may be ambiguous: Mixamo's
#: LeftShoulder is a collar, as there is a LeftArm, while 3ds Max conversions have LeftCollar and LeftShoulder.
NAMES = {
    "hip": ("upleg", "upperleg", "upleg1", "upperleg1", "thigh", "thighbend", "femur", "hip"),
    "knee": ("knee", "lowleg", "lowerleg", "lowerleg1", "loleg", "shin", "shinbend", "calf", "tibia", "leg"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toe0", "toe", "toes", "ball", "metatarsals", "toe11", "foot"),
    "shoulder": ("uparm", "upperarm", "upperarm1", "shldr", "shldrbend", "humerus", "uarm", "arm", "shoulder"),
    "elbow": ("elbow", "forearm", "forearmbend", "lowarm", "lowerarm", "lowerarm1", "loarm", "farm", "radius"),
    "wrist": ("wrist", "hand"),
    "collar": ("collar", "collarbone", "clavicle", "shoulder"),
}  # fmt: skip

#: Distance of SMPL's hands (their knuckles) from the wrists, in forearm lengths.
_HAND = 0.42

#: Joints without which a body cannot be posed.
REQUIRED = tuple(f"{side}_{part}" for side in SIDES for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"))

_SIDE_WORDS = {"left": "left", "l": "left", "right": "right", "r": "right"}
_KNOWN = {known for names in NAMES.values() for known in names}
_PREFIXES = {"bip", "bip01", "bip001", "cc", "base", "j", "def", "mixamorig", "character", "m", "avg", "f"}

#: A word is not part of joint names if at least this fraction of all names begin or end with it.
_COMMON = 0.8

#: SMPL joints whose positions are comparable across skeletons (unlike spines and collars), without their side.
_POINTS = {"hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist", "hand", "neck", "head"}

#: Common units of capture files [m]: metre, centimetre, millimetre, inch, foot, CMU's inch / 0.45.
UNITS = (1.0, 0.01, 0.001, 0.0254, 0.3048, 0.0254 / 0.45)

#: Range of people's leg length, thigh plus shin [m], and its average.
LEG_LENGTHS, AVERAGE_LEG = (0.6, 1.1), 0.82

#: A pose counts as standing if the cosines between the vertical and trunk, thighs and shins all exceed this.
_UPRIGHT = 0.7

#: Minimum number of frames (or half of a short clip's) to accept a hinge or sole, and minimum length of a hinge's mean
#: direction.
_SEEN, _AGREE = 10, 0.8

#: Possible causes of limbs that bend or point backwards.
_MIRRORED = "are left and right exchanged, or is it from a left-handed engine?"


@dataclass(frozen=True)
class RestPose:
    """A reference pose for a skeleton's rotations.

    Attributes:
        positions: Joints, in the file's unit and axes, shape (J, 3).
        rotations: Global rotations, shape (J, 3, 3).
        drawn: Whether it is the pose of the file's offsets, aligned with the axes, rather than a captured frame.
    """

    positions: np.ndarray
    rotations: np.ndarray
    drawn: bool


def _words(name: str) -> list[str]:
    """``"mixamorig:LeftUpLeg"`` -> ``["left", "up", "leg"]``."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name.rpartition(":")[2])]


def _without_common(words: list[list[str]]) -> list[list[str]]:
    """Names without common prefixes or suffixes (``Robot_``, ``_JNT``) and running numbers."""
    for place in (0, -1):
        while True:
            counts = Counter(each[place] for each in words if len(each) > 1)
            common, count = counts.most_common(1)[0] if counts else ("", 0)
            if count < _COMMON * len(words) or common in _SIDE_WORDS:
                break
            words = [
                each if len(each) == 1 or each[place] != common else each[1:] if place == 0 else each[:-1]
                for each in words
            ]
    numbers = [each[-1] for each in words if len(each) > 1 and each[-1].isdigit()]
    if len(numbers) >= _COMMON * len(words) and len(set(numbers)) == len(numbers):
        words = [each[:-1] if len(each) > 1 and each[-1].isdigit() else each for each in words]
    return words


def _split_words(words: list[str]) -> tuple[str | None, str]:
    """Side and plain name of a joint: ``["mixamorig", "left", "up", "leg"]`` -> ``("left", "upleg")``."""
    while len(words) > 1 and (words[0] in _PREFIXES or words[0].isdigit()):
        words = words[1:]
    side = next((_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS), None)
    plain = "".join(str(int(word)) if word.isdigit() else word for word in words if word not in _SIDE_WORDS)
    if side is None:  # lhand, rfemur, LEFTUPLEG, thighl
        for word in _SIDE_WORDS:
            for rest in (plain.removeprefix(word), plain.removesuffix(word)):
                if rest != plain and rest in _KNOWN:
                    return _SIDE_WORDS[word], rest
    return side, plain


class _Tree:
    """Joint hierarchy."""

    def __init__(self, names: Sequence[str], parents: np.ndarray) -> None:
        self.names, self.parents = names, parents

    def path(self, joint: int) -> list[int]:
        """From the root to a joint."""
        path = [joint]
        while self.parents[path[-1]] >= 0:
            path.append(int(self.parents[path[-1]]))
        return path[::-1]

    def below(self, joint: int, other: int) -> bool:
        return joint != other and other in self.path(joint)

    def fork(self, first: int, second: int) -> int:
        """The lowest common ancestor of two joints."""
        return [a for a, b in zip(self.path(first), self.path(second)) if a == b][-1]

    def children(self, joint: int) -> list[int]:
        return [int(child) for child in np.flatnonzero(self.parents == joint)]


def find_joints(names: Sequence[str], parents: np.ndarray, overrides: dict[str, str]) -> dict[str, int]:
    """Finds the joints that correspond to SMPL's, by name and hierarchy.

    Args:
        names: Joint names; ends of chains are called ``<parent>_end``.
        parents: Parent index, -1 for the root, shape (J,).
        overrides: SMPL joint -> joint name, with priority over recognised names.

    Returns:
        SMPL joint -> index; at least :data:`REQUIRED`.

    Raises:
        ValueError: A required joint is not recognised, or an override names no joint.
    """
    tree = _Tree(names, parents)
    found: dict[str, int] = {}
    for role, name in overrides.items():
        if name not in names:
            near = difflib.get_close_matches(name, names)
            raise ValueError(
                f"has no joint {name!r} for {role}" + (f"; did you mean {' or '.join(near)}?" if near else "")
            )
        found[role] = names.index(name)
    called: dict[tuple[str | None, str], int] = {}
    named = [joint for joint, name in enumerate(names) if not re.search(r"_end\d*$", name)]
    for joint, words in zip(named, _without_common([_words(names[joint]) for joint in named])):
        called.setdefault(_split_words(words), joint)
    above = {"knee": "hip", "ankle": "knee", "foot": "ankle", "elbow": "shoulder", "wrist": "elbow"}
    for side in SIDES:
        for part, known in NAMES.items():
            role = f"{side}_{part}"
            start = found.get(f"{side}_{above[part]}") if part in above else None
            for likely in (called.get((side, plain)) for plain in known):
                fits = part not in above or (start is not None and likely is not None and tree.below(likely, start))
                if role not in found and likely is not None and likely not in found.values() and fits:
                    found[role] = likely
            if role not in found and part in ("ankle", "foot", "wrist") and start is not None:
                ends = [child for child in tree.children(start) if not tree.children(child)]
                found |= {role: ends[0]} if len(ends) == 1 else {}
    missing = [role for role in REQUIRED if role not in found]
    if missing:
        raise ValueError(f"has no joint known as {', '.join(missing)} among {', '.join(names)[:600]}")
    found.setdefault("pelvis", tree.fork(found["left_hip"], found["right_hip"]))
    found.setdefault("spine_3", tree.fork(found["left_shoulder"], found["right_shoulder"]))
    if "head" not in found and (None, "head") in called:
        found["head"] = called[None, "head"]
    if "head" in found and "neck" not in found and tree.parents[found["head"]] not in (-1, found["spine_3"]):
        found["neck"] = int(tree.parents[found["head"]])
    return found


def _add_hands(tree: _Tree, found: dict[str, int], rest: np.ndarray) -> None:
    """Adds the knuckles, where SMPL has its hands: the middle finger's if known, else the nearest joint."""
    for side in SIDES:
        wrist, elbow = found[f"{side}_wrist"], found[f"{side}_elbow"]
        below = [joint for joint in range(len(tree.names)) if tree.below(joint, wrist)]
        below = [joint for joint in below if not any("thumb" in tree.names[k].lower() for k in tree.path(joint))]
        below = [joint for joint in below if "mid" in tree.names[joint].lower()] or below
        if below and f"{side}_hand" not in found:
            distances = np.linalg.norm(rest[below] - rest[wrist], axis=1)
            nearest = np.abs(distances - _HAND * np.linalg.norm(rest[wrist] - rest[elbow])).argmin()
            found[f"{side}_hand"] = below[nearest]


def _carrier(tree: _Tree, found: dict[str, int], side: str, part: str) -> int:
    """The joint that rotates a whole thigh or upper arm: the last above knee or elbow, beyond any twist joints."""
    joint = found[f"{side}_{part}"]
    end = {"hip": "knee", "shoulder": "elbow"}.get(part)
    above = int(tree.parents[found[f"{side}_{end}"]]) if end else joint
    return above if tree.below(above, joint) else joint


def _drivers(
    tree: _Tree, found: dict[str, int], rest: np.ndarray, leg: float
) -> dict[str, str | tuple[str, str, float]]:
    """SMPL joint -> the joint or joints that drive it; see :class:`JointMap`."""
    names = tree.names
    path = tree.path(found["spine_3"])
    trunk = path[path.index(found["pelvis"]) :] if found["pelvis"] in path else [found["pelvis"], found["spine_3"]]
    turned: dict[str, str | tuple[str, str, float]] = {}
    for k, role in enumerate(("pelvis", "spine_1", "spine_2", "spine_3")):
        # The trunk's joints, whether one or seven, are spread evenly over SMPL's three.
        place, thirds = divmod((len(trunk) - 1) * k, 3)
        turned[role] = (
            names[trunk[place]] if thirds == 0 else (names[trunk[place]], names[trunk[place + 1]], thirds / 3)
        )
        if role in found and k not in (0, 3):
            turned[role] = names[found[role]]
    if "head" in found:
        turned["head"] = names[found["head"]]
        chest = names[found["spine_3"]]
        turned["neck"] = names[found["neck"]] if "neck" in found else (chest, names[found["head"]], 0.5)
    for side in SIDES:
        for part in (*NAMES, "hand"):
            joint = found.get(f"{side}_{part}")
            if joint is not None and tree.children(joint):
                turned[f"{side}_{part}"] = names[_carrier(tree, found, side, part)]
        if f"{side}_hand" in found:  # a wrist of several coincident joints (CMU's): the last rotates the hand
            wrist, hand = found[f"{side}_wrist"], found[f"{side}_hand"]
            bones = [joint for joint in tree.path(hand)[:-1] if tree.below(joint, wrist)]
            near = [joint for joint in bones if np.linalg.norm(rest[joint] - rest[wrist]) < 0.02 * leg]
            turns = names[near[-1] if near else wrist]
            if bones and turns != names[bones[-1]]:  # a rotation in between bends the line of the hand
                share = np.linalg.norm(rest[hand] - rest[bones[-1]]) / np.linalg.norm(rest[hand] - rest[wrist])
                turned[f"{side}_wrist"] = (turns, names[bones[-1]], min(float(share), 1.0))
            elif bones:
                turned[f"{side}_wrist"] = turns
    return turned


def _nearest_axis(direction: np.ndarray) -> np.ndarray:
    axis = int(np.abs(direction).argmax())
    return np.eye(3)[axis] * np.sign(direction[axis])


def _uprightness(poses: np.ndarray, found: dict[str, int], up: np.ndarray) -> np.ndarray:
    """How upright poses (T, J, 3) are: the smallest cosine between the vertical and trunk, thighs and shins, (T,)."""
    bones = [(f"{s}_{b}", f"{s}_{a}") for s in SIDES for a, b in (("hip", "knee"), ("knee", "ankle"))]
    bones += [(f"{s}_hip", f"{s}_shoulder") for s in SIDES]
    low, high = (poses[:, [found[bone[end]] for bone in bones]] for end in (0, 1))
    return ((high - low) @ up / np.maximum(np.linalg.norm(high - low, axis=2), 1e-9)).min(axis=1)


def _stands(rest: np.ndarray, found: dict[str, int], up: np.ndarray) -> bool:
    return bool(_uprightness(rest[None], found, up)[0] > _UPRIGHT)


def _body_axes(rest: np.ndarray, found: dict[str, int], up: np.ndarray, drawn: bool) -> np.ndarray:
    """The rotation (3, 3) from the rest pose's axes to the body's (left, up, forward)."""
    left = sum(rest[found[f"left_{part}"]] - rest[found[f"right_{part}"]] for part in ("hip", "shoulder"))
    left = left - (left @ up) * up
    if np.linalg.norm(left) < 1e-9:
        raise ValueError("has its left and right hips and shoulders at the same place")
    left = _nearest_axis(left) if drawn else left / np.linalg.norm(left)
    return np.stack([left, up, np.cross(left, up)])


def infer_scale(leg: float) -> float:
    """Metres per unit, from the leg length (thigh plus shin): a common unit if one gives a human length."""
    fitting = [unit for unit in UNITS if LEG_LENGTHS[0] <= leg * unit <= LEG_LENGTHS[1]]
    return min(fitting, key=lambda unit: abs(np.log(leg * unit / AVERAGE_LEG)), default=AVERAGE_LEG / leg)


def _leading_poses(rotations: np.ndarray) -> int:
    """1 if the first frame is a prepended pose, recognised by an implausibly fast rotation away from it, else 0."""
    if len(rotations) < 12:
        return 0
    some = rotations[:32]
    cosine = (np.einsum("tjab,tjab->tj", some[1:], some[:-1]) - 1) / 2
    turns = np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean(axis=1)
    return int(turns[0] > 10 and turns[0] > 10 * np.median(turns[1:]))


def _observed_hinge(turned: np.ndarray, start: np.ndarray, middle: np.ndarray, end: np.ndarray) -> np.ndarray | None:
    """Bending axis of an elbow or knee in the rest pose: the mean normal of its limbs in frames bent by > 20 degrees.

    Args:
        turned: Global rotations of the upper limb relative to the rest pose, shape (T, 3, 3).
        start: Upper limb's start over time, shape (T, 3).
        middle: Elbow or knee, shape (T, 3).
        end: Lower limb's end, shape (T, 3).
    """
    upper, lower = middle - start, end - middle
    normal = np.cross(upper, lower)
    lengths = np.linalg.norm(upper, axis=1) * np.linalg.norm(lower, axis=1)
    sine, cosine = np.linalg.norm(normal, axis=1), (upper * lower).sum(1)
    bent = (np.degrees(np.arctan2(sine, cosine)) > 20) & (sine > 1e-6 * lengths)
    if bent.sum() < min(_SEEN, len(bent) / 2):
        return None
    axes = np.einsum("tji,tj->ti", turned[bent], normal[bent] / sine[bent, None])
    mean = axes.mean(axis=0)
    length = np.linalg.norm(mean)
    return mean / length if length > _AGREE else None


def _sole_roll(turned: np.ndarray, ankle: np.ndarray, forward: np.ndarray, fps: float) -> float | None:
    """Roll of a foot's sole in the rest pose, from the frames in which it stands on the floor [rad]."""
    speed = np.linalg.norm(np.gradient(ankle, axis=0), axis=1) * fps if len(ankle) > 1 else np.zeros(1)
    resting = (speed < 0.2) & (ankle[:, 1] < np.percentile(ankle[:, 1], 5) + 0.05)
    if resting.sum() < _SEEN:
        return None
    up = np.median(turned[resting][:, 1], axis=0)  # the world's up in the foot's frame: G^T y
    return float(np.arctan2(-up @ np.cross([0.0, 1.0, 0.0], forward), up[1]))


def _soles(
    found: dict[str, int], rest: np.ndarray, turned: np.ndarray, placed: np.ndarray, fps: float
) -> dict[str, np.ndarray]:
    """Rotation of each foot in the rest pose relative to standing flat, (3, 3) by side.

    If the legs are apart in the rest pose, feet are either flat on the floor or orthogonal to the legs (CMU's); the
    frames in which they stand decide.
    """
    tilts, rolls, forwards = [], [], []
    for side, outward in zip(SIDES, (1.0, -1.0)):
        ankle, knee = found[f"{side}_ankle"], found[f"{side}_knee"]
        shin = rest[ankle] - rest[knee]
        tilts.append(outward * np.arctan2(shin[0], -shin[1]))
        foot = rest[found[f"{side}_foot"]] - rest[ankle] if f"{side}_foot" in found else np.zeros(3)
        foot = foot * [1.0, 0.0, 1.0]
        long = np.linalg.norm(foot) > 1e-6
        forwards.append(foot / np.linalg.norm(foot) if long else np.array([0.0, 0.0, 1.0]))
        roll = _sole_roll(turned[:, ankle], placed[:, ankle], forwards[-1], fps)
        rolls += [] if roll is None else [outward * roll]
    tilt = float(np.mean(tilts))
    square = bool(rolls) and abs(np.mean(rolls) - tilt) < abs(np.mean(rolls))
    return {
        side: Rotation.from_rotvec(square * outward * tilt * forward).as_matrix()
        for side, outward, forward in zip(SIDES, (1.0, -1.0), forwards)
    }


def _joint_map(
    tree: _Tree, found: dict[str, int], rest: np.ndarray, turned: np.ndarray, placed: np.ndarray, fps: float
) -> JointMap:
    """Maps the skeleton to SMPL's, all in body axes and metres."""
    leg = _leg_length(rest, found)
    points = {role: tree.names[joint] for role, joint in found.items() if role.split("_")[-1] in _POINTS}
    for end, start in (("foot", "ankle"), ("hand", "wrist")):
        for side in SIDES:  # a direction needs a length
            if f"{side}_{end}" in points:
                bone = rest[found[f"{side}_{end}"]] - rest[found[f"{side}_{start}"]]
                if np.linalg.norm(bone) < 0.02 * leg:
                    del points[f"{side}_{end}"]
    hinges: dict[str, np.ndarray] = {}
    starts: dict[str, np.ndarray] = {}
    forwards = 0
    soles = _soles(found, rest, turned, placed, fps)
    for side, outward in zip(SIDES, (1.0, -1.0)):
        for start, middle, end, relaxed in (
            ("shoulder", "elbow", "wrist", np.array([outward, 0.0, 0.0])),
            ("hip", "knee", "ankle", np.array([0.0, -1.0, 0.0])),
        ):
            top, *_ = chain = [found[f"{side}_{part}"] for part in (start, middle, end)]
            hinge = _observed_hinge(
                turned[:, _carrier(tree, found, side, start)], *(placed[:, joint] for joint in chain)
            )
            usual = swings(relaxed, rest[chain[1]] - rest[top]).apply(BODY_HINGES[f"{side}_{middle}"])
            if hinge is not None and hinge @ usual > 0:
                hinges[f"{side}_{middle}"] = hinge
            forwards += middle == "knee" and hinge is not None and hinge @ usual < -_AGREE
        # Palms face down if the arms are held out, and rotate with them otherwise.
        forearm = rest[found[f"{side}_wrist"]] - rest[found[f"{side}_elbow"]]
        palm = swings(np.array([outward, 0.0, 0.0]), forearm).as_matrix()
        starts |= {f"{side}_wrist": palm, f"{side}_hand": palm}
        starts |= {f"{side}_ankle": soles[side], f"{side}_foot": soles[side]}
    if forwards == 2 and not any(f"{side}_foot" in points for side in SIDES):  # no toes to show the heading
        raise ValueError("bends its knees forwards")
    return JointMap(_drivers(tree, found, rest, leg), points, hinges, starts)


def _leg_length(rest: np.ndarray, found: dict[str, int]) -> float:
    """Mean length of thigh and shin of both legs."""
    chains = [[rest[found[f"{side}_{part}"]] for part in ("hip", "knee", "ankle")] for side in SIDES]
    return float(np.linalg.norm(np.diff(chains, axis=1), axis=2).sum() / 2)


def capture_humanoid(
    path: Path, names: Sequence[str], parents: np.ndarray, rotations: np.ndarray, positions: np.ndarray, fps: float,
    drawn: np.ndarray, rests: Sequence[RestPose] | None, overrides: dict[str, str], scale: float | None = None,
    up: str | None = None, skip: int | None = None, name: str = "", subject: str = "",
) -> SkeletonMotion:  # fmt: skip
    """Converts a skeleton in motion from a file's axes and unit to body axes and metres, and identifies its joints.

    Args:
        path: The file, for errors.
        names: Joint names.
        parents: Parent index, -1 for the root, shape (J,).
        rotations: Global rotations, shape (T, J, 3, 3).
        positions: Joint positions, shape (T, J, 3).
        fps: Frames per second.
        drawn: Joint positions in the pose of the file's offsets, shape (J, 3).
        rests: The rest pose, or several candidates, of which the first with a standing person is used; ``None``: the
            drawn pose or the first frame likewise, else the most upright of all frames.
        overrides: SMPL joint -> joint name.
        scale: Metres per unit; ``None`` infers it.
        up: The world's upward axis; ``None``: that of the drawn pose if a person stands in it, else y, unless the
            motion clearly has another.
        skip: Number of leading frames to skip; ``None`` infers it.
        name: Clip name.
        subject: The captured person.

    Raises:
        FileFormatError: The skeleton is not human, or cannot be interpreted.
    """
    try:
        found = find_joints(names, parents, overrides)
    except ValueError as error:
        raise FileFormatError(path, f"{error}", hint="set source.joints=dict(left_hip='...', ...)") from error
    if skip is None:
        skip = _leading_poses(rotations[:, sorted(set(found.values()))])
    if skip >= len(rotations):
        raise FileFormatError(path, f"has {len(rotations)} frames, and skip={skip} leaves none")
    tree = _Tree(names, parents)
    skipped, rotations, positions = (rotations[:skip], positions[:skip]), rotations[skip:], positions[skip:]
    leg = _leg_length(drawn if rests is None else rests[0].positions, found)
    if not leg > 1e-9:
        raise FileFormatError(path, "has legs of zero length")
    ankles = positions[:, [found["left_ankle"], found["right_ankle"]]].mean(axis=1)
    heads = positions[:, found.get("head", found["spine_3"])]
    drawn_up = _drawn_up(drawn, found)
    if up is None:
        usual = drawn_up if _stands(drawn, found, drawn_up) else signed_axis("y")
        convention = next(axis for axis in AXES if (signed_axis(axis) == usual).all())
        up = infer_up(path, positions, heads, ankles, leg, fps, convention)
    world_up = signed_axis(up)
    if rests is None:
        best = int(_uprightness(positions, found, world_up).argmax())
        rests = [RestPose(drawn, np.broadcast_to(np.eye(3), rotations.shape[1:]), drawn=True)]
        rests += [RestPose(place, turn, drawn=False) for turn, place in zip(*skipped)]  # prepended for this purpose
        rests += [RestPose(positions[frame], rotations[frame], drawn=False) for frame in (0, best)]
    ups = [drawn_up if pose.drawn else world_up for pose in rests]
    standing = [pose for pose in zip(rests, ups) if len(rests) == 1 or _stands(pose[0].positions, found, pose[1])]
    if not standing:
        raise FileFormatError(
            path, f"nobody stands upright in its rest pose or in any frame, with {up} up",
            hint="set source.rest to a frame's number or to a BVH file whose first frame is a T-pose, or source.up",
        )  # fmt: skip
    rest, rest_up = standing[0]
    try:
        to_body = _body_axes(rest.positions, found, rest_up, rest.drawn)
    except ValueError as error:
        raise FileFormatError(path, f"{error}") from error
    to_world = to_body if rest_up @ world_up > 0.999 else _upright(world_up)

    metres = infer_scale(leg) if scale is None else scale
    turned = to_world @ rotations @ (to_body @ rest.rotations).transpose(0, 2, 1)
    placed = metres * positions @ to_world.T
    points = metres * (rest.positions - rest.positions[parents == -1][0]) @ to_body.T
    toes = [points[found[f"{s}_foot"]] - points[found[f"{s}_ankle"]] for s in SIDES if f"{s}_foot" in found]
    if toes and max(toe[2] for toe in toes) < 0:
        raise FileFormatError(path, "its toes point backwards in the rest pose", hint=_MIRRORED)
    _add_hands(tree, found, points)
    try:
        joint_map = _joint_map(tree, found, points, turned, placed, fps)
    except ValueError as error:
        raise FileFormatError(path, f"{error}", hint=_MIRRORED) from error
    return SkeletonMotion(Skeleton(tuple(names), parents, points), turned, placed, fps, joint_map, name, subject)


def _drawn_up(rest: np.ndarray, found: dict[str, int]) -> np.ndarray:
    """The signed axis along which the trunk of a drawn pose stands."""
    return _nearest_axis(sum(rest[found[f"{side}_shoulder"]] - rest[found[f"{side}_hip"]] for side in SIDES))


def _upright(up: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that takes a direction to the body's up (y)."""
    if up[1] < -0.999:
        return np.diag([1.0, -1.0, -1.0])
    return swings(up, np.array([0.0, 1.0, 0.0])).as_matrix()
