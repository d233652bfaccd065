"""The index of a converted split: its HumanData files, their runs of consecutive rows, dropped rows.

``index.jsonl`` gets one line per finished sequence, so that a stopped conversion can be resumed. The first line says
how it was made, the last one that it is complete.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mviper.errors import FileFormatError

INDEX_NAME = "index.jsonl"


@dataclass
class Index:
    """Content of ``index.jsonl``.

    Attributes:
        header: ``data_set``, ``split``, ``root`` (folder of its pictures and videos), ``stills`` and the options of the
            conversion.
        runs: First row and number of rows of each run of consecutive frames, by the HumanData file's stem.
        dropped_of: Number of rows dropped from each file, by reason.
        complete: Whether the conversion was finished.
    """

    header: dict
    runs: dict[str, list[list[int]]] = field(default_factory=dict)
    dropped_of: dict[str, dict[str, int]] = field(default_factory=dict)
    complete: bool = False

    def add(self, sequence: str, runs: list[list[int]], dropped: dict[str, int]) -> None:
        """Adds a finished sequence, or replaces one that was converted again."""
        self.runs[sequence], self.dropped_of[sequence] = runs, dict(dropped)

    @property
    def dropped(self) -> Counter:
        """Number of dropped rows by reason."""
        return sum((Counter(dropped) for dropped in self.dropped_of.values()), Counter())

    @property
    def rows(self) -> int:
        """Number of rows in all files."""
        return sum(length for runs in self.runs.values() for _, length in runs)


def read_index(folder: Path) -> Index | None:
    """Reads a split's index; None if there is none. A truncated last line is ignored.

    Raises:
        FileFormatError: Not an index.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        return None
    try:
        lines = path.read_text().split("\n")[:-1]  # the last piece is empty or truncated
        index = Index(json.loads(lines[0]))
        for line in lines[1:]:
            entry = json.loads(line)
            if "sequence" in entry:
                index.add(entry["sequence"], entry["runs"], entry["dropped"])
            index.complete = bool(entry.get("complete"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise FileFormatError(path, f"not an index of tools/convert_dataset.py: {error!r}") from error
    return index


def append_to_index(folder: Path, entry: dict) -> None:
    """Adds a line, after removing a truncated last one."""
    path = folder / INDEX_NAME
    if path.is_file():
        whole = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, whole)  # in place: complete lines are not rewritten
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
