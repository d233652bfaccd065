"""The parts of ``tools/benchmark.py``, one module each."""

from __future__ import annotations

from typing import Any

#: What a part returns: printed rows, figures by name (further ones may be nested), and targets (figure name ->
#: [operator, limit]).
Result = tuple[list[tuple[str, ...]], dict[str, Any], dict[str, list]]
