"""Newton's cloth solver, plugged in by a config: real sheets, and a real garment on a real walk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from mviper.body import SMPL
from mviper.body.surface import BodyShape
from mviper.config import load_config
from mviper.errors import MissingDependencyError
from mviper.registry import SIMULATORS
from mviper.synthesis import Factory, Performance, complete_config, list_jobs
from mviper.synthesis.garments import PencilSkirt
from mviper.synthesis.simulation import cloth_material
from projects.newton_cloth import NewtonCloth
from projects.newton_cloth.simulator import held

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIG = REPOSITORY / "projects" / "newton_cloth" / "configs" / "deepmimic_newton.py"
FPS = 30.0
FAR = (np.full((1, 3, 3), 100.0) + np.eye(3), np.array([[0, 1, 2]]))  # an obstacle that nothing touches


def installed() -> bool:
    try:
        NewtonCloth()
    except MissingDependencyError:
        return False
    return True


needs_newton = pytest.mark.skipif(
    not installed(), reason="pip install -c requirements/constraints.txt -r projects/newton_cloth/requirements.txt"
)


def test_config_alone_plugs_it_in() -> None:
    tool = REPOSITORY / "tools" / "print_config.py"
    done = subprocess.run([sys.executable, tool, CONFIG], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "NewtonCloth" in done.stdout and "BlenderCloth" not in done.stdout


def test_missing_package_is_one_error_with_its_command(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "warp", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .* -r projects/newton_cloth/requirements\.txt"):
        SIMULATORS.build(dict(type="NewtonCloth"))


def test_the_waistband_is_held_and_the_seat_is_free() -> None:
    skirt = PencilSkirt().cut(BodyShape.from_body(SMPL(), np.zeros(10)), np.random.default_rng(0))
    height = skirt.vertices[:, 2].max() - skirt.vertices[:, 2]
    assert len(held(skirt.pins)) > 20 and height[held(skirt.pins)].max() < 0.015
    assert height[skirt.pins > 0].max() > 0.1  # those of the seat are weaker


def sheet(frames: int, size: float = 0.6, cells: int = 24, pinned: bool = True):
    """A level square sheet, held along one side."""
    from projects.newton_cloth.style3d import Cloth

    side = np.linspace(0, size, cells + 1)
    flat = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    index = np.arange(len(flat)).reshape(cells + 1, cells + 1)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    vertices = np.column_stack([flat, np.zeros(len(flat))])
    held = index[0] if pinned else index[0, :0]
    path = np.repeat(vertices[None, held], frames, axis=0)
    return Cloth(vertices, faces, flat[faces], cloth_material("cotton"), held, path), index[-1]


def fall(cloth, **settings) -> np.ndarray:
    from projects.newton_cloth.style3d import Settings, simulate

    still = np.repeat(FAR[0], len(cloth.pin_path), axis=0)
    settings = dict(steps=10, air_drag=0.0, self_distance=0.0, device="cpu") | settings
    return simulate([cloth], [(still, FAR[1])], FPS, Settings(**settings))[0]


def chain(times: np.ndarray, length: float = 0.6, links: int = 24) -> np.ndarray:
    """Height of the free end of an inextensible chain of point masses released horizontally (Lagrange's equations)."""
    link, masses = length / links, np.r_[np.ones(links - 1), 0.5]
    below = np.cumsum(masses[::-1])[::-1]
    shared = link * below[np.maximum.outer(np.arange(links), np.arange(links))]

    def motion(_: float, state: np.ndarray) -> np.ndarray:
        angle, speed = state[:links], state[links:]
        apart = angle[:, None] - angle
        push = -(shared * np.sin(apart)) @ speed**2 - 9.81 * below * np.sin(angle)
        return np.r_[speed, np.linalg.solve(shared * np.cos(apart), push)]

    start = np.r_[np.full(links, np.pi / 2), np.zeros(links)]
    angles = solve_ivp(motion, (0, times[-1]), start, t_eval=times, rtol=1e-6, atol=1e-8).y[:links]
    return -link * np.cos(angles).sum(axis=0)


@needs_newton
def test_free_fall() -> None:
    cloth, _ = sheet(16, cells=6, pinned=False)
    x = fall(cloth, linear_iterations=1)
    np.testing.assert_allclose(x[-1, :, 2], -0.5 * 9.81 * 0.5**2, rtol=0.01)


@needs_newton
def test_hanging_sheet_reaches_its_length_in_the_right_time() -> None:
    cloth, free = sheet(31)
    x = fall(cloth)
    height = x[:, free, 2].mean(axis=1)
    np.testing.assert_allclose(height[:11], chain(np.arange(11) / FPS), atol=0.03)  # until the sheet is straight
    assert height.min() < -0.55
    assert length(x) == pytest.approx(0.6, rel=0.01)
    assert length(fall(cloth, linear_iterations=1)) > 0.65  # too few iterations: the cloth stretches like rubber


def length(x: np.ndarray) -> float:
    """Mean length of the sheet's threads in the last frame [m]."""
    side = round(x.shape[1] ** 0.5)
    return float(np.linalg.norm(np.diff(x[-1].reshape(side, side, 3), axis=0), axis=-1).sum(axis=0).mean())


@pytest.fixture(scope="module")
def walk() -> tuple[Factory, Performance]:
    """A third of a second of the shipped walk, with its lead-in, for the config's mean body."""
    options = {"source.names": ["walk"], "max_frames": 10, "min_seconds": 0.3, "lead_in.frames": 24}
    config = complete_config(load_config(CONFIG, options | {"simulator.drape_frames": 6}).to_dict())
    config["outfit"] = [dict(type="Trousers", edge_length=0.035), dict(type="TShirt", edge_length=0.035)]
    config["simulator"] |= dict(device="cpu")
    factory = Factory(config)
    return factory, factory.perform(
        list_jobs(config)[0].clip, np.zeros(factory.body.num_betas), np.random.default_rng(0)
    )


@needs_newton
def test_dressed_walk_is_accepted_at_the_first_try(walk) -> None:
    factory, performance = walk
    body, lead_in = performance.body, performance.lead_in
    garments = factory.cut(performance.shape, np.random.default_rng(0))
    result = factory.simulator(garments, body, FPS, lead_in)  # rejects cloth that exceeds a limit
    assert result.quality["solver_steps"] == 10
    for mesh in result.meshes:
        assert mesh.vertices.shape[0] == len(body)
        figures = result.quality[mesh.name]
        assert figures["finite"] and figures["seams_closed"] == 100
        assert 1.0 < figures["stretch_p99"] < 1.5
        travelled = mesh.vertices[-1].mean(axis=0) - mesh.vertices[lead_in].mean(axis=0)
        np.testing.assert_allclose(travelled, body.vertices[-1].mean(0) - body.vertices[lead_in].mean(0), atol=0.1)


@needs_newton
def test_same_input_gives_the_same_vertices() -> None:
    cloth, _ = sheet(6, cells=8)
    np.testing.assert_array_equal(fall(cloth, self_distance=0.004), fall(cloth, self_distance=0.004))
