"""The index of a converted split: its HumanData files, which rows of each follow one another, what was left out.

``index.jsonl`` grows by one line a finished sequence, so that a conversion that was stopped goes on where it was. The
first line says how it was made, the last one that it is whole.
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
    """What ``index.jsonl`` says.

    Attributes:
        header: ``data_set``, ``split``, ``root`` (folder of its pictures and videos), ``stills`` and the options of the
            conversion.
        runs: First row and number of rows of each unbroken run of frames, by the HumanData file's name without ending.
        dropped_of: How many rows of each file were left out, by reason.
        complete: Whether the conversion was finished.
    """

    header: dict
    runs: dict[str, list[list[int]]] = field(default_factory=dict)
    dropped_of: dict[str, dict[str, int]] = field(default_factory=dict)
    complete: bool = False

    def add(self, sequence: str, runs: list[list[int]], dropped: dict[str, int]) -> None:
        """Enters a finished sequence, or one that was converted again."""
        self.runs[sequence], self.dropped_of[sequence] = runs, dict(dropped)

    @property
    def dropped(self) -> Counter:
        """How many rows were left out, by reason."""
        return sum((Counter(dropped) for dropped in self.dropped_of.values()), Counter())

    @property
    def rows(self) -> int:
        """How many rows all files have."""
        return sum(length for runs in self.runs.values() for _, length in runs)


def read_index(folder: Path) -> Index | None:
    """Reads a split's index; None where there is none. A last line that was cut is as if it were not there.

    Raises:
        FileFormatError: Not an index.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        return None
    try:
        lines = path.read_text().split("\n")[:-1]  # what follows the last line break was being written
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
    """Adds a line; one that was cut when an earlier run was stopped goes."""
    path = folder / INDEX_NAME
    if path.is_file():
        whole = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, whole)  # in place: nothing of what is whole is written anew
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
