"""The parts of ``tools/benchmark.py``, one module each."""

from __future__ import annotations

#: What a part returns: printed rows, figures by name, and targets (figure name -> [operator, limit]).
Result = tuple[list[tuple[str, ...]], dict[str, float], dict[str, list]]
