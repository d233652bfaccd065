"""Reads all motion in a file or folder with the sources that can, for tools that are given a path."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mviper.errors import FileFormatError, MissingDataError, MissingDependencyError
from mviper.files import find_files
from mviper.motion.skeleton import SkeletonMotion
from mviper.motion.sources.base import Clip, MotionSource
from mviper.motion.target import TargetBody
from mviper.registry import MOTION_SOURCES
from mviper.structures import Motion


class MotionLibrary:
    """All motion in a file or folder: from every registered source that takes a ``root``, and from the factory.

    Args:
        path: A file, or a folder to walk.

    Attributes:
        failures: Files that no matching source could read; filled while :meth:`load` runs.

    Raises:
        MissingDataError: The path does not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise MissingDataError(f"{self.path}: no such file or folder")
        self.failures: dict[Path, FileFormatError] = {}

    def load(self, target: TargetBody) -> Iterator[tuple[Clip, Motion, SkeletonMotion | None]]:
        """Reads clip by clip; if several sources claim a file, the first that can read it is used.

        Args:
            target: The body that captures are fitted to.

        Yields:
            Clip, motion in the world at the file's rate, and the captured skeleton if there is one.

        Raises:
            MissingDataError: Nothing in the path looks like motion.
        """
        found: set[Path] = set()
        claimed: set[Path] = set()
        for clip, read in self._candidates(target):
            claimed.add(clip.path)
            if clip.path in found:
                continue
            try:
                motion, captured = read()
            except FileFormatError as error:
                self.failures[clip.path] = error
                continue
            found.add(clip.path)
            self.failures.pop(clip.path, None)
            yield clip, motion, captured
        if not claimed:
            raise MissingDataError(f"{self.path}: no motion that any of {', '.join(_source_types())} can read")

    def source_configs(self) -> list[dict]:
        """Configs of the sources that find clips in the folder, for :class:`MixedMotion`."""
        configs = []
        for source in _sources(self.path):
            try:
                next(source.clips())
            except MissingDataError:
                continue
            configs.append(dict(type=type(source).__name__, root=str(self.path)))
        return configs

    def _candidates(
        self, target: TargetBody
    ) -> Iterator[tuple[Clip, Callable[[], tuple[Motion, SkeletonMotion | None]]]]:
        for path in (
            [self.path] if self.path.is_file() else find_files(self.path, "**/motion.npz", "**/motion_p[0-9].npz")
        ):
            if path.suffix == ".npz":
                whole = path.stem.split("_")[0] == "motion"  # motion.npz, motion_p0.npz
                name = path.parent.name + path.stem.removeprefix("motion") if whole else path.stem
                yield Clip(name, "", path), partial(_stored, path)
        folder = self.path.parent if self.path.is_file() else self.path
        for source in _sources(folder):
            try:
                for clip in source.clips():
                    if self.path.is_dir() or clip.path == self.path:
                        yield clip, partial(source.fit, clip, target)
            except MissingDataError:
                continue


def _stored(path: Path) -> tuple[Motion, None]:
    return Motion.load(path), None


def _source_types() -> list[str]:
    MOTION_SOURCES.import_from_location()
    types = MOTION_SOURCES.module_dict
    return sorted(name for name, kind in types.items() if "root" in inspect.signature(kind).parameters)


def _sources(folder: Path) -> Iterator[MotionSource]:
    for name in _source_types():
        try:
            yield MOTION_SOURCES.build(dict(type=name, root=str(folder)))
        except MissingDependencyError:
            continue
