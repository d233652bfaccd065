"""A body, a short walk, and configs for complete sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from mviper.body import SMPL
from mviper.structures import Motion

#: A short dressed walk with coarse cloth: all steps are real, and it takes about a minute.
MINI_CONFIG = """
_base_ = ["{base}"]
source = dict(type="DeepMimicMotion", names=["walk"])
betas = dict(scale=0.5, limit=1.0)
max_frames = 16
min_seconds = 0.3
lead_in = dict(frames=24, still=2)
outfit = [dict(type="Trousers", edge_length=0.03), dict(type="TShirt", edge_length=0.03)]
appearance = dict(type="SkinHairShoes", tones=[4, 5, 6, 7])
fabric = dict(patterns=["plain", "stripes", "plaid", "dots", "weave"])
"""


@pytest.fixture(scope="session")
def body() -> SMPL:
    return SMPL()


@pytest.fixture(scope="session")
def moving(body: SMPL) -> Motion:
    """A body that bends, turns and moves aside over 6 frames, standing on the floor."""
    rng = np.random.default_rng(7)
    frames = 6
    phase = np.linspace(0, 1, frames)[:, None, None]
    poses = (1 - phase) * 0.25 * rng.normal(size=(24, 3)) + phase * 0.25 * rng.normal(size=(24, 3))
    upright = [np.pi / 2, 0, 0]
    poses[:, 0] = upright + 0.2 * rng.normal(size=(1, 3))
    transl = np.linspace([0.0, 0.0, 1.2], [0.7, -0.5, 1.25], frames)
    return Motion(poses, transl, rng.normal(size=10) * 0.7, 30.0, body.body_model_id, "moving")


def sphere(points: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced points on a sphere (a Fibonacci spiral) and their hull's triangles, normals outwards."""
    index = np.arange(points) + 0.5
    height, turn = 1 - 2 * index / points, np.pi * (1 + 5**0.5) * index
    vertices = np.stack([np.sqrt(1 - height**2) * np.cos(turn), np.sqrt(1 - height**2) * np.sin(turn), height], 1)
    faces = ConvexHull(vertices).simplices
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    inward = (np.cross(b - a, c - a) * a).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return radius * vertices, faces


@pytest.fixture(scope="session")
def make_sphere():
    return sphere


@pytest.fixture(scope="session")
def mini_config(tmp_path_factory, repository: Path) -> Path:
    path = tmp_path_factory.mktemp("synthesis") / "mini.py"
    path.write_text(MINI_CONFIG.format(base=repository / "configs" / "synthesis" / "deepmimic.py"))
    return path
