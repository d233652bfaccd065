"""Fixtures shared by all tests."""

from __future__ import annotations

import os
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
