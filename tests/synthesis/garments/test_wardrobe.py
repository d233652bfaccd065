"""Every registered garment fits every body: cut from measurements, seams equal, placed round the body."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.body.smpl import SMPL
from mviper.body.surface import BodyShape
from mviper.config import load_config
from mviper.errors import ConfigError
from mviper.registry import GARMENTS
from mviper.synthesis.garments import PatternError, Range, TankTop
from mviper.synthesis.simulation.basting import baste
from mviper.synthesis.simulation.meshes import edges_of, vertex_normals

BETAS = {
    "mean": np.zeros(10),
    "large": np.array([2.0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    "small": np.array([-2.0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    "second_up": np.array([0, 2.0, 0, 0, 0, 0, 0, 0, 0, 0]),
    "second_down": np.array([0, -2.0, 0, 0, 0, 0, 0, 0, 0, 0]),
    "third_up": np.array([0, 0, 2.0, 0, 0, 0, 0, 0, 0, 0]),
    "third_down": np.array([0, 0, -2.0, 0, 0, 0, 0, 0, 0, 0]),
    "corner": np.array([2.0, 2, 2, -2, 2, -2, 2, 2, -2, 2]),
    "other_corner": np.array([-2.0, -2, 2, 2, -2, -2, 2, -2, 2, 2]),
}


GARMENTS.get("TShirt")  # a look-up makes the package register its components

#: Every garment of the package; projects may have registered others in this process.
WARDROBE = sorted(
    name for name, component in GARMENTS.module_dict.items() if component.__module__.startswith("mviper.")
)


@pytest.fixture(scope="module")
def body() -> SMPL:
    return SMPL()


@pytest.mark.parametrize("name", BETAS)
@pytest.mark.parametrize("garment_type", WARDROBE)
def test_garment_fits(garment_type: str, name: str, body: SMPL) -> None:
    shape = BodyShape.from_body(body, BETAS[name])
    garment = GARMENTS.build(dict(type=garment_type, edge_length=0.04)).cut(shape, np.random.default_rng(5))
    assert len(garment.vertices) == len(garment.uv) == len(garment.panel) == len(garment.pins)
    assert np.isfinite(garment.vertices).all()
    # Basted round the body, the seams are all but closed and the cloth has its lengths: it is neither too tight nor
    # lost.
    placed = baste(garment, shape.vertices, vertex_normals(shape.vertices, shape.faces))
    gaps = np.linalg.norm(placed[garment.seams[:, 0]] - placed[garment.seams[:, 1]], axis=1)
    edges = edges_of(garment.faces)
    now, flat = (np.linalg.norm(x[edges[:, 0]] - x[edges[:, 1]], axis=1) for x in (placed, garment.uv))
    assert gaps.max() < 0.012
    assert np.percentile(now / flat, 99) < 1.25
    # Faces look away from the body: the right side of the cloth is outside.
    middle = shape.vertices.mean(axis=0)
    outward = np.einsum("fi,fi->f", _face_normals(placed, garment.faces), placed[garment.faces].mean(axis=1) - middle)
    assert np.mean(outward > 0) > 0.7


def test_same_draw_gives_the_same_garment_and_another_draw_another(body: SMPL) -> None:
    shape = BodyShape.from_body(body, BETAS["mean"])
    shirt = GARMENTS.build(dict(type="TShirt", edge_length=0.04))
    first, again, other = (shirt.cut(shape, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.vertices, again.vertices)
    assert first.parameters == again.parameters != other.parameters


@pytest.mark.parametrize("ease", [0.1, (0.1,), (0.2, 0.1), (0.1, np.inf), ("a", "b")])
def test_range_that_is_none_is_refused_by_name(ease: object) -> None:
    with pytest.raises(ConfigError, match=r"pencil_skirt: hip_ease is \(lowest, highest\)"):
        GARMENTS.build(dict(type="PencilSkirt", hip_ease=ease))


def test_a_garment_states_only_what_is_its_own(body: SMPL) -> None:
    class LongVest(TankTop):
        """Its fields are keywords of its constructor, drawn in order after the inherited ones."""

        name = "long_vest"
        length: Range = (1.2, 1.3)
        hem: Range = (0.5, 0.6)

    vest = LongVest(strap=(0.05, 0.05), edge_length=0.04)
    assert list(vest.ranges) == [*TankTop().ranges, "hem"] and vest.material == "jersey"
    assert vest.ranges["length"] == (1.2, 1.3) and TankTop().ranges["length"] == (0.85, 1.0)
    drawn = vest.design(np.random.default_rng(0))
    rng = np.random.default_rng(0)
    assert drawn == {name: rng.uniform(*bounds) for name, bounds in vest.ranges.items()}
    with pytest.raises(ConfigError, match=r"long_vest: hem is \(lowest, highest\)"):
        LongVest(hem=0.5)
    with pytest.raises(TypeError, match="positional"):
        LongVest((0.1, 0.2))


def test_misspelt_design_parameter_of_a_config_is_refused_with_near_ones(repository) -> None:
    outfit = [dict(type="Shorts", tigh_ease=(0.1, 0.2))]
    with pytest.raises(ConfigError, match=r"outfit\[0\]\.tigh_ease: .* did you mean thigh_ease"):
        load_config(repository / "configs/synthesis/deepmimic.py", {"outfit": outfit})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (dict(material="coton"), "t_shirt: unknown cloth material 'coton'; there are cotton"),
        (dict(edge_length=-0.02), r"t_shirt: expected edge_length > 0 in metres, e.g. 0.02, got -0.02"),
        (dict(edge_length="2 cm"), "t_shirt: expected edge_length .* got '2 cm'"),
    ],
)
def test_mesh_or_material_that_is_none_is_refused(option: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GARMENTS.build(dict(type="TShirt", **option))


@pytest.mark.parametrize(
    ("garment_type", "options", "message"),
    [
        ("TShirt", dict(length=(-1, -1)), "^t_shirt: panel 'front', edge 'side_left': the hem lies"),
        ("OpenJacket", dict(length=(-1, -1)), "^open_jacket: panel 'front_left', edge 'side_left': the hem lies"),
        (
            "OpenJacket", dict(sleeve_ease=(0.6, 0.6)),
            "^open_jacket: panel 'front_left', edge 'armhole_left' and panel 'sleeve_left', edge 'cap_front': no "
            "armhole within 11 cm",
        ),
    ],
)  # fmt: skip
def test_draft_that_does_not_fit_names_garment_panel_and_edge(
    garment_type: str, options: dict, message: str, body: SMPL
) -> None:
    garment = GARMENTS.build(dict(type=garment_type, **options))
    with pytest.raises(PatternError, match=message):
        garment.cut(BodyShape.from_body(body, BETAS["mean"]), np.random.default_rng(0))


def test_trousers_are_pinned_at_the_waist_only(body: SMPL) -> None:
    shape = BodyShape.from_body(body, BETAS["mean"])
    garment = GARMENTS.build(dict(type="Trousers", edge_length=0.03)).cut(shape, np.random.default_rng(0))
    pinned = garment.vertices[garment.pins > 0]
    assert len(pinned) > 20
    assert np.ptp(pinned[:, 2]) < 0.03
    assert pinned[:, 2].min() > garment.vertices[:, 2].max() - 0.035
    assert not GARMENTS.build(dict(type="TShirt", edge_length=0.04)).cut(shape, np.random.default_rng(0)).pins.any()


def _face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
