"""The body for fitting motions in these tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_files import write_acclaim

from mviper.body.smpl import SMPL
from mviper.motion import DeepMimicMotion, TargetBody


@pytest.fixture(scope="session")
def body() -> SMPL:
    return SMPL()


@pytest.fixture(scope="session")
def target(body) -> TargetBody:
    return TargetBody.from_body(body)


@pytest.fixture(scope="session")
def acclaim(target, tmp_path_factory) -> Path:
    """DeepMimic's walk as ASF and AMC on CMU's bones, 320 frames at 120 Hz."""
    source, folder = DeepMimicMotion(names="walk", min_seconds=2.7, fps=120), tmp_path_factory.mktemp("acclaim")
    write_acclaim(folder, source.load(next(source.clips()), target)[:320], target.rest_joints)
    return folder
