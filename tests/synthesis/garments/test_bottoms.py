"""Trousers, shorts, skirts and dresses fit every body; waistbands are pinned."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.body.smpl import SMPL
from mviper.body.surface import BodyShape
from mviper.registry import GARMENTS
from mviper.structures import Garment
from mviper.synthesis.garments.lower_body import LowerBody, ellipse_girth
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.pattern import PatternError
from mviper.synthesis.garments.skirts import RingSkirt
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
TYPES = ("Trousers", "Shorts", "CircleSkirt", "PencilSkirt", "Dress")
OPENINGS = {"Trousers": 3, "Shorts": 3, "CircleSkirt": 2, "PencilSkirt": 2, "Dress": 4}


@pytest.fixture(scope="module")
def shapes() -> dict[str, BodyShape]:
    body = SMPL()
    return {name: BodyShape.from_body(body, betas) for name, betas in BETAS.items()}


def below_waistband(garment: Garment) -> np.ndarray:
    """Vertices 5 cm or more below its upper edge, (V,) bool."""
    return garment.vertices[:, 2] < garment.vertices[:, 2].max() - 0.05


def cut(garment_type: str, shape: BodyShape, seed: int = 5, **options: object) -> Garment:
    return GARMENTS.build(dict(type=garment_type, edge_length=0.03, **options)).cut(shape, np.random.default_rng(seed))


@pytest.mark.parametrize("name", BETAS)
@pytest.mark.parametrize("garment_type", TYPES)
def test_garment_fits(garment_type: str, name: str, shapes: dict[str, BodyShape]) -> None:
    shape = shapes[name]
    garment = cut(garment_type, shape)
    # Basted round the body, the seams are all but closed and the cloth has its lengths: it is neither too tight nor
    # lost.
    placed = baste(garment, shape.vertices, vertex_normals(shape.vertices, shape.faces))
    gaps = np.linalg.norm(placed[garment.seams[:, 0]] - placed[garment.seams[:, 1]], axis=1)
    edges = edges_of(garment.faces)
    now, flat = (np.linalg.norm(x[edges[:, 0]] - x[edges[:, 1]], axis=1) for x in (placed, garment.uv))
    assert gaps.max() < 0.012
    assert np.percentile(now / flat, 99) < 1.25
    a, b, c = (placed[garment.faces[:, k]] for k in range(3))
    outward = np.einsum("fi,fi->f", np.cross(b - a, c - a), (a + b + c) / 3 - shape.vertices.mean(axis=0))
    assert np.mean(outward > 0) > 0.8  # the cloth's right side is outside
    if garment_type == "Dress":
        assert not garment.pins.any()  # it hangs from the shoulders
        return
    # Pinned only at the waistband, which is level and close to the body; a pencil skirt also, weakly, at the seat.
    below = below_waistband(garment)
    assert (garment_type == "PencilSkirt") == bool(garment.pins[below].any()) and garment.pins[below].max() <= 0.8
    pinned = garment.vertices[(garment.pins > 0.3) & ~below]
    assert len(pinned) > 10
    assert np.ptp(pinned[:, 2]) < 0.03
    assert pinned[:, 2].min() > garment.vertices[:, 2].max() - 0.035


@pytest.mark.parametrize("garment_type", TYPES)
def test_sewn_garment_is_one_piece_with_its_openings(garment_type: str, shapes: dict[str, BodyShape]) -> None:
    garment = cut(garment_type, shapes["mean"])
    point = np.arange(len(garment.vertices))
    for a, b in garment.seams:  # the lowest index of a chain of pairs represents it
        point[point == max(point[a], point[b])] = min(point[a], point[b])
    faces = point[garment.faces]
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    linked, count = np.unique(sides, axis=0, return_counts=True)
    assert count.max() == 2
    assert len(np.unique(faces)) - len(linked) + len(faces) == 2 - OPENINGS[garment_type]  # Euler's formula


def test_flare_goes_from_a_line_to_a_full_circle(shapes: dict[str, BodyShape]) -> None:
    lower = LowerBody(Measurements(shapes["mean"]), 0.7)
    hems = []
    for flare in (0.3, 0.6, 1.0):
        skirt = RingSkirt(lower, lower.waistband, flare, 0.5, 0.06)
        front = skirt.panels()[0]
        hems.append(2 * (front.length("hem_left") + front.length("hem_right")))
        assert 2 * front.length("waist") == pytest.approx(lower.waistband, rel=0.01)
        assert front.length("side_left") == pytest.approx(0.5)
        assert hems[-1] == pytest.approx(lower.waistband + 2 * np.pi * flare * 0.5, rel=1e-3)
    assert hems[2] > 2 * hems[0]


def test_skirt_flares_as_much_as_the_hips_ask_for(shapes: dict[str, BodyShape]) -> None:
    for shape in shapes.values():
        lower = LowerBody(Measurements(shape), 0.7)
        skirt = RingSkirt(lower, lower.waistband, 0.01, 0.5, 0.06)
        below = lower.waist_height - lower.levels[:-2]
        assert (skirt.waist + 2 * np.pi * skirt.flare * below >= lower.girths[:-2] + 0.04).all()


def test_pencil_skirt_has_a_vent_and_lets_the_legs_through(shapes: dict[str, BodyShape]) -> None:
    garment = cut("PencilSkirt", shapes["mean"], vent=(0.4, 0.4), length=(0.5, 0.5))
    left, right = (garment.panel_names.index(f"skirt_back_{side}") for side in ("left", "right"))
    sewn = garment.vertices[garment.seams[(np.sort(garment.panel[garment.seams]) == sorted((left, right))).all(1)]]
    assert 0.10 < sewn[..., 2].min() - garment.vertices[:, 2].min() < 0.15


def test_skirt_that_would_end_above_the_hips_is_refused_by_name(shapes: dict[str, BodyShape]) -> None:
    with pytest.raises(PatternError, match="panel 'skirt_front', edge 'thigh_left': the hem lies"):
        cut("PencilSkirt", shapes["mean"], length=(0.1, 0.1))


def test_lower_body_measures(shapes: dict[str, BodyShape]) -> None:
    lower = LowerBody(Measurements(shapes["mean"]), 0.7)
    tape = shapes["mean"].measurements()
    assert lower.hips == pytest.approx(tape["hip"], abs=0.01)
    assert tape["waist"] - 0.01 < lower.waist < lower.hips
    # A tape round both legs is longer than round one, and shorter than twice that.
    height = np.array(0.5 * (lower.crotch_height + lower.ankle_height))
    one = float(ellipse_girth(*lower.leg(height)[:2]))
    assert one < float(lower.outline_girth(height)) < 2 * one + 0.4
    assert float(ellipse_girth(np.array(0.2), np.array(0.2))) == pytest.approx(0.4 * np.pi)


def test_legs_may_come_out_from_under_skirts_only(shapes: dict[str, BodyShape]) -> None:
    shape = shapes["mean"]
    assert cut("Trousers", shape).covers is None
    for garment_type in ("CircleSkirt", "PencilSkirt", "Dress"):
        covers = cut(garment_type, shape).covers
        assert shape.vertices[covers, 2].min() > shape.crotch_height() > shape.vertices[~covers, 2].max() - 1e-9


def test_an_open_jacket_must_cover_what_it_hangs_on(shapes: dict[str, BodyShape]) -> None:
    shape = shapes["mean"]
    covered = shape.vertices[cut("OpenJacket", shape).covers]

    def nearest(joint: str, y: float, z: float) -> float:
        return np.linalg.norm(covered - shape.joint(joint) - [0, y, z], axis=1).min()

    assert max(nearest("left_elbow", 0, 0), nearest("neck", 0.06, 0), nearest("right_shoulder", 0.05, 0)) < 0.07
    assert min(nearest("neck", -0.1, -0.1), nearest("pelvis", 0.1, 0.2), nearest("left_knee", 0, 0)) > 0.07


def test_shorts_end_above_the_knee_and_trousers_at_the_ankle(shapes: dict[str, BodyShape]) -> None:
    shape = shapes["mean"]
    knee, ankle = (shape.joint(f"left_{name}")[2] for name in ("knee", "ankle"))
    assert cut("Shorts", shape).vertices[:, 2].min() > knee - 0.02
    assert cut("Trousers", shape).vertices[:, 2].min() < ankle + 0.10
