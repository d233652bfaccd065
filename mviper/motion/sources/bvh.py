"""Biovision BVH: reads, poses and writes any skeleton.

The format: https://research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/BVH.html. Angles are in degrees. A joint's
rotation channels apply in file order, each about the axes rotated by those before (intrinsic rotations). Its position
channels, in any order, give its position in its parent's frame and replace its OFFSET.

The packages on PyPI (pybvh, bvhio, bvhtools, bvhsdk) are not suitable: none reports the line of a bad motion value,
pybvh refuses joints with position channels and roots without, bvhio pins another package exactly and hangs on truncated
files.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.errors import ConfigError, FileFormatError
from mviper.motion.skeleton import SkeletonMotion
from mviper.motion.sources.base import Clip, MotionSource, check_fps, check_timing
from mviper.motion.sources.humanoid import RestPose, capture_humanoid
from mviper.motion.sources.text import LARGEST, TextLines
from mviper.motion.sources.upward import signed_axis
from mviper.registry import MOTION_SOURCES

_LOGGER = logging.getLogger(__name__)

#: All channels that a joint may have.
CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")


@dataclass(frozen=True)
class BVH:
    """The contents of a BVH file.

    Attributes:
        names: Joint names; parents come before children. An End Site is a joint without channels, ``<parent>_end``.
        parents: Parent index, -1 for the root, shape (J,).
        offsets: From the parent, in the file's unit, shape (J, 3).
        channels: Each joint's channels, from :data:`CHANNELS`, in the file's order.
        values: Channel values of each frame, in the order of the joints [file's unit, degrees], shape (T, C).
        frame_time: [s].
    """

    names: tuple[str, ...]
    parents: np.ndarray
    offsets: np.ndarray
    channels: tuple[tuple[str, ...], ...]
    values: np.ndarray
    frame_time: float

    def __len__(self) -> int:
        return len(self.values)

    def pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Forward kinematics.

        Returns:
            Global rotations, identity in the OFFSET pose, (T, J, 3, 3), and positions in the file's unit and axes (T,
            J, 3).
        """
        frames = len(self)
        rotations = np.empty((frames, len(self.names), 3, 3))
        positions = np.empty((frames, len(self.names), 3))
        column = 0
        for joint, (parent, channels) in enumerate(zip(self.parents, self.channels)):
            values = self.values[:, column : column + len(channels)]
            column += len(channels)
            place = np.repeat(self.offsets[None, joint], frames, axis=0)
            turns = []
            for k, channel in enumerate(channels):
                if channel.endswith("position"):
                    place[:, "XYZ".index(channel[0])] = values[:, k]
                else:
                    turns.append(k)
            local = np.broadcast_to(np.eye(3), (frames, 3, 3))
            if turns:
                order = "".join(channels[k][0] for k in turns)  # capitals: intrinsic rotations
                local = Rotation.from_euler(order, values[:, turns].reshape(frames, -1), degrees=True).as_matrix()
            if parent < 0:
                rotations[:, joint], positions[:, joint] = local, place
            else:
                rotations[:, joint] = rotations[:, parent] @ local
                positions[:, joint] = positions[:, parent] + np.einsum("tij,tj->ti", rotations[:, parent], place)
        return rotations, positions

    def rest(self) -> np.ndarray:
        """Joint positions in the OFFSET pose, root at the origin, shape (J, 3)."""
        positions = np.zeros((len(self.names), 3))
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                positions[joint] = positions[parent] + self.offsets[joint]
        return positions


class _Tokens:
    """Tokeniser over a file's words, with their lines; braces are words."""

    def __init__(self, lines: TextLines) -> None:
        self.lines, self.line = lines, 1
        self._words = self._walk()
        self._ahead: tuple[int, str] | None = None

    def _walk(self) -> Iterator[tuple[int, str]]:
        for number, words in self.lines:
            for word in words:
                for part in re.split(r"([{}])", word):
                    if part:
                        yield number, part

    def _look(self) -> tuple[int, str]:
        if self._ahead is None:
            self._ahead = next(self._words, (len(self.lines.lines), ""))
        return self._ahead

    def peek(self) -> str:
        """The next word, without consuming it; "" at the end."""
        return self._look()[1]

    def next(self, expected: str) -> str:
        self.line, word = self._look()
        self._ahead = None
        if not word:
            raise self.lines.fail(f"ends where {expected} was expected (is the file cut?)")
        return word

    def keyword(self, *keywords: str) -> str:
        word = self.next(" or ".join(keywords))
        if word.upper() not in {keyword.upper() for keyword in keywords}:
            raise self.fail(f"expected {' or '.join(keywords)}, got {word[:40]!r}")
        return word.upper()

    def labelled(self, label: str, what: str) -> str:
        """The word after a label that ends in a colon, with or without blanks around the colon."""
        word = self.next(label)
        if word.upper() == label[:-1].upper() and self.peek().startswith(":"):
            word += self.next(label)
        if not word.upper().startswith(label.upper()):
            raise self.fail(f"expected {label}, got {word[:40]!r}")
        return word[len(label) :] or self.next(what)

    def floats(self, count: int, what: str) -> np.ndarray:
        words = [self.next(f"{what} ({count} numbers)") for _ in range(count)]
        return self.lines.floats(words, count, what, self.line)

    def rest_of_line(self, expected: str) -> str:
        """The words up to the end of the line or a brace, as some exporters write blanks in names."""
        words = [self.next(expected)]
        line = self.line
        while self.peek() not in ("", "{", "}") and self._look()[0] == line:
            words.append(self.next(expected))
        return " ".join(words)

    def fail(self, problem: str) -> FileFormatError:
        return self.lines.fail(problem, self.line)


#: Nesting depth, number of joints, and joints times frames beyond which a file counts as damaged.
_DEEPEST, _MOST_JOINTS, _MOST_POSES = 200, 1000, 50_000_000


def read_bvh(path: str | Path, timed: bool = True) -> BVH:
    """Reads a BVH file.

    Args:
        path: The file.
        timed: Whether its frame time must be positive.

    Raises:
        FileFormatError: Not BVH, truncated, an unknown channel, NaN, a wrong count, or no frame; names the line.
    """
    lines = TextLines(path, "BVH text")
    tokens = _Tokens(lines)
    tokens.keyword("HIERARCHY")
    tokens.keyword("ROOT")
    names: list[str] = []
    parents: list[int] = []
    offsets: list[np.ndarray | None] = []
    channels: list[tuple[str, ...]] = []
    sites: set[int] = set()

    def begin(name: str, parent: int) -> int:
        if name in names:
            raise tokens.fail(f"joint {name[:40]!r} is defined twice")
        if len(names) == _MOST_JOINTS:
            raise tokens.fail(f"more than {_MOST_JOINTS} joints")
        tokens.keyword("{")
        names.append(name)
        parents.append(parent)
        offsets.append(None)
        channels.append(())
        return len(names) - 1

    nested = [begin(tokens.rest_of_line("the root's name"), -1)]
    while nested:
        joint = nested[-1]
        word = tokens.keyword(*(("OFFSET", "}") if joint in sites else ("OFFSET", "CHANNELS", "JOINT", "End", "}")))
        if word == "OFFSET":
            offsets[joint] = tokens.floats(3, "OFFSET")
        elif word == "CHANNELS":
            channels[joint] = _read_channels(tokens)
        elif word == "}":
            if offsets[joint] is None:
                raise tokens.fail(f"{names[joint]!r} ends here without an OFFSET")
            nested.pop()
        elif len(nested) > _DEEPEST:
            raise tokens.fail(f"joints are nested more than {_DEEPEST} deep")
        elif word == "JOINT":
            nested.append(begin(tokens.rest_of_line("a joint's name"), joint))
        else:
            tokens.keyword("Site")
            tried = (f"{names[joint]}_end{number or ''}" for number in itertools.count())
            nested.append(begin(next(name for name in tried if name not in names), joint))
            sites.add(nested[-1])
    if tokens.peek().upper() == "ROOT":
        tokens.next("ROOT")
        raise tokens.fail("a second ROOT: expected one skeleton per file")
    frame_time, values = _read_motion(lines, tokens, sum(map(len, channels)), timed)
    if len(values) * len(names) > _MOST_POSES:
        raise lines.fail(f"has {len(names)} joints in {len(values)} frames, more than fit into memory")
    return BVH(tuple(names), np.array(parents), np.array(offsets), tuple(channels), values, frame_time)


def _read_channels(tokens: _Tokens) -> tuple[str, ...]:
    count = tokens.next("the number of channels")
    if count not in {str(number) for number in range(len(CHANNELS) + 1)}:
        raise tokens.fail(f"CHANNELS: expected a number from 0 to {len(CHANNELS)}, got {count[:40]!r}")
    spelling = {channel.lower(): channel for channel in CHANNELS}
    channels = []
    for _ in range(int(count)):
        word = tokens.next("a channel")
        channel = spelling.get(word.lower())
        if channel is None or channel in channels:
            problem = "occurs twice" if channel in channels else "does not exist"
            raise tokens.fail(f"channel {word[:40]!r} {problem}; expected {count} of {', '.join(CHANNELS)}")
        channels.append(channel)
    return tuple(channels)


def _read_motion(lines: TextLines, tokens: _Tokens, columns: int, timed: bool) -> tuple[float, np.ndarray]:
    """Frame time and values of the MOTION section."""
    tokens.keyword("MOTION")
    word = tokens.labelled("Frames:", "the number of frames")
    if not (word.isascii() and word.isdigit()):
        raise tokens.fail(f"Frames: expected a number, got {word[:40]!r}")
    frames = int(word)
    if frames == 0:
        raise tokens.fail("holds no frames")
    tokens.keyword("Frame")
    word = tokens.labelled("Time:", "the frame time")
    frame_time = float(lines.floats([word], 1, "Frame Time", tokens.line)[0])
    if timed and not frame_time > 0:
        raise lines.fail(f"Frame Time: expected seconds > 0, got {frame_time}", tokens.line, hint="or set source.fps")
    if columns == 0:
        raise tokens.fail("the hierarchy has no channels, so nothing moves")
    start = tokens.line
    rows = [(start + k, line) for k, line in enumerate(lines.lines[start:], 1) if not line.isspace() and line]
    read = rows[: frames + 1]  # Rokoko's exporter states one frame fewer than it writes
    values = np.empty((0, columns))
    if read:
        with contextlib.suppress(ValueError):
            values = np.loadtxt([line for _, line in read], ndmin=2, comments=None)
    if values.shape != (len(read), columns) or not (np.abs(values) < LARGEST).all():  # false for NaN too
        checked = [lines.floats(line.split(), columns, f"frame {number - start - 1}", number) for number, line in read]
        values = np.array(checked).reshape(-1, columns)
    if len(rows) not in (frames, frames + 1):
        raise lines.fail(f"has {len(rows)} frames, but 'Frames: {frames}'", hint="the file is cut, or its header wrong")
    return frame_time, values


@MOTION_SOURCES.register_module()
class BVHMotion(MotionSource):
    """BVH files of any human skeleton.

    Joints are recognised by their names (:mod:`mviper.motion.sources.humanoid`: CMU's in cgspeed's three conversions,
    Mixamo, 3ds Max, MotionBuilder, Poser and Daz, Xsens, SMPL, ...); ``joints`` names the others.

    Args:
        root: Folder with ``.bvh`` files at any depth.
        names: Clip names or glob patterns; ``None`` for all.
        joints: SMPL joint -> the file's joint, if names mislead, e.g. ``dict(left_hip="Hip_L_bind")``.
        rest: The rest pose, in which the body stands as in a T-pose except for its arms and legs: ``"zero"`` (the
            OFFSET pose), a frame number, a BVH file of the same skeleton (its first frame), or ``None``: zero if a
            person stands in it, else the first frame if a person stands in it, else the most upright frame.
        scale: Metres per unit of the file; ``None``: the common unit (metre, centimetre, millimetre, inch, foot, CMU's
            inch / 0.45) that gives the legs a human length, else the scale that makes them 0.82 m long.
        up: The world's upward axis in the file (``"y"``, ``"z"``, ``"-y"``, ...); ``None``: the one along which a
            person stands in the OFFSET pose, else y, unless the motion clearly has another
            (:mod:`mviper.motion.sources.upward`).
        fps: Frames per second, overriding the file's Frame Time.
        skip: Number of leading frames to skip; ``None``: the first, if it is a T-pose prepended to the capture.
        index: See :class:`MotionSource`, as ``actions`` and ``seconds``.
        actions: Filter by the index's descriptions.
        seconds: Shortest and longest duration.
    """

    how_to_get = "set source.root to a folder with .bvh files (e.g. CMU's conversions from cgspeed.com)"

    def __init__(
        self, root: str | Path, names: str | Sequence[str] | None = None, joints: dict[str, str] | None = None,
        rest: str | int | None = None, scale: float | None = None, up: str | None = None, fps: float | None = None,
        skip: int | None = None,
        index: str | Path | None = None, actions: str | Sequence[str] | None = None,
        seconds: tuple[float | None, float | None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(root, names, index, actions, seconds)
        if scale is not None and not scale > 0:
            raise ConfigError(f"BVHMotion: scale must be metres > 0 in one unit of the file, got {scale!r}")
        if up is not None:
            signed_axis(up)
        check_fps(self, fps)
        self.joints, self.rest, self.scale, self.up, self.skip = dict(joints or {}), rest, scale, up, skip
        self.fps = fps

    def find_clips(self) -> Iterator[Clip]:
        """Every ``.bvh`` under ``root``; the subject is the name without its trailing number."""
        for path in self.walk(".bvh"):
            match = re.fullmatch(r"(.+?)_?\d+", path.stem)
            yield Clip(path.stem, match[1] if match else path.stem, path)

    def duration(self, clip: Clip) -> float:
        """A clip's duration from the header [s]."""
        lines = TextLines(clip.path, "BVH text")
        found: dict[str, float] = {}
        for number, line in enumerate(lines.lines, 1):
            match = re.match(r"\s*(Frames|Frame\s+Time)\s*:\s*(\S*)", line, re.IGNORECASE)
            if match is not None:
                found[match[1][:6].strip().lower()] = lines.floats([match[2]], 1, match[1], number)[0]
            if len(found) == 2:
                return found["frames"] * (found["frame"] if self.fps is None else 1 / self.fps)
        raise lines.fail("has no 'Frames:' and 'Frame Time:' (is the file cut?)")

    def read(self, clip: Clip) -> SkeletonMotion:
        """Reads one clip; see :meth:`MotionSource.read`."""
        bvh = read_bvh(clip.path, timed=self.fps is None)
        fps = 1 / bvh.frame_time if self.fps is None else self.fps
        check_timing(clip.path, len(bvh), fps)
        turns = np.array([channel.endswith("rotation") for channels in bvh.channels for channel in channels])
        if 0.5 < np.abs(bvh.values[:, turns]).max(initial=0) < 2 * np.pi:
            _LOGGER.warning("%s: no angle exceeds 6.3 degrees; are they in radians? BVH uses degrees", clip.path)
        rotations, positions = bvh.pose()
        return capture_humanoid(
            clip.path, bvh.names, bvh.parents, rotations, positions, fps, bvh.rest(),
            self._rests(clip.path, bvh, rotations, positions), self.joints, self.scale, self.up, self.skip, clip.name,
            clip.subject,
        )  # fmt: skip

    def _rests(self, path: Path, bvh: BVH, rotations: np.ndarray, positions: np.ndarray) -> list[RestPose] | None:
        """Candidate rest poses; ``None``: the drawn one and every frame."""
        zero = RestPose(bvh.rest(), np.broadcast_to(np.eye(3), rotations.shape[1:]), drawn=True)
        if self.rest is None:
            return None
        if self.rest == "zero":
            return [zero]
        if isinstance(self.rest, int):
            if not -len(bvh) <= self.rest < len(bvh):
                raise FileFormatError(path, f"has {len(bvh)} frames, so no frame {self.rest} for a rest pose")
            return [RestPose(positions[self.rest], rotations[self.rest], drawn=False)]
        given = read_bvh(Path(self.rest).expanduser())
        if given.names != bvh.names or not np.array_equal(given.parents, bvh.parents):
            raise FileFormatError(path, f"has another skeleton than its rest pose {self.rest}")
        rotations, positions = given.pose()
        return [RestPose(positions[0], rotations[0], drawn=False)]
