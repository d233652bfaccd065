"""Base of all motion sources: clips are listed lazily and loaded one at a time."""

from __future__ import annotations

import abc
import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mviper.body import SMPL
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import walk_files
from mviper.motion.flips import remove_flips
from mviper.motion.retarget import retarget
from mviper.motion.skeleton import SkeletonMotion
from mviper.motion.target import TargetBody
from mviper.structures import Motion


@dataclass(frozen=True)
class Clip:
    """One captured sequence, not yet read.

    Attributes:
        name: E.g. ``"07_01"`` or ``"walk"``.
        subject: The captured person, e.g. ``"07"``; splits are by subject.
        path: The file.
        parts: The clips that it was made from, if it was not captured itself; see :mod:`mviper.motion.sources.combine`.
        description: Its description in an index; "" if there is none.
        split: Its split in the data set that it comes from; "" if there is none.
    """

    name: str
    subject: str
    path: Path
    parts: tuple[Clip, ...] = ()
    description: str = field(default="", kw_only=True)
    split: str = field(default="", kw_only=True)


def originals(clip: Clip) -> list[Clip]:
    """The captured clips that a clip was made from; itself if it was captured."""
    return [original for part in clip.parts for original in originals(part)] if clip.parts else [clip]


def split_of(clip: Clip, splits: dict[str, list[str]]) -> str | None:
    """``val`` or ``test`` if one of that split's patterns matches the clip's name, else ``train``.

    A clip made from others belongs to their split, and to none (``None``) if their splits differ. A clip from a data
    set keeps its split there, and belongs to none if the patterns hold it out for another split.
    """
    if clip.parts:
        theirs = {split_of(part, splits) for part in clip.parts}
        found = theirs.pop() if len(theirs) == 1 else None
    else:
        fits = (
            split
            for split in ("test", "val")
            if any(fnmatch.fnmatchcase(clip.name, pattern) for pattern in splits.get(split, ()))
        )
        found = next(fits, "train")
    if clip.split and found != clip.split:
        return clip.split if found == "train" else None
    return found


#: Accepted frame rates [1/s] and maximum duration [s] of captures. Other values mean damage; resampling them could fill
#: the disk.
RATES, LONGEST = (1.0, 10_000.0), 4 * 3600.0


def check_timing(path: Path, frames: int, fps: float, line: int | None = None) -> None:
    """Refuses clips with impossible timing.

    Args:
        path: The file.
        frames: Number of frames.
        fps: Frame rate [1/s].
        line: Line that states the rate.

    Raises:
        FileFormatError: The rate is outside :data:`RATES`, or the clip is longer than :data:`LONGEST`.
    """
    if not RATES[0] <= fps <= RATES[1]:  # false for NaN too
        raise FileFormatError(
            path, f"has {fps:g} frames a second, expected {RATES[0]:g} to {RATES[1]:g}", line=line,
            hint="if the file's rate is wrong, set source.fps",
        )  # fmt: skip
    if frames / fps > LONGEST:
        raise FileFormatError(
            path, f"lasts {frames / fps:.0f} s ({frames} frames at {fps:g} a second), expected at most {LONGEST:.0f} s",
            line=line, hint="cut it into takes; or its rate is wrong",
        )  # fmt: skip


def check_fps(source: object, fps: float | None) -> None:
    """Refuses an impossible rate in a config; ``None`` passes.

    Raises:
        ConfigError: Not a number within :data:`RATES`.
    """
    if fps is not None and not (isinstance(fps, int | float) and RATES[0] <= fps <= RATES[1]):
        name = type(source).__name__
        raise ConfigError(f"{name}: fps must be > 0, within {RATES[0]:g} to {RATES[1]:g} a second, got {fps!r}")


class MotionSource(abc.ABC):
    """Base of the registered sources (``MOTION_SOURCES``).

    A subclass lists the clips in its folder (:meth:`find_clips`) and reads one (:meth:`read`).

    Args:
        root: Folder to walk.
        names: Clip names or glob patterns (``"07_*"``) to keep; ``None`` keeps all.
        index: Text file with a line ``<clip name> <tab> <description>`` for each clip, such as CMU's; other lines are
            skipped. Its texts become the clips' descriptions.
        actions: Words or glob patterns (``"walk"``, ``"jump*turn"``), one of which a clip's description must contain,
            in any case; needs ``index``. ``None`` keeps all.
        seconds: Shortest and longest duration to keep; either may be ``None``. A clip whose file does not state its
            duration is kept, so that loading it reports the problem.
    """

    #: Advice to the user if ``root`` does not exist.
    how_to_get = "set source.root to a folder that holds the files"

    def __init__(
        self, root: str | Path, names: str | Sequence[str] | None = None, index: str | Path | None = None,
        actions: str | Sequence[str] | None = None, seconds: tuple[float | None, float | None] | None = None,
    ) -> None:  # fmt: skip
        self.root = Path(root).expanduser()
        self.names = [names] if isinstance(names, str) else names and list(names)
        self.actions = [actions] if isinstance(actions, str) else actions and list(actions)
        self.index = Path(index).expanduser() if index is not None else None
        if self.actions and self.index is None:
            raise ConfigError(f"{type(self).__name__}: actions are looked up in an index: set source.index to its file")
        self.seconds = (None, None) if seconds is None else tuple(seconds)
        if len(self.seconds) != 2 or not all(limit is None or limit >= 0 for limit in self.seconds):
            raise ConfigError(f"{type(self).__name__}: seconds must be (shortest, longest) or None, got {seconds!r}")

    @abc.abstractmethod
    def find_clips(self) -> Iterator[Clip]:
        """Walks ``root`` in sorted order."""

    @abc.abstractmethod
    def read(self, clip: Clip) -> SkeletonMotion | Motion:
        """Reads one clip as captured: a skeleton, or a body's motion if the file holds that.

        Raises:
            FileFormatError: The file cannot be used; names file, line and what was expected.
        """

    def duration(self, clip: Clip) -> float:
        """A clip's duration [s]; overridden by sources that can tell it without reading the whole file.

        Raises:
            FileFormatError: The file does not state it.
        """
        captured = self.read(clip)
        return len(captured) / captured.fps

    def walk(self, *endings: str) -> Iterator[Path]:
        """Files under ``root`` with one of the endings; see :func:`mviper.files.walk_files`."""
        return walk_files(self.root, *endings)

    def clips(self) -> Iterator[Clip]:
        """The clips in sorted order, found while iterating.

        Raises:
            MissingDataError: ``root`` does not exist, or nothing in it matches.
        """
        if not self.root.is_dir():
            raise MissingDataError(f"{type(self).__name__}: no folder {self.root}; {self.how_to_get}")
        return self._matching_clips()

    def _matching_clips(self) -> Iterator[Clip]:
        descriptions = read_index(self.index) if self.index is not None else {}
        names: set[str] = set()
        for clip in self.find_clips():
            if clip.name in names:  # if two files have the same name, the second is named with its folders
                clip = replace(clip, name="-".join(clip.path.relative_to(self.root).with_suffix("").parts))
            clip = replace(clip, description=descriptions.get(clip.name, clip.description))
            if self._wanted(clip):
                names.add(clip.name)
                yield clip
        if not names:
            wanted = f" named {', '.join(self.names)}" if self.names is not None else ""
            wanted += f" described as {', '.join(self.actions)}" if self.actions is not None else ""
            wanted += f" of {self.seconds} seconds" if self.seconds != (None, None) else ""
            raise MissingDataError(f"{type(self).__name__}: no clip{wanted} in {self.root}; {self.how_to_get}")

    def _wanted(self, clip: Clip) -> bool:
        if self.names is not None and not any(fnmatch.fnmatchcase(clip.name, pattern) for pattern in self.names):
            return False
        described = clip.description.lower()
        if self.actions is not None and not any(fnmatch.fnmatchcase(described, f"*{a.lower()}*") for a in self.actions):
            return False
        shortest, longest = self.seconds
        if (shortest, longest) == (None, None):
            return True
        try:
            duration = self.duration(clip)
        except FileFormatError:
            return True
        return (shortest is None or duration >= shortest) and (longest is None or duration <= longest)

    def load(self, clip: Clip, target: TargetBody) -> Motion:
        """Reads a clip and fits it to a body.

        Args:
            clip: A clip from :meth:`clips`.
            target: The body.

        Returns:
            The motion in the world at the file's frame rate, feet on the floor, with the body's betas and id.

        Raises:
            FileFormatError: See :meth:`read`.
        """
        return self.fit(clip, target)[0]

    def fit(self, clip: Clip, target: TargetBody) -> tuple[Motion, SkeletonMotion | None]:
        """:meth:`load`, with the capture (flips repaired), frame by frame, so that the fit can be evaluated.

        Overridden by sources that do not retarget a skeleton (those of SMPL parameters, markers or other sources).

        Returns:
            The motion, and the captured skeleton, or ``None`` if there is none.
        """
        captured = self.read(clip)
        if isinstance(captured, Motion):
            raise TypeError(f"{type(self).__name__}.read gives no skeleton: it needs a fit of its own")
        captured, _ = remove_flips(captured)
        motion = retarget(captured, target.rest_joints, target.soles)
        return replace(motion, betas=target.betas, body_model=target.body_model), captured

    def load_for_body(self, clip: Clip, body: SMPL, betas: np.ndarray) -> Motion:
        """:meth:`load` for a body model with some betas (B,)."""
        return self.load(clip, TargetBody.from_body(body, betas))


def read_index(path: str | Path) -> dict[str, str]:
    """Reads clips' descriptions from an index such as B. Hahne's of CMU's library (``cmu-mocap-index-text.txt``).

    Args:
        path: Text file with lines ``<clip name> <tab> <description>``; others are skipped.

    Returns:
        Description by clip name.

    Raises:
        MissingDataError: The file does not exist.
        FileFormatError: It has no such line.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(
            f"{path}: no such index; set source.index to a file of '<clip> <tab> <description>' lines"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise FileFormatError(path, f"cannot be read: {error.strerror or error}") from error
    entries = re.findall(r"^[ ]*([^\s]+)[ ]*\t[ \t]*(\S[^\r\n]*?)\s*$", text, re.MULTILINE)
    if not entries:
        raise FileFormatError(path, "holds no line '<clip> <tab> <description>'")
    return dict(entries)
