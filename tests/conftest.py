"""Fixtures shared by all tests."""

from __future__ import annotations

import io
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

# Beside another worker's, a second thread costs more than it gives; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real mocap, videos and annotation samples that lie beside the checkout (``MVIPER_TEST_DATA`` overrides)."""
    folder = Path(os.environ.get("MVIPER_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set MVIPER_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def run_tool(repository) -> Callable[..., subprocess.CompletedProcess]:
    """Runs ``tools/<name>`` as a user does, but in this process: a new one takes seconds to import torch.

    What runs as a process of its own: ``test_config.py``, ``tools/test_training_tools.py``, ``tools/test_recover.py``.
    """

    def run(name: str, *arguments: object, cwd: Path = repository) -> subprocess.CompletedProcess:
        words = [str(repository / "tools" / name), *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(cwd)
            patch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as end:
                runpy.run_path(words[0], run_name="__main__")
        return subprocess.CompletedProcess(words, end.value.code or 0, out.getvalue(), err.getvalue())

    return run
