"""The project's exceptions: what is wrong with the input, and how to fix it.

Tracebacks are for bugs. Every tool catches :class:`MviperError`, prints its message and exits with code 1.
"""

from __future__ import annotations

from pathlib import Path


class MviperError(Exception):
    """Base of all errors caused by the input rather than by a bug."""


class ConfigError(MviperError):
    """A config that cannot be used: unknown key, unknown ``type``, impossible value."""


class MissingDataError(MviperError):
    """Data named by a config do not exist; the message gives the command that makes them."""


class NobodyFound(MissingDataError):
    """A video or photo shows nobody, or nobody that the detector sees."""


class MissingDependencyError(MviperError):
    """An optional package is not installed; the message is the exact install command."""


class FileFormatError(MviperError):
    """A file that cannot be read.

    Args:
        path: The file.
        problem: What is wrong, and what was expected.
        line: 1-based line of the problem in a text file.
        hint: What the user can do about it.
    """

    def __init__(self, path: str | Path, problem: str, *, line: int | None = None, hint: str = "") -> None:
        self.path, self.problem, self.line, self.hint = Path(path), problem, line, hint
        place = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{place}: {problem}" + (f" ({hint})" if hint else ""))


class SequenceRejected(MviperError):
    """A generated sequence that fails the factory's quality checks (torn cloth, lost garment, ...).

    Args:
        reason: One sentence, with the figure that exceeded its limit.
        quality: The quality figures measured so far, for the report.
    """

    def __init__(self, reason: str, quality: dict | None = None) -> None:
        self.reason, self.quality = reason, quality or {}
        super().__init__(reason)
