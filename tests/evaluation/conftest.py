from __future__ import annotations

import pytest

from mviper.registry import MODELS


@pytest.fixture(scope="session")
def body():
    return MODELS.build({"type": "mviper.SMPL"}).eval()
