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

# With several test workers a second thread costs more than it gains; processes started by tests inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from places import REPOSITORY, SHARED_DATA

torch.set_num_threads(1)

#: Files, folders and tests that take many seconds: simulation, path tracing, real networks, training, subprocesses.
SLOW = (
    "projects", "tests/app", "tests/docs/test_running.py", "tests/docs/test_tutorials.py", "tests/test_wheel.py",
    "tests/body/test_pose_prior.py", "tests/datasets/test_converters.py", "tests/datasets/test_features.py",
    "tests/datasets/test_fuzz.py", "tests/datasets/test_partial_sets.py", "tests/engine", "tests/export",
    "tests/graphics/test_raster.py", "tests/inference", "tests/models/fitting", "tests/models/test_blazepose.py",
    "tests/models/test_encoders.py", "tests/models/test_estimators.py", "tests/models/test_gradients.py",
    "tests/motion/sources/test_c3d.py", "tests/motion/sources/test_fuzz.py", "tests/motion/sources/test_recombine.py",
    "tests/motion/test_interpolation.py", "tests/motion/test_mosh.py", "tests/motion/test_retarget.py",
    "tests/reports/test_wardrobe.py", "tests/synthesis/garments", "tests/synthesis/rendering",
    "tests/synthesis/simulation", "tests/synthesis/test_factory.py", "tests/synthesis/test_farm.py",
    "tests/synthesis/test_paper.py", "tests/synthesis/test_sequence.py", "tests/synthesis/test_stored.py",
    "tests/synthesis/test_trying_on.py", "tests/test_configs.py", "tests/test_runtime_only.py",
    "tests/test_second_body.py", "tests/tools",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests that need the shared data, and slow ones, which run first: no worker waits for a long file."""
    for item in items:
        if "shared_data" in item.fixturenames:
            item.add_marker("shared_data")
        if any(item.path.is_relative_to(REPOSITORY / place) for place in SLOW):
            item.add_marker("slow")
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real mocap, videos and annotation samples next to the checkout (``MVIPER_TEST_DATA`` overrides)."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no test data at {SHARED_DATA}; set MVIPER_TEST_DATA")
    return SHARED_DATA


@pytest.fixture(scope="session")
def run_tool(repository) -> Callable[..., subprocess.CompletedProcess]:
    """Runs ``tools/<name>`` as a user would, but in this process, since importing torch takes seconds.

    Tests that start separate processes: ``test_config.py``, ``tools/test_training_tools.py``,
    ``tools/test_recover.py``.
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
