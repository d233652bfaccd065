"""Textile engineering tests on Blender's solver."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.cloth_laboratory import (
    SPECIMEN,
    STAND,
    DrapeTest,
    cantilever,
    chain_depth,
    disc,
    drape_coefficient,
    drape_test,
    free_fall,
    hanging_sheet,
)

from mviper.synthesis.simulation import BlenderCloth
from mviper.synthesis.simulation.blender_units import AIR_DRAG
from mviper.synthesis.simulation.materials import MATERIALS

pytest.importorskip("bpy")


@pytest.fixture(scope="module")
def draped() -> dict[str, DrapeTest]:
    return {name: drape_test(BlenderCloth(), name, seconds=1.5) for name in MATERIALS}


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0])
def test_loose_sheet_falls_freely_at_any_frame_rate(fps: float) -> None:
    depth = free_fall(BlenderCloth(air_drag=0.0), "cotton", seconds=0.5, fps=fps)
    time = np.arange(len(depth)) / fps
    np.testing.assert_allclose(depth[-1], 0.5 * 9.81 * time[-1] ** 2, rtol=0.02)
    assert 2 * np.polyfit(time, depth, 2)[0] == pytest.approx(9.81, rel=0.005)


def test_air_slows_light_cloth_more() -> None:
    fallen = {}
    for name in ("silk", "denim"):
        depth = free_fall(BlenderCloth(), name, seconds=0.5)
        rate, time = AIR_DRAG / MATERIALS[name].density, (len(depth) - 1) / 30.0
        fallen[name] = depth[-1]
        assert depth[-1] == pytest.approx(9.81 / rate * (time - (1 - np.exp(-rate * time)) / rate), rel=0.02)
    assert fallen["silk"] < 0.85 * fallen["denim"]


@pytest.mark.parametrize("name", ["jersey", "cotton"])
def test_hanging_sheet_reaches_its_length_in_the_right_time(name: str) -> None:
    length, fps = 0.5, 60.0
    depth = hanging_sheet(BlenderCloth(air_drag=0.0), name, length, seconds=0.5, fps=fps)
    time = np.arange(len(depth)) / fps
    expected = chain_depth(length, time)
    there = expected.argmax()
    assert np.abs(depth - expected)[: there + 1].mean() < 0.01 * length
    assert depth.max() == pytest.approx(length, rel=0.03)
    assert abs(time[depth.argmax()] - time[there]) <= 1.5 / fps


@pytest.mark.parametrize("name", ["wool", "denim"])
def test_cantilever_shows_the_bending_length(name: str) -> None:
    """Peirce's test: a strip of twice its bending length hangs at 41.5 degrees."""
    expected = MATERIALS[name].bending_length
    assert cantilever(BlenderCloth(), name, 2 * expected, seconds=1.5) == pytest.approx(expected, rel=0.1)


def test_flat_and_hanging_specimens_have_known_drape_coefficients() -> None:
    flat, faces = disc(SPECIMEN, STAND, 0.02)
    vertices = np.column_stack([flat, np.zeros(len(flat))])
    assert drape_coefficient(vertices, faces)[0] == pytest.approx(100, abs=1.5)
    radius = np.linalg.norm(flat, axis=1, keepdims=True).clip(1e-9)
    vertices[:, :2] *= np.minimum(radius, STAND) / radius
    assert drape_coefficient(vertices, faces)[0] == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("name", list(MATERIALS))
def test_drape_coefficient_is_what_the_literature_reports(draped: dict[str, DrapeTest], name: str) -> None:
    low, high = MATERIALS[name].drape
    assert low <= draped[name].coefficient <= high
    assert 4 <= draped[name].nodes <= 10


def test_cusicks_test_orders_the_materials(draped: dict[str, DrapeTest]) -> None:
    coefficient = {name: test.coefficient for name, test in draped.items()}
    order = ["jersey", "silk", "wool", "cotton", "denim"]
    assert sorted(order, key=coefficient.get) == order
    assert coefficient["wool"] < coefficient["leather"] < coefficient["denim"]


def test_drape_depends_little_on_the_mesh(draped: dict[str, DrapeTest]) -> None:
    finer = drape_test(BlenderCloth(), "cotton", edge_length=0.015, seconds=1.5)
    assert finer.coefficient == pytest.approx(draped["cotton"].coefficient, abs=10)


@pytest.mark.parametrize("name", ["cotton", "jersey", "denim"])
def test_half_the_time_step_gives_the_same_drape(draped: dict[str, DrapeTest], name: str) -> None:
    careful = drape_test(BlenderCloth(), name, seconds=1.5, steps=20)
    moved = np.linalg.norm(careful.vertices - draped[name].vertices, axis=1)[careful.free]
    assert moved.mean() <= 0.005


def test_the_same_test_gives_the_same_bytes(draped: dict[str, DrapeTest]) -> None:
    again = drape_test(BlenderCloth(), "denim", seconds=1.5)
    assert again.vertices.tobytes() == draped["denim"].vertices.tobytes()
