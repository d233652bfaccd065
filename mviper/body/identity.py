"""Ids of bodies, ``name:sha256`` of template and shape directions, compared by content alone."""

from __future__ import annotations

import re
from collections.abc import Iterable


def same_body(first: str, second: str) -> bool:
    """Whether two ids denote the same body; the name, which defaults to the file's, is not compared.

    Args:
        first: ``name:sha256``; a bare name (``smpl_male``, from data sets without the body file) equals only itself.
        second: Likewise.
    """
    return _content(first) == _content(second)


def distinct_bodies(ids: Iterable[str]) -> list[str]:
    """The first id of each distinct body, in order."""
    first: dict[str, str] = {}
    for body in ids:
        first.setdefault(_content(body), body)
    return list(first.values())


def _content(body: str) -> str:
    sha256 = body.rpartition(":")[2]
    return sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else body
