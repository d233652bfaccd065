"""The body that motions are fitted to in these tests."""

from __future__ import annotations

import pytest

from mviper.body.smpl import SMPL
from mviper.motion import TargetBody


@pytest.fixture(scope="session")
def body() -> SMPL:
    return SMPL()


@pytest.fixture(scope="session")
def target(body) -> TargetBody:
    return TargetBody.from_body(body)
