"""The body that motions are fitted to in these tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mviper.body.smpl import SMPL
from mviper.motion import sole_points


@dataclass
class Rest:
    joints: np.ndarray
    soles: np.ndarray


@pytest.fixture(scope="session")
def body() -> SMPL:
    return SMPL()


@pytest.fixture(scope="session")
def rest(body) -> Rest:
    betas = torch.zeros(1, 10)
    with torch.no_grad():
        return Rest(body.rest_joints(betas)[0].double().numpy(), sole_points(body.rest_vertices(betas)[0].numpy()))
