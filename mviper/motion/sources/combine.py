"""Sources built from other sources: mixtures, and interpolation between contrasting poses."""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import BinaryIO

import numpy as np

from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.motion.interpolation import FRAMES_PER_RADIAN, contrasting_pairs, interpolate, pose_vectors
from mviper.motion.skeleton import SkeletonMotion
from mviper.motion.sources.base import Clip, MotionSource, split_of
from mviper.motion.target import TargetBody
from mviper.motion.transforms import resample
from mviper.registry import MODELS, MOTION_SOURCES
from mviper.structures import Motion

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class MixedClip(Clip):
    """A clip from one of several sources.

    Attributes:
        member: Index of the source.
        original: The source's clip.
    """

    member: int = 0
    original: Clip | None = None


@MOTION_SOURCES.register_module()
class MixedMotion(MotionSource):
    """The clips of several sources, in order of the sources or in turn.

    If another source's clip of the same name comes before, the source's number is appended (``walk_2``).

    Args:
        sources: Configs of motion sources.
        in_turn: A clip of each source, then the next one of each, as long as there are some: the first clips are then
            of all sources.
    """

    def __init__(self, sources: Sequence[dict], in_turn: bool = False) -> None:
        if not sources:
            raise ConfigError(f"{type(self).__name__} needs at least one source")
        self.sources: list[MotionSource] = [MOTION_SOURCES.build(source) for source in sources]
        self.in_turn = in_turn
        self.names = None

    def clips(self) -> Iterator[Clip]:
        """All clips, found while iterating; see :meth:`MotionSource.clips`."""
        return self.find_clips()

    def find_clips(self) -> Iterator[MixedClip]:
        """Every source's clips, in its own order."""
        taken: set[str] = set()
        of_source = [zip(itertools.repeat(member), source.clips()) for member, source in enumerate(self.sources)]
        turns = itertools.zip_longest(*of_source) if self.in_turn else ([pair] for pair in itertools.chain(*of_source))
        for member, clip in (pair for turn in turns for pair in turn if pair):
            name = clip.name if clip.name not in taken else f"{clip.name}_{member + 1}"
            taken.add(name)
            known = {field.name: getattr(clip, field.name) for field in fields(Clip)}
            yield MixedClip(**{**known, "name": name}, member=member, original=clip)

    def read(self, clip: Clip) -> SkeletonMotion | Motion:
        """Reads one clip as it was captured; see :meth:`MotionSource.read`."""
        source, original = self._origin(clip)
        return source.read(original)

    def fit(self, clip: Clip, target: TargetBody) -> tuple[Motion, SkeletonMotion | None]:
        """Reads a clip and fits it to a body; see :meth:`MotionSource.fit`."""
        source, original = self._origin(clip)
        motion, captured = source.fit(original, target)
        return replace(motion, name=clip.name), captured

    def _origin(self, clip: Clip) -> tuple[MotionSource, Clip]:
        if not isinstance(clip, MixedClip) or clip.original is None:
            raise TypeError(f"{clip.name} is not of {type(self).__name__}.clips()")
        return self.sources[clip.member], clip.original


@dataclass(frozen=True)
class InterpolatedClip(Clip):
    """A motion between poses of two clips (its ``parts``).

    Attributes:
        frames: The frame in each clip, at the source's ``fps``.
        distance: D between the two poses [rad].
    """

    frames: tuple[int, int] = (0, 0)
    distance: float = 0.0


@MOTION_SOURCES.register_module()
class InterpolatedMotion(MotionSource):
    """The paper's interpolated motions: between the most contrasting poses of pairs of captured clips.

    :meth:`clips` reads all clips of its sources once, at some 4,000 frames per second, and keeps their poses in a
    temporary file. A clip's name tells its origin: ``run-12_to_crawl-80``; its subject is ``<one>+<other>``. Clips that
    cannot be read are left out with a warning.

    Args:
        sources: Configs of motion sources.
        count: Number of motions.
        uses: Maximum number of motions per clip, best first; ``None`` for any number.
        splits: The config's ``splits``, to pair only clips of the same split. The factory drops motions that mix splits
            in any case; with this argument, others take their place.
        frames_per_radian: k: the number of in-between frames is ceil(k max D).
        fps: Frame rate of the motions.
        stride: Compare every n-th frame of a clip at ``fps``.
        body_model: The body used to compare poses, in its mean shape.
    """

    def __init__(
        self,
        sources: Sequence[dict],
        count: int = 20,
        uses: int | None = 2,
        splits: dict[str, list[str]] | None = None,
        frames_per_radian: float = FRAMES_PER_RADIAN,
        fps: float = 30.0,
        stride: int = 1,
        body_model: dict | None = None,
    ) -> None:
        if min(count, stride, 1 if uses is None else uses) < 1 or min(frames_per_radian, fps) <= 0:
            raise ConfigError(
                f"{type(self).__name__} needs count, uses, stride >= 1 and frames_per_radian, fps > 0; got {count=}, "
                f"{uses=}, {stride=}, {frames_per_radian=}, {fps=}"
            )
        self.captured = MixedMotion(sources)
        self.names = None
        self.count, self.uses, self.splits = count, uses, splits or {}
        self.frames_per_radian, self.fps, self.stride = frames_per_radian, fps, stride
        self.body_model = body_model or dict(type="SMPL")

    def clips(self) -> Iterator[Clip]:
        """The motions, most contrasting first.

        Raises:
            MissingDataError: The sources have fewer than two readable clips of one split.
        """
        return self.find_clips()

    def find_clips(self) -> Iterator[InterpolatedClip]:
        """Reads all clips, then pairs them."""
        target = TargetBody.from_body(MODELS.build(self.body_model))
        clips: list[Clip] = []
        with tempfile.TemporaryFile() as file:
            spool = _Spool(file)
            for clip in self.captured.clips():
                try:
                    motion = self.captured.load(clip, target)
                except FileFormatError as error:
                    _LOGGER.warning("%s: left out of the interpolation", error)
                    continue
                clips.append(clip)
                spool.append(pose_vectors(resample(motion, self.fps).poses[:: self.stride]))
            groups = [split_of(clip, self.splits) or f"none {k}" for k, clip in enumerate(clips)]
            pairs = contrasting_pairs(spool, self.count, self.uses, groups)
        if not pairs:
            raise MissingDataError(
                f"{type(self).__name__}: {len(clips)} readable clips, no two of the same split; add sources"
            )
        for pair in pairs:
            first, second = clips[pair.first], clips[pair.second]
            frames = (pair.first_frame * self.stride, pair.second_frame * self.stride)
            name = f"{first.name}-{frames[0]}_to_{second.name}-{frames[1]}"
            subject = "+".join(dict.fromkeys((first.subject, second.subject)))
            yield InterpolatedClip(
                name, subject, first.path, parts=(first, second), frames=frames, distance=pair.distance
            )

    def read(self, clip: Clip) -> SkeletonMotion:
        """Not available: the motion was not captured."""
        raise TypeError(f"{clip.name} was not captured; use fit or load")

    def fit(self, clip: Clip, target: TargetBody) -> tuple[Motion, None]:
        """Interpolates between the clip's poses on a body; see :meth:`MotionSource.fit`."""
        if not isinstance(clip, InterpolatedClip):
            raise TypeError(f"{clip.name} is not of {type(self).__name__}.clips()")
        start, end = (
            resample(self.captured.load(part, target), self.fps).poses[frame]
            for part, frame in zip(clip.parts, clip.frames)
        )
        motion = interpolate(start, end, target.rest_joints, target.soles, self.fps, self.frames_per_radian)
        named = replace(motion, name=clip.name, subject=clip.subject)
        return replace(named, betas=target.betas, body_model=target.body_model), None


class _Spool(Sequence[np.ndarray]):
    """Arrays of shape (T, 69) in a file, read one at a time, so that a library's poses need no memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ends = [0]

    def append(self, array: np.ndarray) -> None:
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(array, np.float64).tobytes())
        self._ends.append(self._ends[-1] + len(array))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> np.ndarray:  # type: ignore[override]  # no slices needed
        start, end = self._ends[number], self._ends[number + 1]
        self._file.seek(start * _ROW)
        return np.frombuffer(self._file.read((end - start) * _ROW), np.float64).reshape(-1, 69)


#: Bytes per frame in a spool.
_ROW = 69 * 8
