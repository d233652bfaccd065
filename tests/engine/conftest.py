"""Toy model, data and config for tests of the engine: real runner, real loader workers, real checkpoints."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

_number = itertools.count()


@pytest.fixture
def toy_config(tmp_path):
    """A function that gives a loaded toy config with overrides."""
    from mviper.config import load_config

    def load(name: str = "run", **options):
        path = Path(__file__).with_name("toy_config.py")
        # mmengine keeps one message hub per name, and its default names differ only by the second.
        experiment_name = f"{name}_{next(_number)}"
        return load_config(path, {"work_dir": str(tmp_path / name), "experiment_name": experiment_name, **options})

    return load
