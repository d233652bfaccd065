"""Motions specified by key poses and their times, without any capture.

A pose is a dict of body parts, each with anatomical movements and their angles in degrees:

    dict(hips=dict(flex=110, abduct=18), knees=dict(flex=120), spine=dict(flex=15), right_elbow=dict(flex=30))

All zeros is the anatomical position: upright, feet side by side, arms hanging with the palms towards the thighs.
Plurals (``hips``) mean both sides. :data:`MOVEMENTS` lists all parts and movements; any SMPL joint also takes
``axis_angle=(x, y, z)``, an additional rotation in its T-pose axes. Between key poses each angle follows a monotone
cubic (Fritsch and Carlson, "Monotone piecewise cubic interpolation", 1980): a pose given twice is held, and nothing
overshoots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

from mviper.errors import ConfigError
from mviper.motion.contact import (
    bend_toes,
    body_points,
    forward_kinematics,
    lowest,
    posed_points,
)
from mviper.motion.interpolation import grounded
from mviper.motion.retarget import BODY_HINGES
from mviper.motion.rotations import Y_UP_TO_Z_UP, arctan2, swings
from mviper.motion.sources.base import LONGEST, Clip, MotionSource, check_fps
from mviper.motion.target import TargetBody
from mviper.motion.transforms import heading
from mviper.registry import MOTION_SOURCES
from mviper.structures import SMPL_JOINTS, Motion

_X, _Y, _Z = np.eye(3)

#: Axes of simple movements by part, for the left side and SMPL's axes (x left, y up, z forward) in the T-pose; a joint
#: rotates about them in this order, the last one first. For the shoulder see :func:`_shoulder`.
_AXES = {
    "pelvis": dict(turn=_Y, flex=_X, bend=-_Z),  # as a whole: to the left, forwards, sideways to the left
    "spine": dict(turn=_Y, flex=_X, bend=-_Z),
    "neck": dict(turn=_Y, flex=_X, bend=-_Z),
    "hip": dict(flex=-_X, abduct=_Z, rotate=_Y),  # knee forwards, outwards, toes outwards
    "knee": dict(flex=_X),
    "ankle": dict(flex=-_X),  # toes up
    "foot": dict(flex=-_X),  # the toes alone
    "collar": dict(forward=-_Y, raise_=_Z),
    "elbow": dict(flex=-_Y),
    "wrist": dict(flex=-_Z),  # towards the palm
}

#: Parts of several joints, which share the angle evenly.
_SHARED = {"spine": ("spine_1", "spine_2", "spine_3"), "neck": ("neck", "head")}

_SIDED = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_PLURALS = {"feet" if part == "foot" else f"{part}s": part for part in _SIDED}

#: Parts and their movements. A shoulder is specified by the arm's direction: ``elevate`` from hanging (0) over level
#: (90) to overhead (180), in the ``plane`` from sideways (0) to straight ahead (90), and its inward rotation,
#: ``rotate``.
MOVEMENTS: dict[str, tuple[str, ...]] = {
    part: ("elevate", "plane", "rotate") if part == "shoulder" else tuple(name.rstrip("_") for name in _AXES[part])
    for part in (*_AXES, "shoulder")
}

#: Named poses for use in sequences.
POSES = {
    "stand": dict(shoulders=dict(elevate=16, plane=10), elbows=dict(flex=12), hips=dict(abduct=4)),
    "stand_wide": dict(
        shoulders=dict(elevate=16, plane=10), elbows=dict(flex=12), hips=dict(abduct=11, rotate=15),
        knees=dict(flex=4),
    ),
    "squat": dict(
        pelvis=dict(flex=30), spine=dict(flex=14), neck=dict(flex=-25),
        hips=dict(flex=112, abduct=12, rotate=14), knees=dict(flex=118),
        shoulders=dict(elevate=118, plane=84), elbows=dict(flex=12),
    ),
    "half_seated": dict(
        pelvis=dict(flex=32), spine=dict(flex=15), neck=dict(flex=-25), hips=dict(flex=85, abduct=4),
        knees=dict(flex=75), shoulders=dict(elevate=28, plane=60), elbows=dict(flex=25),
    ),
    "seated": dict(
        hips=dict(flex=82, abduct=4), knees=dict(flex=88), spine=dict(flex=6),
        shoulders=dict(elevate=32, plane=72), elbows=dict(flex=45),
    ),
    "arms_out": dict(shoulders=dict(elevate=50, plane=5), elbows=dict(flex=8), hips=dict(abduct=4)),
    "arms_down": dict(shoulders=dict(elevate=9, plane=0), elbows=dict(flex=3), hips=dict(abduct=4)),
    "arms_overhead": dict(
        collars={"raise": 18}, shoulders=dict(elevate=152, plane=25), elbows=dict(flex=6), hips=dict(abduct=4)
    ),
}  # fmt: skip

#: The built-in sequences: seconds and pose; a list of poses is merged, the last one taking priority.
SEQUENCES: dict[str, list] = {
    "squat": [(0.0, "stand_wide"), (1.2, "squat"), (1.5, "squat"), (2.6, "stand_wide")],
    "sit": [(0.0, "stand"), (0.8, "half_seated"), (1.5, "seated"), (2.0, ["seated", dict(spine=dict(turn=15))])],
    "arms_down": [
        (0.0, "arms_out"), (0.7, "arms_down"), (1.2, ["arms_down", dict(spine=dict(turn=25), neck=dict(turn=15))]),
        (1.7, ["arms_down", dict(spine=dict(turn=-25), neck=dict(turn=-15))]), (2.2, "arms_down"),
    ],
    "arms_overhead": [
        (0.0, "stand"), (0.9, "arms_overhead"), (1.3, ["arms_overhead", dict(spine=dict(bend=16))]),
        (1.8, ["arms_overhead", dict(spine=dict(bend=-16))]), (2.4, "arms_overhead"),
    ],
}  # fmt: skip


@dataclass(frozen=True)
class KeyPoseSequence:
    """Key poses over time.

    Attributes:
        times: Increasing, from 0 [s], shape (K,).
        angles: Degrees by (SMPL joint or part with its side, movement), shape (K,) each.
        feet: ``"planted"``: both soles stay flat at their place in the first key pose; ``"free"``: the lowest part is
            on the floor and supports the body.
    """

    times: np.ndarray
    angles: dict[tuple[str, str], np.ndarray]
    feet: str


def parse_sequence(name: str, keys: Sequence | Mapping, poses: Mapping[str, Mapping] | None = None) -> KeyPoseSequence:
    """Parses a sequence from a config.

    Args:
        name: For errors.
        keys: ``[(seconds, pose), ...]``, a pose being a dict, a name, or a list of these to merge; or
            ``dict(keys=[...], feet="planted" or "free")``.
        poses: Poses by name, in addition to :data:`POSES`.

    Raises:
        ConfigError: Names sequence, key, part and movement, and the valid choices.
    """
    poses = {**POSES, **(poses or {})}
    feet = "planted"
    if isinstance(keys, Mapping):
        unknown = set(keys) - {"keys", "feet"}
        feet, keys = keys.get("feet", feet), keys.get("keys", ())
        if unknown or feet not in ("planted", "free"):
            raise ConfigError(
                f"key poses {name!r}: expected dict(keys=[(seconds, pose), ...], feet='planted' or 'free'), got "
                f"{', '.join(sorted(unknown)) or f'feet={feet!r}'}"
            )
    try:
        times = np.array([float(second) for second, _ in keys])
    except (TypeError, ValueError):
        raise ConfigError(f"key poses {name!r}: expected a list of (seconds, pose), got {keys!r}") from None
    if len(times) < 2 or times[0] != 0 or not (np.diff(times) > 0).all():
        raise ConfigError(
            f"key poses {name!r}: expected at least two increasing times that start at 0, got {times.tolist()}"
        )
    parsed = [_parse_pose(f"key poses {name!r}, key {number}", pose, poses) for number, (_, pose) in enumerate(keys)]
    movements = sorted({movement for pose in parsed for movement in pose})
    angles = {movement: np.array([pose.get(movement, 0.0) for pose in parsed]) for movement in movements}
    return KeyPoseSequence(times, angles, feet)


def _parse_pose(place: str, pose: object, poses: Mapping[str, Mapping]) -> dict[tuple[str, str], float]:
    """Degrees by (joint or part with its side, movement)."""
    found: dict[tuple[str, str], float] = {}
    if isinstance(pose, list | tuple):
        for layer in pose:
            found |= _parse_pose(place, layer, poses)
        return found
    if isinstance(pose, str):
        if pose not in poses:
            raise ConfigError(f"{place}: no pose {pose!r}; there are {', '.join(poses)}")
        pose = poses[pose]
    if not isinstance(pose, Mapping):
        raise ConfigError(f"{place}: expected a pose's name, a dict of parts or a list of those, got {pose!r}")
    for part, movements in pose.items():
        kind = _PLURALS.get(part, part.removeprefix("left_").removeprefix("right_"))
        joints = [f"left_{kind}", f"right_{kind}"] if part in _PLURALS else [part]
        known = set(SMPL_JOINTS) | set(_SHARED)
        if not set(joints) <= known:
            raise ConfigError(f"{place}: no part {part!r}; there are {', '.join([*_PLURALS, *sorted(known)])}")
        if not isinstance(movements, Mapping):
            raise ConfigError(f"{place}: {part} needs a dict of movements and degrees, got {movements!r}")
        for movement, degrees in movements.items():
            possible = (*MOVEMENTS.get(kind, ()), *(("axis_angle",) if set(joints) <= set(SMPL_JOINTS) else ()))
            if movement not in possible:
                raise ConfigError(f"{place}: {part} cannot {movement!r}; it can {', '.join(possible)}")
            try:
                values = np.array(degrees, float)
            except (TypeError, ValueError):
                values = np.array(np.nan)
            if values.shape != ((3,) if movement == "axis_angle" else ()) or not (np.abs(values) <= 360).all():
                wanted = "three numbers" if movement == "axis_angle" else "a number"
                raise ConfigError(f"{place}: {part}.{movement} must be {wanted} of degrees, got {degrees!r}")
            for joint in joints:
                for axis, value in enumerate(np.atleast_1d(values)):
                    found[joint, f"{movement}_{axis}" if movement == "axis_angle" else movement] = float(value)
    return found


def _shoulder(elevate: np.ndarray, plane: np.ndarray, rotate: np.ndarray) -> Rotation:
    """The left shoulder's rotation: from the T-pose to hanging, twisted about the arm, then raised in a plane.

    Angles (T,) [rad]. In this order, a hanging arm does not depend on the plane, and an arm raised forwards keeps its
    palm inwards.
    """
    across = np.stack([-np.sin(plane), np.zeros_like(plane), np.cos(plane)], axis=1)
    hanging = Rotation.from_rotvec(-0.5 * np.pi * _Z)
    return Rotation.from_rotvec(elevate[:, None] * across) * hanging * Rotation.from_rotvec(rotate[:, None] * _X)


def body_poses(angles: Mapping[tuple[str, str], np.ndarray]) -> np.ndarray:
    """Converts anatomical angles to SMPL poses.

    Args:
        angles: Degrees over time by (joint or part with its side, movement), shape (T,) each; at least one.

    Returns:
        Axis-angle, the root in body axes (y up) [rad], shape (T, 24, 3).
    """
    frames = len(next(iter(angles.values())))

    def angle(part: str, movement: str) -> np.ndarray:
        return np.radians(angles.get((part, movement), np.zeros(frames)))

    poses = np.zeros((frames, 24, 3))
    for part in ("pelvis", *_SHARED, *(f"{side}_{part}" for side in ("left", "right") for part in _SIDED)):
        kind = part.removeprefix("left_").removeprefix("right_")
        joints = _SHARED.get(part, (part,))
        if kind == "shoulder":
            turned = _shoulder(*(angle(part, movement) for movement in MOVEMENTS["shoulder"]))
        else:
            turned = Rotation.identity(frames)
            for movement, axis in _AXES[kind].items():
                share = angle(part, movement.rstrip("_")) / len(joints)
                turned = turned * Rotation.from_rotvec(share[:, None] * axis)
        rotvec = turned.as_rotvec() * ([1, -1, -1] if part.startswith("right_") else 1)
        for joint in joints:
            poses[:, SMPL_JOINTS.index(joint)] = rotvec
    for number, joint in enumerate(SMPL_JOINTS):
        further = np.stack([angle(joint, f"axis_angle_{axis}") for axis in range(3)], axis=1)
        if further.any():
            poses[:, number] = (Rotation.from_rotvec(poses[:, number]) * Rotation.from_rotvec(further)).as_rotvec()
    return poses


def plant_feet(poses: np.ndarray, rest_joints: np.ndarray, soles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keeps both soles flat on the floor at their place in the first frame, by bending knees and rotating legs.

    Each leg is a two-bone chain whose bend follows from the distance between hip and ankle; the knee's bending plane is
    kept.

    Args:
        poses: Axis-angle in the world (z up) [rad], shape (T, 24, 3).
        rest_joints: SMPL's axes [m], shape (24, 3).
        soles: Points under the feet in the T-pose, shape (2, P, 3).

    Returns:
        Poses with adjusted legs (T, 24, 3), and translations (T, 3) [m].
    """
    poses = poses.copy()
    transl = np.zeros((len(poses), 3))
    joints, rotations = forward_kinematics(poses, transl, rest_joints)
    targets = {}
    for index, side in enumerate(("left", "right")):
        ankle = SMPL_JOINTS.index(f"{side}_ankle")
        targets[side] = joints[0, ankle].copy()
        targets[side][2] = rest_joints[ankle, 1] - soles[index, :, 1].min()
    ankles = [SMPL_JOINTS.index(f"{side}_ankle") for side in targets]
    transl += np.mean(list(targets.values()), axis=0) - joints[:, ankles].mean(axis=1)
    joints += transl[:, None]
    for side, target in targets.items():
        hip, knee, ankle = (SMPL_JOINTS.index(f"{side}_{joint}") for joint in ("hip", "knee", "ankle"))
        thigh, shin = joints[:, knee] - joints[:, hip], joints[:, ankle] - joints[:, knee]
        lengths = np.linalg.norm(thigh[0]), np.linalg.norm(shin[0])
        distance = np.linalg.norm(target - joints[:, hip], axis=1).clip(None, 0.9999 * sum(lengths))
        cosine = (distance**2 - lengths[0] ** 2 - lengths[1] ** 2) / (2 * lengths[0] * lengths[1])
        hinge = rotations[:, hip] @ BODY_HINGES[f"{side}_knee"]
        across = np.cross(thigh, shin)
        sine = np.linalg.norm(across, axis=1)
        bent = arctan2(sine, (thigh * shin).sum(axis=1))
        axis = np.where((sine > 1e-3 * lengths[0] * lengths[1])[:, None], across, hinge)
        axis = axis / np.linalg.norm(axis, axis=1, keepdims=True)
        bend = Rotation.from_rotvec((np.arccos(cosine.clip(-1, 1)) - bent)[:, None] * axis)
        turn = swings(thigh + bend.apply(shin), target - joints[:, hip])
        upper = turn * Rotation.from_matrix(rotations[:, hip])
        lower = turn * bend * Rotation.from_matrix(rotations[:, knee])
        facing = heading(Rotation.from_matrix(rotations[:1, ankle]).as_rotvec())[0]
        sole = Rotation.from_euler("z", facing) * Y_UP_TO_Z_UP
        poses[:, hip] = (Rotation.from_matrix(rotations[:, 0]).inv() * upper).as_rotvec()
        poses[:, knee] = (upper.inv() * lower).as_rotvec()
        poses[:, ankle] = (lower.inv() * sole).as_rotvec()
    points = body_points(rest_joints, soles)
    transl[:, 2] -= lowest(posed_points(poses, transl, rest_joints, points))
    return poses, transl


@MOTION_SOURCES.register_module()
class KeyPoseMotion(MotionSource):
    """Motions from key poses, for any body: squats, sitting down, stretching, or anything that a config specifies.

    Args:
        names: Sequences to keep, or glob patterns; ``None`` for all.
        sequences: Further sequences by name, see :func:`parse_sequence`; they override built-in ones of the same name.
        poses: Further poses by name, see :func:`parse_sequence`.
        pace: Speed factor.
        fps: Frame rate of the motions.

    Raises:
        ConfigError: A sequence or pose is invalid.
    """

    how_to_get = "set source.sequences to your own sequences"

    def __init__(
        self,
        names: str | Sequence[str] | None = None,
        sequences: Mapping[str, Sequence | Mapping] | None = None,
        poses: Mapping[str, Mapping] | None = None,
        pace: float = 1.0,
        fps: float = 60.0,
    ) -> None:
        check_fps(self, fps)
        if not pace > 0:
            raise ConfigError(f"{type(self).__name__} needs pace > 0; got {pace=}")
        super().__init__("", names)
        written = {**SEQUENCES, **(sequences or {})}
        self.sequences = {name: parse_sequence(name, keys, poses) for name, keys in written.items()}
        longest = max(self.sequences, key=lambda name: self.sequences[name].times[-1])
        if self.sequences[longest].times[-1] / pace > LONGEST:
            raise ConfigError(f"key poses {longest!r}: last longer than {LONGEST:.0f} s at {pace=}")
        self.pace, self.fps = pace, fps

    def clips(self) -> Iterator[Clip]:
        """The sequences; see :meth:`MotionSource.clips`."""
        return self._matching_clips()

    def find_clips(self) -> Iterator[Clip]:
        """Every sequence, built-in ones first; each is its own subject."""
        for name in self.sequences:
            yield Clip(name, name, Path(name))

    def read(self, clip: Clip) -> Motion:
        """Not available: the motion was not captured."""
        raise TypeError(f"{clip.name} was not captured; use fit or load")

    def duration(self, clip: Clip) -> float:
        """A sequence's duration [s]."""
        return float(self.sequences[clip.name].times[-1] / self.pace)

    def fit(self, clip: Clip, target: TargetBody) -> tuple[Motion, None]:
        """Moves a body through a sequence; see :meth:`MotionSource.fit`."""
        rest_joints, soles = target.rest_joints, target.soles
        sequence = self.sequences[clip.name]
        frames = max(2, round(self.duration(clip) * self.fps) + 1)
        times = np.linspace(0.0, sequence.times[-1], frames)
        angles = {
            movement: PchipInterpolator(sequence.times, values)(times) for movement, values in sequence.angles.items()
        }
        poses = body_poses(angles or {("pelvis", "flex"): np.zeros(frames)})
        poses[:, 0] = (Y_UP_TO_Z_UP * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
        if sequence.feet == "planted":
            poses, transl = plant_feet(poses, rest_joints, soles)
        else:
            transl = grounded(poses, rest_joints, soles)
            poses = bend_toes(poses, transl, rest_joints, soles)
        return Motion(poses, transl, target.betas, self.fps, target.body_model, clip.name, clip.subject), None
