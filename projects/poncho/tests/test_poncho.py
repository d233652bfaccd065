"""The poncho is plugged in by a config alone, fits large and small bodies, and is sewn and draped by Blender."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mviper.body.smpl import SMPL
from mviper.body.surface import BodyShape
from mviper.errors import ConfigError
from mviper.structures import MeshSequence
from mviper.synthesis.simulation import BlenderCloth
from mviper.synthesis.simulation.basting import baste
from mviper.synthesis.simulation.meshes import edges_of, vertex_normals
from projects.poncho import Poncho

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIG = REPOSITORY / "projects" / "poncho" / "configs" / "deepmimic_poncho.py"


@pytest.fixture(scope="module")
def body() -> SMPL:
    return SMPL()


def test_config_alone_brings_it_in(body: SMPL, tmp_path) -> None:
    flat = tmp_path / "poncho.svg"
    command = [sys.executable, "tools/draft_pattern.py", "Poncho", "--config", CONFIG, "--out", flat]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shape, own = BodyShape.from_body(body, np.zeros(10)), dict(reach=(0.85,) * 2, length=(0.85,) * 2)
    drawn = Poncho(**own, neck_width=(0.06, 0.06), edge_length=0.04).cut(shape, np.random.default_rng(0))
    read = Poncho(edge_length=0.04, pattern=str(flat)).cut(shape, np.random.default_rng(0))
    np.testing.assert_allclose(np.ptp(read.uv, axis=0), np.ptp(drawn.uv, axis=0), atol=1e-6)


def test_the_wardrobe_tool_takes_its_config(monkeypatch, tmp_path) -> None:
    spec = importlib.util.spec_from_file_location("browse_tool", REPOSITORY / "tools" / "browse.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    options = ["--garments", "Poncho", "--config", CONFIG, "--motion", "fly", "--out", tmp_path]
    monkeypatch.setattr(sys, "argv", ["browse.py", "wardrobe", *map(str, options)])
    with pytest.raises(ConfigError, match=r"no motion 'fly'; there are .*walk"):  # of the config; the garment is known
        tool.main()


@pytest.mark.parametrize("beta", [-2.0, 0.0, 2.0])
def test_fits(body: SMPL, beta: float) -> None:
    shape = BodyShape.from_body(body, np.array([beta, *[0.0] * 9]))
    garment = Poncho(edge_length=0.04).cut(shape, np.random.default_rng(1))
    placed = baste(garment, shape.vertices, vertex_normals(shape.vertices, shape.faces))
    gaps = np.linalg.norm(placed[garment.seams[:, 0]] - placed[garment.seams[:, 1]], axis=1)
    edges = edges_of(garment.faces)
    now, flat = (np.linalg.norm(x[edges[:, 0]] - x[edges[:, 1]], axis=1) for x in (placed, garment.uv))
    assert gaps.max() < 0.012
    assert np.percentile(now / flat, 99) < 1.25


def test_is_sewn_and_drapes(body: SMPL) -> None:
    pytest.importorskip("bpy")
    shape = BodyShape.from_body(body, np.zeros(10))
    garment = Poncho(edge_length=0.05).cut(shape, np.random.default_rng(1))
    still = MeshSequence(np.repeat(shape.vertices[None], 4, axis=0), shape.faces, name="body")
    result = BlenderCloth(drape_frames=14)([garment], still, 30.0)
    figures = result.quality["poncho"]
    assert figures["seams_closed"] == 100
    cloth = result.meshes[0].vertices
    assert cloth[0, :, 2].max() > shape.joints[12, 2] - 0.10  # it lies on the shoulders
    assert cloth[-1, :, 2].min() < shape.crotch_height() + 0.35  # and hangs down
