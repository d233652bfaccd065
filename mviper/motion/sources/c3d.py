"""Optical markers in C3D files (https://www.c3d.org), fitted by MoSh.

Files are read by the ``c3d`` package (MIT, pure Python), in which a damaged file can only raise an exception; a C++
reader could crash the process. Labels may include the subject's name (``Jack:LFHD``); anything that is not a known
marker (unlabelled points, joint angles, forces) is skipped.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mviper.body import SMPL, matrix_to_axis_angle
from mviper.errors import ConfigError, FileFormatError
from mviper.extras import import_extra
from mviper.files import find_files
from mviper.motion.contact import flesh_points, floor_height, foot_points, posed_points, sole_points
from mviper.motion.markers import MARKER_PLACES, known_marker, place_markers, split_label
from mviper.motion.mosh import MIN_MARKERS, Calibration, MarkerError, Mosh, MoshFit, MoshSettings
from mviper.motion.rotations import swings
from mviper.motion.skeleton import SkeletonMotion
from mviper.motion.sources.base import Clip, MotionSource, check_fps, check_timing
from mviper.motion.sources.smpl_files import fit_to_body
from mviper.motion.sources.upward import infer_up, signed_axis
from mviper.motion.target import TargetBody
from mviper.registry import MODELS, MOTION_SOURCES
from mviper.structures import Motion

_LOGGER = logging.getLogger(__name__)

#: Metres per unit in POINT:UNITS.
_UNITS = {"mm": 1e-3, "cm": 1e-2, "dm": 0.1, "m": 1.0, "in": 0.0254, "inch": 0.0254, "inches": 0.0254, "ft": 0.3048}

#: Range of the distance that a person's markers span, head to foot, in some frame [m]; other values mean a wrong unit.
_SPANS = (0.8, 3.0)

#: Cosine between facing directions from sides and from fronts beyond which people count as mirrored.
_MIRRORED = 0.3

_HIGH = ("LFHD", "RFHD", "LBHD", "RBHD", "C7", "CLAV", "LSHO", "RSHO", "head", "neck")
_LOW = ("LANK", "RANK", "LHEE", "RHEE", "LTOE", "RTOE", "left_ankle", "right_ankle")
#: Pairs of markers: (left, right), and (front, back).
_LEFT = (("LSHO", "RSHO"), ("LFWT", "RFWT"), ("LBWT", "RBWT"), ("left_shoulder", "right_shoulder"),
         ("left_hip", "right_hip"))  # fmt: skip
_AHEAD = (("CLAV", "C7"), ("STRN", "T10"), ("LFWT", "LBWT"), ("RFWT", "RBWT"), ("LFHD", "LBHD"), ("RFHD", "RBHD"),
          ("LTOE", "LHEE"), ("RTOE", "RHEE"), ("left_foot", "left_ankle"), ("right_foot", "right_ankle"))  # fmt: skip


@dataclass(frozen=True)
class MarkerMotion:
    """Known markers over time.

    Attributes:
        names: Standard names (:data:`mviper.motion.markers.MARKER_PLACES`) or SMPL joints.
        points: In world axes (z up) [m], shape (T, P, 3); NaN where a marker is missing.
        fps: Frames per second.
        subject: The subject's name in the labels, "" if they have none.
    """

    names: tuple[str, ...]
    points: np.ndarray
    fps: float
    subject: str = ""

    def __len__(self) -> int:
        return len(self.points)


def read_points(path: str | Path, fps: float | None = None) -> tuple[list[str], np.ndarray, float, str]:
    """Reads all points of a C3D file, unconverted.

    Args:
        path: The file.
        fps: Frames per second, overriding the file's.

    Returns:
        Labels, points (T, N, 3) with NaN where one is missing, frames per second, and the stated unit ("" for none).

    Raises:
        FileFormatError: Not a C3D file, damaged, shorter than stated in its header, or without points or frames.
    """
    path = Path(path)
    package = import_extra("c3d")
    try:
        size = path.stat().st_size
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = package.Reader(file)
            count, rate = int(reader.point_used), float(reader.point_rate if fps is None else fps)
            frames = int(reader.last_frame) - int(reader.first_frame) + 1
            if count < 1:
                raise FileFormatError(path, "holds no points")
            if frames < 1:
                raise FileFormatError(path, "holds no frames")
            word = 4 if reader.point_scale < 0 else 2
            if frames * count * 4 * word > size:
                raise FileFormatError(path, f"is cut: its header promises {frames} frames of {count} points")
            points = np.full((frames, count, 3), np.nan, np.float32)
            read = 0
            for _, values, _ in reader.read_frames(copy=False, analog_transform=False):
                seen = (values[:, 3] >= 0) & (values[:, :3] != 0).any(axis=1)
                points[read, seen] = values[seen, :3]
                read += 1
            if read < frames:
                raise FileFormatError(path, f"is cut after {read} of {frames} frames")
            labels = []
            for name in ("LABELS", *(f"LABELS{k}" for k in range(2, 20))):  # a parameter holds at most 255
                found = reader.get(f"POINT:{name}")
                labels += [str(label).strip() for label in np.ravel(found.string_array)] if found is not None else []
            unit = reader.get("POINT:UNITS")
            unit = unit.string_value.strip().lower() if unit is not None else ""
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(path, f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged file can raise anything in the package
        raise FileFormatError(
            path, f"is not a C3D file that can be read: {str(error) or type(error).__name__}"
        ) from error
    check_timing(path, frames, rate)
    if not labels:
        raise FileFormatError(path, "its points have no labels (POINT:LABELS)")
    labels = labels[:count]
    return labels, points[:, : len(labels)], rate, unit


def read_markers(
    path: str | Path,
    synonyms: Mapping[str, str | None] | None = None,
    up: str | None = None,
    subject: str | None = None,
    fps: float | None = None,
) -> MarkerMotion:
    """Reads the known markers of one subject.

    Args:
        path: The file.
        synonyms: The laboratory's labels (without the subject) -> standard names.
        up: The upward axis (``"z"``, ``"-y"``, ...); ``None``: z, unless the motion clearly has another.
        subject: The subject to read, if the file has several; ``None`` takes the one with the most known markers.
        fps: Frames per second, overriding the file's.

    Returns:
        The markers, in metres, z up.

    Raises:
        FileFormatError: See :func:`read_points`; also too few known markers, or an impossible size.
    """
    labels, points, fps, unit = read_points(path, fps)
    synonyms = {label.upper(): name for label, name in (synonyms or {}).items()}
    people: dict[str, dict[str, int]] = {}
    for column, label in enumerate(labels):
        whose, marker = split_label(label)
        name = synonyms.get(marker.upper()) or synonyms.get(label.upper()) or known_marker(marker)
        if name is not None and np.isfinite(points[:, column]).any():
            people.setdefault(whose, {}).setdefault(name, column)
    if subject is not None:
        people = {whose: found for whose, found in people.items() if whose == subject}
    whose, found = max(people.items(), key=lambda item: len(item[1]), default=("", {}))
    if len(found) < MIN_MARKERS:
        some = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
        raise FileFormatError(
            path, f"has {len(found)} known markers, at least {MIN_MARKERS} are needed; its labels are {some}",
            hint="source.synonyms maps a laboratory's labels to the names in docs/motion.md",
        )  # fmt: skip
    chosen = points[:, list(found.values())].astype(np.float64)
    chosen *= _metres(Path(path), chosen, unit)
    if _is_mirrored(tuple(found), chosen):
        raise FileFormatError(
            path, "its people are mirrored: their left side has the labels of the right side",
            hint="it comes from a left-handed engine, or left and right were swapped: mirror one axis, or rename the "
            "markers",
        )  # fmt: skip
    to_world = _to_z_up(Path(path), tuple(found), chosen, fps, up)
    return MarkerMotion(tuple(found), to_world.apply(chosen.reshape(-1, 3)).reshape(chosen.shape), fps, whose)


def _metres(path: Path, points: np.ndarray, unit: str) -> float:
    """Metres per unit of the file: the stated unit, unless it gives an impossible body size; else one that fits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # frames without any marker
        spans = np.linalg.norm(np.nanmax(points, axis=1) - np.nanmin(points, axis=1), axis=1)
        span = float(np.nanpercentile(spans, 90))
    for metres in (_UNITS.get(unit, 1e-3), 1e-3, 1.0, 1e-2, 0.0254):
        if _SPANS[0] <= span * metres <= _SPANS[1]:
            if unit and metres != _UNITS.get(unit):
                _LOGGER.warning(
                    "%s: its markers span %.3g, which in its unit (%s) is not the size of a person: assuming %s",
                    path, span, unit, next(name for name, length in _UNITS.items() if length == metres),
                )  # fmt: skip
            return metres
    raise FileFormatError(path, f"its markers span {span:g} {unit or '(no unit)'}, which is not the size of a person")


def _is_mirrored(names: tuple[str, ...], points: np.ndarray) -> bool:
    """Whether left, up and forward of people, according to markers (T, P, 3), form a left-handed frame."""
    place = {name: k for k, name in enumerate(names)}

    def directions(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        vectors = [points[:, place[a]] - points[:, place[b]] for a, b in pairs if a in place and b in place]
        stacked = np.array(vectors).reshape(-1, len(points), 3)
        with np.errstate(invalid="ignore"):
            return stacked / np.linalg.norm(stacked, axis=2, keepdims=True)

    upward = [(high, low) for high in _HIGH for low in _LOW]
    turns = np.einsum(
        "atx,btx->abt", np.cross(directions(_LEFT)[:, None], directions(upward)[None]).reshape(-1, len(points), 3),
        directions(_AHEAD),
    )  # fmt: skip
    seen = turns[np.isfinite(turns)]
    return bool(seen.size) and float(np.median(seen)) < -_MIRRORED


def _to_z_up(path: Path, names: tuple[str, ...], points: np.ndarray, fps: float, up: str | None) -> Rotation:
    if up is None:
        high, low = ([k for k, name in enumerate(names) if name in group] for group in (_HIGH, _LOW))
        if not high or not low:
            return Rotation.identity()
        whole = np.stack([_without_gaps(marker) for marker in points.transpose(1, 0, 2)], axis=1)
        head, feet = (whole[:, group].mean(axis=1) for group in (high, low))
        up = infer_up(path, whole, head, feet, 0.8, fps, convention="z")
    upward = signed_axis(up)
    if upward[2] < -0.99:
        return Rotation.from_euler("x", 180, degrees=True)
    return swings(upward, np.array([0.0, 0.0, 1.0]))


def _without_gaps(marker: np.ndarray) -> np.ndarray:
    """A marker's positions (T, 3), with gaps interpolated over time."""
    times, seen = np.arange(len(marker)), np.isfinite(marker[:, 0])
    return np.stack([np.interp(times, times[seen], axis[seen]) for axis in marker.T], axis=1)


@MOTION_SOURCES.register_module()
class C3DMotion(MotionSource):
    """Marker capture in ``.c3d`` files: ``<subject>/<clip>.c3d``, or CMU's ``07_01.c3d`` in one folder.

    Shape and marker placement (MoSh's stage I) always come from the first clips of a clip's subject, so that a data set
    does not depend on the order of generation. In a folder with several files, one that does not name its subject is
    its own subject.

    Args:
        root: Folder with the files.
        names: See :class:`MotionSource`, as ``index``, ``actions`` and ``seconds``.
        index: See there.
        actions: See there.
        seconds: See there.
        body_model: The body to fit, as in the config's ``body_model``; ``None`` for the open body. Motions transfer to
            other bodies in SMPL's format.
        synonyms: The laboratory's labels -> standard names (docs/motion.md), for unknown labels.
        up: The upward axis (``"z"``, ``"y"``, ...); ``None``: z, unless a clip's motion clearly has another.
        fps: Frames per second, overriding the files' POINT:RATE.
        whose: The subject to take from files with several people (the labels' prefix); ``None`` for the one with the
            most known markers.
        calibration_clips: Number of a subject's clips used in stage I.
        settings: Values of :class:`mviper.motion.mosh.MoshSettings` that differ from the defaults.
    """

    how_to_get = "set source.root to a folder with .c3d files"

    def __init__(
        self,
        root: str | Path,
        names: str | Sequence[str] | None = None,
        index: str | Path | None = None,
        actions: str | Sequence[str] | None = None,
        seconds: tuple[float | None, float | None] | None = None,
        body_model: dict | None = None,
        synonyms: dict[str, str] | None = None,
        up: str | None = None,
        fps: float | None = None,
        whose: str | None = None,
        calibration_clips: int = 3,
        settings: dict | None = None,
    ) -> None:
        super().__init__(root, names, index, actions, seconds)
        unknown = {name for name in (synonyms or {}).values() if known_marker(name) is None}
        if unknown:
            raise ConfigError(
                f"C3DMotion: synonyms name unknown markers {', '.join(sorted(unknown))}; known are "
                f"{', '.join(MARKER_PLACES)}"
            )
        if up is not None:
            signed_axis(up)
        check_fps(self, fps)
        try:
            self.settings = MoshSettings(**(settings or {}))
        except TypeError as error:
            raise ConfigError(f"C3DMotion: settings: {error}") from error
        self.synonyms = {label: known_marker(name) for label, name in (synonyms or {}).items()}
        self.body_model, self.up, self.fps, self.whose = body_model, up, fps, whose
        self.calibration_clips = calibration_clips
        self._body: SMPL | None = None
        self._calibrations: dict[tuple[Path, str], Calibration] = {}

    @property
    def body(self) -> SMPL:
        """The body to fit."""
        if self._body is None:
            self._body = SMPL() if self.body_model is None else MODELS.build(dict(self.body_model))
        return self._body

    def find_clips(self) -> Iterator[Clip]:
        """Every ``.c3d`` under ``root``."""
        for path in self.walk(".c3d"):
            yield Clip(path.stem, self._subject(path), path)

    def _subject(self, path: Path) -> str:
        if path.parent != self.root:
            return path.parent.name
        numbered = re.fullmatch(r"(\d+)_\d+", path.stem)  # CMU's names
        return numbered[1] if numbered else path.stem

    def duration(self, clip: Clip) -> float:
        """A clip's duration [s]."""
        _, points, fps, _ = read_points(clip.path, self.fps)
        return len(points) / fps

    def read_markers(self, clip: Clip) -> MarkerMotion:
        """A clip's captured markers."""
        return read_markers(clip.path, self.synonyms, self.up, self.whose, self.fps)

    def read(self, clip: Clip) -> Motion:
        """Fits the captured person: motion in their own shape, feet on the floor.

        Raises:
            FileFormatError: The file cannot be used, or its markers fit no body.
        """
        markers = self.read_markers(clip)
        try:
            calibration = self._calibration(clip)
            fit = self.fit_markers(markers, calibration)
        except MarkerError as error:
            raise FileFormatError(clip.path, str(error)) from error
        return self._on_floor(fit, markers.fps, clip)

    def fit_markers(self, markers: MarkerMotion, calibration: Calibration) -> MoshFit:
        """Runs MoSh's stage II; markers missing from the calibration keep their textbook places."""
        mosh = Mosh(self.body, markers.names, settings=self.settings)
        offsets = mosh.layout.offsets.clone()
        for k, name in enumerate(markers.names):
            if name in calibration.names:
                offsets[k] = calibration.offsets[calibration.names.index(name)]
        own = replace(calibration, names=markers.names, offsets=offsets)
        return mosh.fit(torch.as_tensor(markers.points, dtype=torch.float32), markers.fps, own)

    def _calibration(self, clip: Clip) -> Calibration:
        """Stage I for a clip's subject, cached."""
        key = clip.path.parent, clip.subject
        if key not in self._calibrations:
            files = [path for path in find_files(clip.path.parent, "*") if path.suffix.lower() == ".c3d"]
            takes: list[MarkerMotion] = []
            for path in files:
                if self._subject(path) == clip.subject and len(takes) < self.calibration_clips:
                    try:
                        takes.append(read_markers(path, self.synonyms, self.up, self.whose, self.fps))
                    except FileFormatError as error:
                        _LOGGER.warning("left out of %s's calibration: %s", clip.subject, error)
            names = tuple(dict.fromkeys(name for take in takes for name in take.names))
            points = np.concatenate([
                np.stack([
                    take.points[:, take.names.index(name)] if name in take.names
                    else np.full((len(take), 3), np.nan)
                    for name in names
                ], axis=1)
                for take in takes
            ])  # fmt: skip
            mosh = Mosh(self.body, place_markers(self.body, names), settings=self.settings)
            self._calibrations[key] = mosh.calibrate(torch.as_tensor(points, dtype=torch.float32))
        return self._calibrations[key]

    def _on_floor(self, fit: MoshFit, fps: float, clip: Clip) -> Motion:
        betas = fit.calibration.betas
        rest_joints = self.body.rest_joints(betas[None])[0].double().cpu().numpy()
        soles = sole_points(self.body.rest_vertices(betas[None])[0].cpu().numpy())
        poses = matrix_to_axis_angle(fit.rotmat).double().cpu().numpy()
        transl = fit.transl.double().cpu().numpy()
        feet = posed_points(poses, transl, rest_joints, foot_points(rest_joints, soles)[::2])
        others = posed_points(poses, transl, rest_joints, flesh_points(rest_joints))
        transl[:, 2] -= floor_height(feet, others, fps, transl[:, :2])
        own = betas.double().cpu().numpy()
        return Motion(poses, transl, own, fps, self.body.body_model_id, clip.name, clip.subject)

    def fit(self, clip: Clip, target: TargetBody) -> tuple[Motion, SkeletonMotion | None]:
        """Fits the captured person, then replaces them by the target body.

        See :meth:`MotionSource.fit` and :func:`mviper.motion.sources.smpl_files.fit_to_body`.
        """
        return fit_to_body(self.read(clip), target), None
