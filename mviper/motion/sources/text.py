"""Text files of motion capture: numbered lines, and errors that point to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mviper.errors import FileFormatError
from mviper.files import what_it_is

#: Lengths, angles and times in a capture file are smaller than this; larger values mean damage.
LARGEST = 1e6


class TextLines:
    """A text file's lines.

    Args:
        path: The file.
        form: Expected format, for the error, e.g. ``"Acclaim text"``.
        comment: Start of a comment; ``None`` if the format has none.

    Raises:
        FileFormatError: It cannot be read, or is binary.
    """

    def __init__(self, path: str | Path, form: str, comment: str | None = None) -> None:
        self.path, self.comment = Path(path), comment
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise FileFormatError(self.path, f"cannot be read: {error.strerror or error}") from error
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # a byte order mark, as Windows editors write
            content = content.decode("utf-16", "replace").encode("utf-8")
        # DOS tools end text with ^Z, and copies may be padded with zeros.
        content = content.removeprefix(b"\xef\xbb\xbf").rstrip(b"\x1a\0")
        what = what_it_is(content[:512])
        if what and content:
            raise FileFormatError(self.path, f"is {what}, expected {form}", line=1)
        binary = re.search(rb"[\0\x1a]", content)
        if binary is not None:
            line = content[: binary.start()].count(b"\n") + 1
            raise FileFormatError(self.path, f"is binary, expected {form}", line=line)
        # Not str.splitlines(), which also splits at form feeds and other characters that occur in damaged files.
        self.lines = [line.decode("latin-1") for line in content.splitlines()]
        self.ends_in_newline = content.endswith(b"\n")

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Line numbers from 1 and words, of non-empty lines."""
        for number, line in enumerate(self.lines, 1):
            words = (line if self.comment is None else line.split(self.comment, 1)[0]).split()
            if words:
                yield number, words

    def fail(self, problem: str, line: int | None = None, hint: str = "") -> FileFormatError:
        """The error to raise; without a line it points to the last one."""
        return FileFormatError(self.path, problem, line=max(1, len(self.lines)) if line is None else line, hint=hint)

    def floats(self, words: Sequence[str], count: int, what: str, line: int) -> np.ndarray:
        """Parses a fixed number of finite values."""
        try:
            values = np.array([float(word.replace("_", "no number")) for word in words])  # Python would accept 1_000
        except ValueError:
            raise self.fail(f"{what}: expected {count} numbers, got {' '.join(words)[:60]!r}", line) from None
        if len(values) != count:
            raise self.fail(f"{what}: expected {count} numbers, got {len(values)}", line)
        if not (np.abs(values) < LARGEST).all():  # false for NaN too
            raise self.fail(f"{what}: {values[~(np.abs(values) < LARGEST)][0]} is not a usable number", line)
        return values
