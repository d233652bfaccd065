"""Fabric presets and their conversion into Blender's units."""

from __future__ import annotations

import pytest

from mviper.errors import ConfigError
from mviper.synthesis.simulation.blender_units import blender_material, time_scale
from mviper.synthesis.simulation.materials import MATERIALS, cloth_material


def test_presets_are_fabrics() -> None:
    assert set(MATERIALS) == {"cotton", "silk", "denim", "leather", "wool", "jersey"}
    for material in MATERIALS.values():
        assert 0.03 < material.density < 0.8  # chiffon to heavy leather
        assert 0.005 < material.bending_length < 0.04  # limp jersey to canvas
        assert material.drape[0] < material.drape[1]
        assert material.source


def test_unknown_material_lists_the_presets() -> None:
    with pytest.raises(ConfigError, match="unknown cloth material 'tin'; there are cotton, jersey"):
        cloth_material("tin")


def test_a_finer_mesh_is_the_same_fabric() -> None:
    cotton = cloth_material("cotton")
    fine, coarse = (blender_material(cotton, edge, 0.866 * edge**2) for edge in (0.02, 0.04))
    assert coarse.mass == pytest.approx(4 * fine.mass)  # weight per area
    assert coarse.air == pytest.approx(4 * fine.air)  # drag per area
    assert coarse.tension / 0.04 == pytest.approx(fine.tension / 0.02)  # spring constant of an edge
    assert coarse.damping == pytest.approx(fine.damping)
    # Hinge torque: bending times length of the edge times height of the triangle.
    assert coarse.bending * 0.04**2 == pytest.approx(fine.bending * 0.02**2)


def test_cotton_at_20_mm_is_near_blenders_own_preset() -> None:
    settings = blender_material(cloth_material("cotton"), 0.02, 0.866 * 0.02**2)
    assert settings.mass == pytest.approx(0.3, rel=0.3)
    assert settings.air == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("steps", [10, 20, 30])
@pytest.mark.parametrize("fps", [24.0, 25.0, 30.0, 50.0, 60.0, 120.0])
def test_time_scale_makes_a_second_a_second(fps: float, steps: int) -> None:
    # The solver's gravity is 9.81 / 1000 a unit of time squared, and a frame is one unit times the scale.
    assert 9.81 / 1000 * (time_scale(fps, steps) * fps) ** 2 == pytest.approx(9.81, rel=2e-4)
