"""DeepMimic's ``humanoid3d_*.txt`` (Peng et al., 2018): captured clips on a humanoid of 15 joints.

A file is JSON: ``Loop`` and ``Frames``, each frame 44 numbers: its duration [s], the root's position, then rotations
as quaternions (w, x, y, z) of root, chest, neck and, right side first, hip, knee (one angle), ankle, shoulder, elbow
(one angle). The humanoid faces +x with y up and its right along +z; in its rest pose the arms hang down.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.errors import ConfigError, FileFormatError
from mviper.extras import import_extra
from mviper.files import read_text
from mviper.motion.rotations import resample_rotations
from mviper.motion.skeleton import JointMap, Skeleton, SkeletonMotion
from mviper.motion.sources.base import LONGEST, RATES, Clip, MotionSource, check_fps
from mviper.registry import MOTION_SOURCES

#: From DeepMimic's axes (x forward, y up, z right) to body axes (z forward, y up, x left).
_TO_BODY = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])

#: Joint, parent, offset from the parent in DeepMimic's axes [m], as its humanoid3d character has it. The toe (end of
#: the foot's box) is added to give the feet a direction.
_JOINTS = (
    ("root", None, (0.0, 0.0, 0.0)),
    ("chest", "root", (0.0, 0.236151, 0.0)),
    ("neck", "chest", (0.0, 0.223894, 0.0)),
    ("head_end", "neck", (0.0, 0.2125, 0.0)),
    ("right_hip", "root", (0.0, 0.0, 0.084887)),
    ("right_knee", "right_hip", (0.0, -0.421546, 0.0)),
    ("right_ankle", "right_knee", (0.0, -0.409870, 0.0)),
    ("right_toe", "right_ankle", (0.1335, 0.0, 0.0)),
    ("right_shoulder", "chest", (-0.024050, 0.243500, 0.183110)),
    ("right_elbow", "right_shoulder", (0.0, -0.274788, 0.0)),
    ("right_wrist", "right_elbow", (0.0, -0.258947, 0.0)),
    ("left_hip", "root", (0.0, 0.0, -0.084887)),
    ("left_knee", "left_hip", (0.0, -0.421546, 0.0)),
    ("left_ankle", "left_knee", (0.0, -0.409870, 0.0)),
    ("left_toe", "left_ankle", (0.1335, 0.0, 0.0)),
    ("left_shoulder", "chest", (-0.024050, 0.243500, -0.183110)),
    ("left_elbow", "left_shoulder", (0.0, -0.274788, 0.0)),
    ("left_wrist", "left_elbow", (0.0, -0.258947, 0.0)),
)

#: First column of each joint's rotation in a frame; elbows and knees are one angle about DeepMimic's z.
_COLUMNS = {
    "root": 4, "chest": 8, "neck": 12, "right_hip": 16, "right_knee": 20, "right_ankle": 21, "right_shoulder": 25,
    "right_elbow": 29, "left_hip": 30, "left_knee": 34, "left_ankle": 35, "left_shoulder": 39, "left_elbow": 43,
}  # fmt: skip
_FRAME_SIZE = 44

#: Maximum duration of a single frame [s].
_LONGEST_FRAME = 60.0

#: DeepMimic's chest joint is spread over SMPL's three spine joints, its neck over neck and head. Wrists are fixed.
JOINT_MAP = JointMap(
    rotations={
        "pelvis": "root", "spine_1": ("root", "chest", 1 / 3), "spine_2": ("root", "chest", 2 / 3), "spine_3": "chest",
        "neck": ("chest", "neck", 0.5), "head": "neck",
        **{f"{side}_{joint}": f"{side}_{joint}"
           for side in ("left", "right") for joint in ("hip", "knee", "ankle", "shoulder", "elbow")},
    },
    points={
        **{f"{side}_{joint}": f"{side}_{joint}"
           for side in ("left", "right") for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")},
    },
    hinges={
        **{f"{side}_knee": np.array([1.0, 0.0, 0.0]) for side in ("left", "right")},
        **{f"{side}_elbow": np.array([-1.0, 0.0, 0.0]) for side in ("left", "right")},
    },
)  # fmt: skip


def _skeleton() -> Skeleton:
    names = tuple(name for name, _, _ in _JOINTS)
    rest = np.zeros((len(names), 3))
    parents = np.array([names.index(parent) if parent else -1 for _, parent, _ in _JOINTS])
    for joint, (_, _, offset) in enumerate(_JOINTS):
        rest[joint] = (rest[parents[joint]] if joint else 0.0) + _TO_BODY @ np.array(offset)
    return Skeleton(names, parents, rest)


def read_deepmimic(path: str | Path) -> tuple[np.ndarray, bool]:
    """Reads a DeepMimic motion file.

    Args:
        path: The file.

    Returns:
        Its frames (T, 44) and whether it loops.

    Raises:
        FileFormatError: Not a DeepMimic file; names the line of a JSON error, or the bad frame.
    """
    path = Path(path)
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise FileFormatError(path, f"is not DeepMimic's JSON: {error.msg}", line=error.lineno) from error
    except (RecursionError, ValueError) as error:
        raise FileFormatError(path, f"is not DeepMimic's JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("Frames"), list):
        raise FileFormatError(path, "has no list 'Frames'")
    frames = content["Frames"]
    if len(frames) < 2:
        raise FileFormatError(path, f"has {len(frames)} frames, expected at least 2")
    for number, frame in enumerate(frames):
        if not isinstance(frame, list) or len(frame) != _FRAME_SIZE:
            size = len(frame) if isinstance(frame, list) else type(frame).__name__
            raise FileFormatError(path, f"frame {number}: expected {_FRAME_SIZE} numbers, got {size}")
        if not all(type(value) in (int, float) and abs(value) < 1e6 for value in frame):
            raise FileFormatError(path, f"frame {number}: holds something that is not a usable number")
    array = np.array(frames, np.float64)
    usable = (array[:-1, 0] >= 1 / RATES[1]) & (array[:-1, 0] <= _LONGEST_FRAME)
    if not usable.all():
        worst = int(np.argmin(usable))
        limits = f"{1 / RATES[1]:g} to {_LONGEST_FRAME:g} s"
        problem = f"frame {worst}: its duration must be {limits}, got {array[worst, 0]:g}"
        raise FileFormatError(path, problem)
    if array[:-1, 0].sum() > LONGEST:
        raise FileFormatError(path, f"lasts {array[:-1, 0].sum():.0f} s, expected at most {LONGEST:.0f} s")
    for joint, column in _COLUMNS.items():
        if not joint.endswith(("knee", "elbow")):
            norm = np.linalg.norm(array[:, column : column + 4], axis=1)
            # The published files round and interpolate quaternions (norms from 0.58 to 1.12 occur); a norm of 0 is
            # invalid.
            if (np.abs(norm - 1) > 0.5).any():
                worst = int(np.argmax(np.abs(norm - 1)))
                problem = f"frame {worst}: {joint}'s quaternion has norm {norm[worst]:.3g}, expected 1"
                raise FileFormatError(path, problem)
    return array, content.get("Loop") == "wrap"


def _local_rotations(frames: np.ndarray) -> dict[str, Rotation]:
    to_body = Rotation.from_matrix(_TO_BODY)
    local = {}
    for joint, column in _COLUMNS.items():
        if joint.endswith(("knee", "elbow")):
            turn = Rotation.from_rotvec(frames[:, column, None] * np.array([0.0, 0.0, 1.0]))
        else:
            turn = Rotation.from_quat(frames[:, [column + 1, column + 2, column + 3, column]])
        local[joint] = to_body * turn * to_body.inv()
    return local


def _yaw(rotation: Rotation) -> float:
    """Rotation about the vertical (y) of the swing-twist decomposition [rad]."""
    _, y, _, w = rotation.as_quat()
    return 2 * np.arctan2(y, w)


def repeat(
    local: dict[str, Rotation], root: np.ndarray, cycles: int, blend: int
) -> tuple[dict[str, Rotation], np.ndarray]:
    """Repeats a looping clip; each cycle continues at the position and heading where the last one ended.

    Args:
        local: Joint rotations, T each; ``"root"`` is global. The last frame is the next occurrence of the first.
        root: Root positions, y up [m], shape (T, 3).
        cycles: Number of cycles.
        blend: Frames at the start of each cycle over which the difference between last and first frame fades out.

    Returns:
        Rotations and positions of ``cycles * (T - 1) + 1`` frames.
    """
    frames = len(root)
    blend = min(blend, frames)
    weight = np.zeros(frames)
    weight[:blend] = 1 - _smooth(np.arange(blend) / blend)
    # Difference between last and first frame, apart from heading and position.
    turn = Rotation.from_euler("y", _yaw(local["root"][-1] * local["root"][0].inv()))
    rotations = {name: [value.as_quat()[:1]] for name, value in local.items()}
    positions = [root[:1]]
    heading, place = Rotation.identity(), root[0]
    lift = root[-1, 1] - root[0, 1]
    for cycle in range(cycles):
        for name, value in local.items():
            if cycle:
                ending = turn.inv() * value[-1] if name == "root" else value[-1]
                residual = (ending * value[0].inv()).as_rotvec()
                value = Rotation.from_rotvec(weight[:, None] * residual) * value
            if name == "root":
                value = heading * value
            rotations[name].append(value.as_quat()[1:])
        path = heading.apply(root - root[0]) + place
        if cycle:
            path[:, 1] += weight * lift
        positions.append(path[1:])
        # The next cycle starts where this one ended, but at the clip's own height.
        place = np.array([path[-1, 0], root[0, 1], path[-1, 2]])
        heading = heading * turn
    return {name: Rotation.from_quat(np.concatenate(parts)) for name, parts in rotations.items()}, np.concatenate(
        positions
    )


def _smooth(x: np.ndarray) -> np.ndarray:
    return x * x * (3 - 2 * x)


@MOTION_SOURCES.register_module()
class DeepMimicMotion(MotionSource):
    """DeepMimic's clips; by default those in the ``pybullet`` wheel (zlib licence).

    Args:
        root: Folder with ``humanoid3d_*.txt``; ``None`` for the wheel's.
        names: Clip names without ``humanoid3d_``, or glob patterns; ``None`` for all.
        cycles: Number of repetitions of a looping clip, including its travel.
        min_seconds: Looping clips are repeated further to at least this duration. Clips that do not loop (getting up,
            punch, kick) are unchanged.
        fps: Frame rate to which clips are resampled (their frames last a varying 1/60 to 1/16 s).
        blend_seconds: Time over which the difference between a cycle's end and start fades out.
        index: See :class:`MotionSource`, as ``actions`` and ``seconds``.
        actions: Filter by the index's descriptions.
        seconds: Shortest and longest duration, over all cycles.
    """

    how_to_get = "pip install pybullet provides such clips; or set source.root to a folder with humanoid3d_*.txt"

    def __init__(
        self,
        root: str | Path | None = None,
        names: str | Sequence[str] | None = None,
        cycles: int = 1,
        min_seconds: float = 0.0,
        fps: float = 60.0,
        blend_seconds: float = 0.25,
        index: str | Path | None = None,
        actions: str | Sequence[str] | None = None,
        seconds: tuple[float | None, float | None] | None = None,
    ) -> None:
        if root is None:
            root = Path(import_extra("pybullet_data").__path__[0]) / "data" / "motions"
        super().__init__(root, names, index, actions, seconds)
        check_fps(self, fps)
        if not (1 <= cycles <= 10_000 and 0 <= min_seconds <= LONGEST and 0 <= blend_seconds <= LONGEST):
            raise ConfigError(
                f"DeepMimicMotion needs cycles of 1 to 10000, min_seconds and blend_seconds of 0 to {LONGEST:.0f}; got "
                f"{cycles=}, {min_seconds=}, {blend_seconds=}"
            )
        self.cycles, self.min_seconds, self.fps, self.blend_seconds = cycles, min_seconds, fps, blend_seconds

    def find_clips(self) -> Iterator[Clip]:
        """Every ``humanoid3d_*.txt`` under ``root``. DeepMimic does not name subjects: each clip is its own."""
        for path in self.walk(".txt"):
            if path.name.startswith("humanoid3d_"):
                name = path.stem.removeprefix("humanoid3d_")
                yield Clip(name, name, path)

    def read(self, clip: Clip) -> SkeletonMotion:
        """Reads one clip; see :meth:`MotionSource.read`."""
        frames, loops = read_deepmimic(clip.path)
        times = np.concatenate([[0.0], np.cumsum(frames[:-1, 0])])
        local = _local_rotations(frames)
        # A loop's seam must fall on a frame, so the last sample is the clip's end (at most half a frame off).
        sampled = np.linspace(0.0, times[-1], max(2, round(times[-1] * self.fps) + 1))
        local = {name: resample_rotations(value, times, sampled) for name, value in local.items()}
        root = np.stack([np.interp(sampled, times, column) for column in frames[:, 1:4].T], axis=1) @ _TO_BODY.T
        if loops:
            cycles = max(self.cycles, int(np.ceil(self.min_seconds / times[-1] - 1e-6)))
            if cycles * times[-1] > LONGEST:
                raise ConfigError(
                    f"{clip.path}: {cycles} cycles last {cycles * times[-1]:.0f} s, at most {LONGEST:.0f}"
                )
            local, root = repeat(local, root, cycles, blend=max(1, round(self.blend_seconds * self.fps)))
        skeleton = _skeleton()
        turned: list[Rotation] = []
        for name, parent in zip(skeleton.names, skeleton.parents):
            own = local.get(name)
            if parent < 0:
                turned.append(own)
            else:
                turned.append(turned[parent] * own if own is not None else turned[parent])
        rotations = np.stack([value.as_matrix() for value in turned], axis=1)
        return SkeletonMotion(
            skeleton, rotations, skeleton.positions(rotations, root), self.fps, JOINT_MAP, clip.name, clip.subject
        )
