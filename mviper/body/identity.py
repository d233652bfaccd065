"""Whose betas they are: ids of bodies, ``name:sha256`` of template and shape directions, compared by content alone."""

from __future__ import annotations

import re
from collections.abc import Iterable


def same_body(first: str, second: str) -> bool:
    """Whether two ids are of one body: the name, which is its file's where the file states none, does not count.

    Args:
        first: ``name:sha256``; a bare name (``smpl_male``, of sets whose body is not at hand) is equal to itself only.
        second: Likewise.
    """
    return _content(first) == _content(second)


def distinct_bodies(ids: Iterable[str]) -> list[str]:
    """The first id of each body among some, in order."""
    first: dict[str, str] = {}
    for body in ids:
        first.setdefault(_content(body), body)
    return list(first.values())


def _content(body: str) -> str:
    sha256 = body.rpartition(":")[2]
    return sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else body
