"""Nearest points, smooth fields, cuts and flattening on shapes with known results."""

from __future__ import annotations

import numpy as np
from scipy.sparse import identity
from scipy.spatial import Delaunay

from mviper.synthesis.simulation.meshes import edges_of
from mviper.synthesis.simulation.surface_fields import (
    CutSurface,
    SmoothFields,
    closest_on_triangles,
    flatten_true,
    nearest_faces,
    triangle_areas,
)


def sheet(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An uneven flat sheet of 1 m x 1 m: (V, 2) and counter-clockwise faces."""
    rng = np.random.default_rng(seed)
    inside = rng.uniform(0.03, 0.97, (300, 2))
    side = np.linspace(0, 1, 15)
    border = [np.stack([side, 0 * side + k], 1) for k in (0, 1)] + [np.stack([0 * side + k, side], 1) for k in (0, 1)]
    flat = np.unique(np.concatenate([inside, *border]), axis=0)
    faces = Delaunay(flat).simplices
    a, b, c = (flat[faces[:, k]] for k in range(3))
    clockwise = (b - a)[:, 0] * (c - a)[:, 1] < (b - a)[:, 1] * (c - a)[:, 0]
    faces[clockwise] = faces[clockwise][:, ::-1]
    return flat, faces[triangle_areas(np.column_stack([flat, 0 * flat[:, 0]]), faces) > 1e-8]


def test_nearest_place_of_a_triangle_is_nearer_than_any_other() -> None:
    rng = np.random.default_rng(1)
    corners, points = rng.normal(size=(60, 3, 3)), rng.normal(size=(60, 3))
    place = closest_on_triangles(points, corners)
    assert (place > -1e-9).all() and np.allclose(place.sum(axis=1), 1)
    found = np.linalg.norm(np.einsum("nk,nki->ni", place, corners) - points, axis=1)
    other = rng.dirichlet([0.5] * 3, size=3000)
    best = np.linalg.norm(np.einsum("mk,nki->nmi", other, corners) - points[:, None], axis=-1).min(axis=1)
    assert (found <= best + 1e-9).all() and (best - found).max() < 0.15


def test_nearest_faces_look_the_same_way() -> None:
    flat, faces = sheet()
    lower, upper = (np.column_stack([flat, np.full(len(flat), z)]) for z in (0.0, 0.01))
    vertices = np.concatenate([lower, upper])
    both = np.concatenate([faces[:, ::-1], faces + len(flat)])  # the lower one faces down
    facing = np.repeat([[0.0, 0, -1], [0, 0, 1]], len(faces), axis=0)
    points = np.column_stack([flat[:50], np.full(50, 0.002)])
    face, place = nearest_faces(points, np.tile([0.0, 0, 1], (50, 1)), vertices, both, facing)
    assert (face >= len(faces)).all()  # the upper one, though the lower one is nearer
    np.testing.assert_allclose(np.einsum("nk,nki->ni", place, vertices[both[face]])[:, :2], points[:, :2], atol=1e-9)


def test_fields_go_on_straight_where_nothing_is_known() -> None:
    flat, faces = sheet()
    vertices = np.column_stack([flat, 0 * flat[:, 0]])
    truth = 0.3 + 2 * flat[:, 0] - flat[:, 1]
    known = np.abs(flat[:, 0] - 0.5) > 0.15
    field = SmoothFields(vertices, faces, 0.02).fit(np.where(known, truth, 1.0)[:, None], known.astype(float))[:, 0]
    inner = (flat > 0.25).all(axis=1) & (flat < 0.75).all(axis=1)  # a border would distort the field; the body has none
    assert np.abs(field - truth)[inner].max() < 0.02


def test_a_cut_follows_the_level_line_and_keeps_the_area(make_sphere) -> None:
    ball, faces = make_sphere(400, 1.0)
    surface = CutSurface(faces, identity(len(ball), format="csr"), ball.copy())
    cut, side = surface.cut(ball[:, 2] - 0.2)
    vertices = cut.weights @ ball
    np.testing.assert_allclose(vertices, cut.fields, atol=1e-12)
    assert np.isclose(triangle_areas(vertices, cut.faces).sum(), triangle_areas(ball, faces).sum())
    assert len(vertices) - len(edges_of(cut.faces)) + len(cut.faces) == 2  # still closed
    top = cut.keep(side > 0)
    heights = (top.weights @ ball)[:, 2]
    snapped = 0.05 * 2 * np.sqrt(4 * np.pi / 400)
    assert heights.min() > 0.2 - snapped and (vertices[cut.faces[side < 0]][:, :, 2] < 0.2 + snapped).all()
    assert (np.abs(heights - 0.2) < 1e-9).sum() > 20
    a, b, c = (top.weights @ ball)[top.faces].transpose(1, 0, 2)
    assert (np.einsum("fi,fi->f", np.cross(b - a, c - a), a) > 0).all()  # faces keep their orientation


def test_a_rolled_sheet_is_laid_flat_with_true_lengths() -> None:
    flat, faces = sheet()
    rolled = np.column_stack([0.4 * np.sin(flat[:, 0] / 0.4), 0.4 * np.cos(flat[:, 0] / 0.4), flat[:, 1]])[:, [0, 2, 1]]
    rolled[:, 2] *= -1  # outwards
    start = flat * [0.6, 1.0] + [5.0, 2.0]
    laid = flatten_true(rolled, faces, start, rounds=60)
    edges = edges_of(faces)
    lengths, wanted = (np.linalg.norm(x[edges[:, 0]] - x[edges[:, 1]], axis=1) for x in (laid, rolled))
    assert np.abs(lengths / wanted - 1).max() < 0.03
    np.testing.assert_allclose(laid.mean(axis=0), start.mean(axis=0), atol=0.05)
