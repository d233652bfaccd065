"""Motions in SMPL parameters: AMASS, HumanData, plain ``.npz``, MVIPER's own.

SMPL, SMPL-H and SMPL-X share their first 22 joints (pelvis and body). Only these and SMPL's two hands are kept, as a
body in SMPL's format has no fingers, jaw or eyes. Poses transfer to any such body; betas belong to the body that they
were fitted with.
"""

from __future__ import annotations

import abc
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.body import same_body
from mviper.errors import FileFormatError
from mviper.files import load_npz
from mviper.motion.contact import (
    bend_toes,
    flesh_points,
    floor_height,
    foot_points,
    forward_kinematics,
    posed_points,
)
from mviper.motion.rotations import swings
from mviper.motion.skeleton import SkeletonMotion
from mviper.motion.sources.base import Clip, MotionSource, check_fps, check_timing
from mviper.motion.sources.text import LARGEST
from mviper.motion.sources.upward import infer_up, signed_axis
from mviper.motion.target import TargetBody
from mviper.registry import MOTION_SOURCES
from mviper.structures import SMPL_JOINTS, Motion, are_degrees, is_rotation

_LOGGER = logging.getLogger(__name__)

#: What the factory appends to the names of a person's files, of several.
_PERSON = re.compile(r"_p\d+$")

#: Body layouts of a row of ``poses`` by width: 3 numbers per joint, the first 22 joints being the same.
LAYOUTS = {66: "SMPL's body joints", 72: "SMPL", 156: "SMPL-H", 165: "SMPL-X"}
_BODY_JOINTS = 22

#: Keys for the frame rate: of AMASS' SMPL-H and SMPL-X releases, and others.
_FRAME_RATES = ("mocap_framerate", "mocap_frame_rate", "fps", "frame_rate")

_KEYS = (
    *("poses", "trans", "betas", "body_model", "name", "subject", *_FRAME_RATES),
    *("root_orient", "pose_body", "global_orient", "body_pose", "transl", "smpl", "smplx", "cam_param", "config"),
    *("image_path", "keypoints2d_mask"),
)

#: Default frame rate of HumanData and plain files, which often state none [1/s].
DEFAULT_FPS = 30.0

#: Maximum speed of a person [m/s].
_FASTEST = 20.0

#: Range of the change in stride length with another body's legs.
_STRIDES = (0.75, 1.33)


class _Fields:
    """The arrays of a file, with errors that name the array."""

    def __init__(self, path: Path, arrays: Mapping[str, Any]) -> None:
        self.path, self.arrays = path, arrays

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def fail(self, problem: str, hint: str = "") -> FileFormatError:
        return FileFormatError(self.path, problem, hint=hint)

    def numbers(self, key: str) -> np.ndarray:
        try:
            array = np.asarray(self.arrays[key])
            if array.dtype.kind == "c":
                raise self.fail(f"{key!r} holds complex numbers")
            array = array.astype(np.float64)
        except KeyError:
            raise self.fail(f"has no {key!r}; it has {', '.join(map(str, self.arrays)) or 'nothing'}") from None
        except (TypeError, ValueError) as error:
            raise self.fail(f"{key!r} does not hold numbers: {error}") from error
        if not (np.abs(array) < LARGEST).all():  # false for NaN too
            bad = np.argwhere(~(np.abs(array) < LARGEST))[0].tolist()
            raise self.fail(f"{key!r} holds {array[tuple(bad)]} at {bad}, which is not a usable number")
        return array

    def rows(self, key: str, widths: Sequence[int], frames: int | None = None) -> np.ndarray:
        """An array (T, ...) flattened to (T, one of the widths)."""
        array = self.numbers(key)
        shape = array.shape
        if array.ndim == 0 or len(array) == 0:
            raise self.fail(f"{key!r} holds no frames (shape {shape})")
        array = array.reshape(len(array), -1)
        if array.shape[1] not in widths:
            raise self.fail(f"{key!r} has shape {shape}, expected {' or '.join(map(str, widths))} numbers per frame")
        if frames is not None and len(array) != frames:
            raise self.fail(f"{key!r} has {len(array)} frames, but the poses have {frames}")
        return array

    def text(self, key: str) -> str:
        value = np.asarray(self.arrays.get(key, ""))
        return str(value.item()) if value.size == 1 and value.dtype.kind in "US" else ""

    def table(self, key: str) -> _Fields:
        """A dictionary stored as an array (HumanData's ``smpl``)."""
        value = self.arrays[key]
        value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
        if not isinstance(value, dict):
            raise self.fail(f"{key!r} is not a dictionary of arrays")
        return _Fields(self.path, value)


def _frame_rate(fields: _Fields, frames: int, given: float | None, default: float | None = None) -> float:
    """The given rate, else the file's, else the default."""
    rate = given
    for key in _FRAME_RATES if rate is None else ():
        if rate is None and key in fields:
            value = fields.numbers(key)
            if value.size != 1 or not value.item() > 0:
                raise fields.fail(f"{key!r} must be one number > 0, got {value.ravel()[:5].tolist()}")
            rate = float(value.item())
    rate = default if rate is None else rate
    if rate is None:
        raise fields.fail(f"has no frame rate: expected one of {', '.join(_FRAME_RATES)}", hint="or set source.fps")
    check_timing(fields.path, frames, rate)
    return rate


def _poses(fields: _Fields) -> np.ndarray:
    """Axis-angles (T, 24, 3) from any layout."""
    if "poses" in fields:
        rows = fields.rows("poses", list(LAYOUTS))
    else:
        root, body = ("root_orient", "pose_body") if "root_orient" in fields else ("global_orient", "body_pose")
        if root not in fields:
            raise fields.fail(
                f"has neither 'poses', 'root_orient', 'global_orient' nor 'smpl'; it has {', '.join(fields.arrays)}"
            )
        rows = fields.rows(root, [3])
        rows = np.concatenate([rows, fields.rows(body, [63, 69], len(rows))], axis=1)
    hands = rows.shape[1] == 72
    poses = np.zeros((len(rows), 24, 3))
    poses[:, : 24 if hands else _BODY_JOINTS] = rows.reshape(len(rows), -1, 3)[:, : 24 if hands else _BODY_JOINTS]
    return poses


def _check_units(fields: _Fields, poses: np.ndarray, transl: np.ndarray, fps: float) -> None:
    """Refuses degrees, centimetres and millimetres, recognised by full turns of limbs and by impossible speeds."""
    if are_degrees(poses[:, 1:]):
        raise fields.fail("turns a joint by more than 6.3 in half of its frames: expected radians, are these degrees?")
    speed = np.median(np.linalg.norm(np.diff(transl, axis=0), axis=1)) * fps if len(transl) > 1 else 0.0
    if speed > _FASTEST:
        raise fields.fail(
            f"moves by {speed:.3g} m/s in half of its frames: expected metres, is it another unit, or another rate "
            f"than {fps:g} frames a second?"
        )


def _betas(fields: _Fields) -> np.ndarray:
    """One shape for the clip: the mean if it is given per frame."""
    if "betas" not in fields:
        return np.zeros(10)
    betas = fields.numbers("betas")
    betas = betas.reshape(len(betas), -1).mean(axis=0) if betas.ndim > 1 and len(betas) else betas.ravel()
    if betas.size == 0:
        raise fields.fail("'betas' is empty")
    return betas


def read_amass(path: str | Path, fps: float | None = None, up: str | None = None) -> Motion:
    """Reads AMASS (Mahmood et al., 2019) or MVIPER's own motion, in a world with z up and with stated frame rate.

    Args:
        path: The ``.npz``: ``poses`` (T, 72 SMPL, 156 SMPL-H or 165 SMPL-X), or ``root_orient`` and ``pose_body``;
            ``trans`` (T, 3) [m]; ``mocap_framerate`` or ``mocap_frame_rate``; ``betas``.
        fps: Frame rate, overriding the file's [1/s].
        up: The upward axis; ``None``: z, as in AMASS, unless the motion clearly has another.

    Returns:
        The file's motion, rotated to z up if necessary, with the betas of the file's body; ``body_model`` is "" if the
        file does not name that body.

    Raises:
        FileFormatError: Something is missing, of the wrong shape or not finite; names the array and the place in it.
    """
    return _amass_motion(_Fields(Path(path), load_npz(path, _KEYS)), fps, up)


def _amass_motion(fields: _Fields, fps: float | None, up: str | None) -> Motion:
    poses = _poses(fields)
    transl = fields.rows("trans", [3], len(poses))
    rate = _frame_rate(fields, len(poses), fps)
    _check_units(fields, poses, transl, rate)
    if up is None:  # a file that names its body is MVIPER's, whose world is known
        up = "z" if fields.text("body_model") else _upward(fields.path, poses, transl, rate, firm=True)
    poses, transl = _turned(poses, transl, _to_z_up(up))
    return Motion(
        poses, transl, _betas(fields), rate, fields.text("body_model"), fields.text("name"), fields.text("subject"),
    )  # fmt: skip


def read_smpl(path: str | Path, fps: float | None = None, up: str | None = None) -> Motion:
    """Reads SMPL parameters from HumanData, plain ``.npz`` or anything that :func:`read_amass` reads.

    Args:
        path: The ``.npz``: HumanData with ``smpl`` or ``smplx``, or ``global_orient`` (T, 3), ``body_pose`` (T, 63 or
            69), ``transl`` (T, 3), ``betas``.
        fps: Frame rate, overriding the file's [1/s]; ``None``: the file's, or :data:`DEFAULT_FPS` if a file that is not
            AMASS' states none.
        up: The upward axis, overriding the file's camera; ``None``: the camera's, else AMASS' z unless the motion has
            another.

    Returns:
        The motion in a world with z up; its position relative to the floor is known only for AMASS' and MVIPER's files.

    Raises:
        FileFormatError: See :func:`read_amass`.
    """
    fields = _Fields(Path(path), load_npz(path, _KEYS))
    if "poses" in fields or "root_orient" in fields:
        return _amass_motion(fields, fps, up)
    model = next((key for key in ("smpl", "smplx") if key in fields), None)
    parameters = fields.table(model) if model else fields
    if "image_path" in fields:
        folders = {str(name).rpartition("/")[0] for name in np.ravel(fields.arrays["image_path"])}
        if len(folders) > 1:
            raise fields.fail(f"holds {len(folders)} sequences (folders in 'image_path'), expected one per file")
    poses = _poses(parameters)
    transl = parameters.rows("transl", [3], len(poses))
    rate = _frame_rate(fields, len(poses), fps, DEFAULT_FPS)
    _check_units(fields, poses, transl, rate)
    camera = fields.table("cam_param") if "cam_param" in fields else None
    if up is None and camera is not None and {"R", "t"} <= set(camera.arrays):
        rotation, shift = camera.numbers("R"), camera.numbers("t").ravel()
        if rotation.shape != (3, 3) or shift.shape != (3,):
            raise fields.fail(
                f"'cam_param' must hold one rotation R (3, 3) and t (3,), got {rotation.shape}, {shift.shape}"
            )
        if not is_rotation(rotation):
            raise fields.fail("'cam_param' has an R that is not a rotation: it scales, shears or mirrors")
        to_world, transl = rotation.T, transl - shift
    else:
        to_world = _to_z_up(up or _upward(fields.path, poses, transl, rate, firm=False))
    poses, transl = _turned(poses, transl, to_world)
    body_model = fields.text("config") if re.fullmatch(r".+:[0-9a-f]{64}", fields.text("config")) else ""
    return Motion(poses, transl, _betas(parameters), rate, body_model)


def _to_z_up(up: str) -> np.ndarray:
    """The rotation (3, 3) that takes an axis to z."""
    upward = signed_axis(up)
    return np.diag([1.0, -1.0, -1.0]) if upward[2] < 0 else swings(upward, np.array([0, 0, 1.0])).as_matrix()


def _turned(poses: np.ndarray, transl: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotates poses and positions to another world; leaves them bitwise unchanged for the identity."""
    if np.array_equal(turn, np.eye(3)):
        return poses, transl
    poses = poses.copy()
    poses[:, 0] = (Rotation.from_matrix(turn) * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
    return poses, transl @ turn.T


#: Joints of an average body in the T-pose [m], sufficient to infer the upward axis; the right side is mirrored.
_AVERAGE = {
    "pelvis": (0, 0, 0), "left_hip": (0.1, -0.05, 0), "left_knee": (0.1, -0.45, 0), "left_ankle": (0.1, -0.85, 0),
    "left_foot": (0.1, -0.9, 0.12), "spine_1": (0, 0.12, 0), "spine_2": (0, 0.25, 0), "spine_3": (0, 0.3, 0),
    "neck": (0, 0.52, 0), "head": (0, 0.6, 0), "left_collar": (0.07, 0.43, 0), "left_shoulder": (0.18, 0.45, 0),
    "left_elbow": (0.45, 0.45, 0), "left_wrist": (0.7, 0.45, 0), "left_hand": (0.79, 0.45, 0),
}  # fmt: skip


def _upward(path: Path, poses: np.ndarray, transl: np.ndarray, fps: float, firm: bool) -> str:
    """The upward axis: AMASS' z, unless the motion has another; see :func:`infer_up`."""
    rest = np.array([
        np.array(_AVERAGE[name.replace("right", "left")]) * ([-1, 1, 1] if name.startswith("right") else 1)
        for name in SMPL_JOINTS
    ])  # fmt: skip
    joints, _ = forward_kinematics(poses, transl, rest)
    ankles = joints[:, [SMPL_JOINTS.index("left_ankle"), SMPL_JOINTS.index("right_ankle")]].mean(axis=1)
    return infer_up(path, joints, joints[:, SMPL_JOINTS.index("head")], ankles, 0.8, fps, "z", firm)


def stride_scale(motion: Motion, rest_joints: np.ndarray) -> float:
    """Scale of a body's root motion, relative to the given motion, at which standing feet do not slide.

    Least squares over the frames in which a foot is low and slow: its velocity is the scaled velocity of the root plus
    its own relative to the root.

    Args:
        motion: A motion fitted to a body with different leg length.
        rest_joints: The new body's joints, SMPL's axes [m], shape (24, 3).

    Returns:
        The scale; 1 if the motion travels too little to estimate it.
    """
    if len(motion) < 2:
        return 1.0
    joints, _ = forward_kinematics(motion.poses, np.zeros_like(motion.transl), rest_joints)
    root = np.diff(motion.transl[:, :2], axis=0) * motion.fps
    along, square = 0.0, 0.0
    for name in ("left_ankle", "right_ankle", "left_foot", "right_foot"):
        foot = joints[:, SMPL_JOINTS.index(name)]
        own, height = np.diff(foot[:, :2], axis=0) * motion.fps, foot[1:, 2] + motion.transl[1:, 2]
        planted = (np.linalg.norm(own + root, axis=1) < 0.4) & (height < np.percentile(height, 10) + 0.05)
        along -= (root[planted] * own[planted]).sum()
        square += (root[planted] ** 2).sum()
    return float(np.clip(along / square, *_STRIDES)) if square > 10 * 0.2**2 else 1.0


def fit_to_body(motion: Motion, target: TargetBody) -> Motion:
    """Transfers a motion to another body.

    Args:
        motion: Motion of any body, z up.
        target: The new body.

    Returns:
        The same poses (with toes bent up where the floor requires it); root travel is scaled to the new legs, and feet
        are on the floor. The motion is unchanged if body and shape are the same.
    """
    if same_body(target.body_model, motion.body_model) and np.array_equal(motion.betas, target.betas):
        return motion
    rest_joints, soles = target.rest_joints, target.soles
    scale = stride_scale(motion, rest_joints)
    transl = scale * motion.transl
    feet = posed_points(motion.poses, transl, rest_joints, foot_points(rest_joints, soles)[::2])
    others = posed_points(motion.poses, transl, rest_joints, flesh_points(rest_joints))
    transl[:, 2] -= floor_height(feet, others, motion.fps, transl[:, :2])
    poses = bend_toes(motion.poses, transl, rest_joints, soles)
    return replace(motion, poses=poses, transl=transl, betas=target.betas, body_model=target.body_model)


class _SMPLFiles(MotionSource):
    """Base of both sources of SMPL parameters: keeps poses, drops another body's betas with one warning."""

    #: Frame rate of files that state none; ``None`` refuses them.
    default_fps: float | None = None

    def __init__(
        self, root: str | Path, names: str | Sequence[str] | None = None, fps: float | None = None,
        up: str | None = None, index: str | Path | None = None, actions: str | Sequence[str] | None = None,
        seconds: tuple[float | None, float | None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(root, names, index, actions, seconds)
        check_fps(self, fps)
        if up is not None:
            signed_axis(up)
        self.fps, self.up = fps, up

    _warned = False

    @abc.abstractmethod
    def read(self, clip: Clip) -> Motion:
        """Reads one clip's motion, of any body; see :meth:`MotionSource.read`."""

    def fit(self, clip: Clip, target: TargetBody) -> tuple[Motion, SkeletonMotion | None]:
        """Reads a clip and fits it to a body; see :meth:`MotionSource.fit` and :func:`fit_to_body`."""
        motion = self.read(clip)
        if not same_body(motion.body_model, target.body_model) and motion.betas.any() and not self._warned:
            self._warned = True
            _LOGGER.warning(
                "%s: its betas belong to %s, not to %s, and are dropped (so are other clips' of this source)",
                clip.path, motion.body_model or "a body that the file does not name", target.body_model,
            )  # fmt: skip
        return replace(fit_to_body(motion, target), name=clip.name, subject=clip.subject), None

    def duration(self, clip: Clip) -> float:
        """A clip's duration, from the short arrays only [s]."""
        fields = _Fields(clip.path, load_npz(clip.path, {"trans", "transl", *_FRAME_RATES}))
        place = next((key for key in ("trans", "transl") if key in fields), None)
        if place is None:
            return super().duration(clip)
        frames = len(np.atleast_2d(fields.numbers(place)))
        return frames / _frame_rate(fields, frames, self.fps, self.default_fps)


@MOTION_SOURCES.register_module()
class AMASSMotion(_SMPLFiles):
    """AMASS: SMPL, SMPL-H or SMPL-X parameters in ``.npz``, in AMASS' or any other folder structure.

    Clips are named after their files, without ``_poses`` or ``_stageii``; a clip's subject is its folder.

    Args:
        root: Folder with ``.npz`` at any depth.
        names: Clip names or glob patterns; ``None`` for all.
        fps: Frame rate, overriding the files' [1/s].
        up: Upward axis (``"y"``, ``"-y"``, ``"z"``, ...); ``None``: z, unless the motion clearly has another.
        index: See :class:`MotionSource`, as ``actions`` and ``seconds``.
        actions: Filter by the index's descriptions (CMU's index works for AMASS' CMU folder).
        seconds: Shortest and longest duration.
    """

    how_to_get = "unpack AMASS' archives (amass.is.tue.mpg.de, registration needed) and set source.root to their folder"

    def __init__(
        self, root: str | Path = "data/amass", names: str | Sequence[str] | None = None, fps: float | None = None,
        up: str | None = None, index: str | Path | None = None, actions: str | Sequence[str] | None = None,
        seconds: tuple[float | None, float | None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(root, names, fps, up, index, actions, seconds)

    def find_clips(self) -> Iterator[Clip]:
        """Every ``.npz`` with motion; AMASS also stores each subject's shape there."""
        for path in self.walk(".npz"):
            if path.stem != "shape" and not path.stem.endswith("_stagei"):
                yield Clip(re.sub(r"_(poses|stageii)$", "", path.stem), path.parent.name, path)

    def read(self, clip: Clip) -> Motion:
        """Reads one clip; see :func:`read_amass`."""
        return read_amass(clip.path, self.fps, self.up)


@MOTION_SOURCES.register_module()
class SMPLMotion(_SMPLFiles):
    """SMPL parameters in HumanData, plain ``.npz``, or MVIPER's own ``motion.npz``; one sequence per file.

    Clips are named after their files, or after the folder for ``motion.npz`` (of several people, ``motion_p0.npz``,
    with the person's name appended); a clip's subject is its folder.

    Args:
        root: Folder with ``.npz`` at any depth.
        names: Clip names or glob patterns; ``None`` for all.
        fps: Frame rate, overriding the files' [1/s]; ``None``: theirs, or 30 if a file that is not AMASS' states none.
        up: Upward axis (``"y"``, ``"-y"``, ``"z"``, ...), overriding a file's camera; ``None``: the camera's, else
            AMASS' z unless the motion has another (:mod:`mviper.motion.sources.upward`).
        index: See :class:`MotionSource`, as ``actions`` and ``seconds``.
        actions: By what the index says.
        seconds: Shortest and longest duration.
    """

    how_to_get = "set source.root to a folder with SMPL parameters in .npz"
    default_fps = DEFAULT_FPS

    def find_clips(self) -> Iterator[Clip]:
        """Every ``.npz`` under ``root``, except the meshes next to MVIPER's own motions."""
        for path in self.walk(".npz"):
            folder, stem = path.parent.name, _PERSON.sub("", path.stem)
            if stem not in ("garments", "vertices"):
                yield Clip(folder + path.stem.removeprefix(stem) if stem == "motion" else path.stem, folder, path)

    def read(self, clip: Clip) -> Motion:
        """Reads one clip; see :func:`read_smpl`."""
        return read_smpl(clip.path, self.fps, self.up)
