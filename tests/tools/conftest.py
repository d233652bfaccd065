"""The command line tools as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def run_tool(repository) -> Callable[..., subprocess.CompletedProcess]:
    """Runs ``tools/<name>`` with arguments from the checkout's root."""

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, f"tools/{name}", *map(str, arguments)], cwd=repository, capture_output=True, text=True,
            timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    return run
