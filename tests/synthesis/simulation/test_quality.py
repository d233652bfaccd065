"""Quality measures on hand-made cloth, merging, following, materials."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.structures import MeshSequence
from mviper.synthesis.simulation.follow import follow_surface
from mviper.synthesis.simulation.meshes import edges_of, keep_lengths, mean_by_group, merge_pairs
from mviper.synthesis.simulation.probes import LayerProbe, SurfaceProbe, facing_gap
from mviper.synthesis.simulation.projection import project_outside
from mviper.synthesis.simulation.quality import (
    QualityLimits,
    bare_figures,
    first_breach,
    layer_figures,
    penetration_figures,
    stretch_figures,
)

pytest.importorskip("bpy")


def sphere(radius: float, rows: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and outward faces of a sphere of ``rows`` rings."""
    polar, around = np.linspace(0, np.pi, rows + 1)[1:-1], 2 * np.pi * np.arange(2 * rows) / (2 * rows)
    grid = np.stack(
        [np.outer(np.sin(polar), np.cos(around)), np.outer(np.sin(polar), np.sin(around)),
         np.outer(np.cos(polar), np.ones_like(around))], -1,
    )  # fmt: skip
    vertices = radius * np.concatenate([grid.reshape(-1, 3), [[0, 0, 1.0], [0, 0, -1.0]]])
    n, count = 2 * rows, (rows - 1) * 2 * rows
    faces = []
    for row in range(rows - 2):
        for k in range(n):
            a, b = row * n + k, row * n + (k + 1) % n
            faces += [[a, a + n, b], [b, a + n, b + n]]
    faces += [[count, k, (k + 1) % n] for k in range(n)]
    faces += [[count + 1, (rows - 2) * n + (k + 1) % n, (rows - 2) * n + k] for k in range(n)]
    return vertices, np.array(faces)


def still_probe(radius: float = 0.3, frames: int = 2) -> SurfaceProbe:
    vertices, faces = sphere(radius)
    return SurfaceProbe(MeshSequence(np.repeat(vertices[None], frames, 0), faces))


def test_penetration_counts_what_lies_deeper_than_a_millimetre() -> None:
    cloth, _ = sphere(0.31)
    cloth = np.repeat(cloth[None], 2, 0)
    count = cloth.shape[1]
    cloth[1, :10] *= 0.28 / 0.31  # ten vertices 20 mm under the skin in frame 1
    figures = penetration_figures(cloth, still_probe(), first=0)
    assert figures["inside_worst"] == pytest.approx(100 * 10 / count)
    assert figures["inside_mean"] == pytest.approx(50 * 10 / count)
    assert figures["deepest"] == pytest.approx(20, abs=2)
    assert penetration_figures(cloth[:1], still_probe(), 0)["deepest"] == 0


def test_projection_brings_cloth_out_and_leaves_the_rest() -> None:
    cloth, faces = sphere(0.31)
    cloth = cloth[None].copy()
    cloth[0, :10] *= 0.28 / 0.31
    probe = still_probe()
    moved = project_outside(cloth, faces, probe.distance)
    assert probe.nearest(0, moved[0])[0].min() > 0
    far = cloth[0, :, 2] < 0
    np.testing.assert_array_equal(moved[0, far], cloth[0, far])


def test_bare_skin_is_the_share_that_lost_its_cover() -> None:
    cloth, faces = sphere(0.33, rows=40)
    faces = faces[(cloth[faces][:, :, 2] > -0.2).all(axis=1)]  # a bowl, its rim at z = -0.2
    frames = np.repeat(cloth[None], 2, 0)
    frames[1, cloth[:, 0] > 0] *= 0.1  # half of it passed through the body
    figures = bare_figures(frames, faces, still_probe(), first=1, every=1)
    assert figures["bare_worst"] == pytest.approx(50, abs=6)
    assert bare_figures(frames[:1], faces, still_probe(), first=0, every=1)["bare_worst"] == 0
    everywhere = np.ones(len(still_probe().vertices[0]), bool)
    both = bare_figures(frames, faces, still_probe(), first=1, every=1, among=everywhere)
    assert both["bare_anywhere_worst"] == both["bare_worst"] == figures["bare_worst"]
    other_half = still_probe().vertices[0][:, 0] < -0.02
    assert bare_figures(frames, faces, still_probe(), first=1, every=1, among=other_half)["bare_worst"] < 5
    belt = faces[(np.abs(cloth[faces][:, :, 2]) < 0.05).all(axis=1)]
    own, belt = np.unique(belt, return_inverse=True)
    assert set(bare_figures(frames[:, own], belt.reshape(-1, 3), still_probe(), 1, 1, everywhere).values()) == {0.0}
    aside = bare_figures(
        frames + 9, faces, still_probe(), 1, 1
    )  # it has vertices that should cover the body and do not
    assert set(aside.values()) == {100.0}


def test_points_before_a_sharp_tip_are_outside() -> None:
    # A needle along x with its tip at the origin: seen from a point in front of the tip, some faces look away.
    around = np.array([[-0.1, 0.01, 0.0], [-0.1, -0.005, 0.0087], [-0.1, -0.005, -0.0087]])
    vertices = np.concatenate([[[0.0, 0, 0]], around])
    faces = np.array([[0, 2, 1], [0, 3, 2], [0, 1, 3], [1, 2, 3]])
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    outward = np.einsum("fi,fi->f", np.cross(b - a, c - a), a - vertices.mean(0)) > 0
    faces = np.where(outward[:, None], faces, faces[:, ::-1])
    probe = SurfaceProbe(MeshSequence(vertices[None], faces))
    before = np.array([[0.01, 0.02 * np.cos(angle), 0.02 * np.sin(angle)] for angle in np.linspace(0, 6, 13)])
    distance, _, _ = probe.nearest(0, np.concatenate([before, [[-0.05, 0, 0]]]))
    assert (distance[:-1] > 0).all()
    assert distance[-1] < 0


def test_points_before_skin_turned_inside_out_are_outside() -> None:
    # Beside the body a blister of its skin that faces inwards, as the folds of a clenched hand do.
    ball, faces = sphere(0.3)
    vertices = np.concatenate([ball, 0.1 * ball + [1, 0, 0]])
    probe = SurfaceProbe(MeshSequence(vertices[None], np.concatenate([faces, len(ball) + faces[:, ::-1]])))
    distance, _, _ = probe.nearest(0, np.array([[0.9, 0, 0], [0.25, 0, 0], [0.35, 0, 0]]))
    np.testing.assert_allclose(distance, [0.07, -0.05, 0.05], atol=0.003)


def skirt(lift: float) -> tuple[np.ndarray, np.ndarray]:
    """A cone from the girdle of a ball of 0.3 m to a hem 0.3 m from it, which points upwards by ``lift`` [rad]."""
    around, along = np.linspace(0, 2 * np.pi, 61)[:-1], np.linspace(0, 0.3, 13)[:, None]
    radius = 0.31 + along * np.cos(lift)
    height = np.repeat(0.1 + along * np.sin(lift), 60, 1)
    vertices = np.stack([radius * np.cos(around), radius * np.sin(around), height], -1).reshape(-1, 3)
    row = np.arange(60)
    quads = [np.stack([60 * k + row, 60 * k + 60 + row, 60 * k + np.roll(row, -1)], 1) for k in range(12)]
    more = [
        np.stack([60 * k + np.roll(row, -1), 60 * k + 60 + row, 60 * k + 60 + np.roll(row, -1)], 1) for k in range(12)
    ]
    return vertices, np.concatenate(quads + more)


def test_a_skirt_that_flies_in_a_spin_covers_what_is_below_it_one_that_fell_over_the_head_does_not() -> None:
    cloth, faces = skirt(-np.pi / 2)
    body = still_probe(frames=4)
    below = body.vertices[0][:, 2] > -0.3
    frames = np.stack([cloth, skirt(-0.2)[0], skirt(np.pi / 2)[0], cloth - [0, 0, 1]])
    worst = [bare_figures(frames[[0, k]], faces, body, 1, 1, among=below)["bare_worst"] for k in range(4)]
    assert worst[:2] == [0, 0]
    assert worst[2:] == [100, 100]


def test_cloth_on_somebody_upside_down_does_not_count_until_it_has_settled() -> None:
    cloth, faces = skirt(-np.pi / 2)
    ball = still_probe().vertices[0]
    upright = np.array([1, 0, 0, 1, 1, 1], bool)
    body = np.where(upright[:, None, None], ball, ball * [1, -1, -1])
    probe = SurfaceProbe(MeshSequence(body, still_probe().faces))
    frames = np.repeat(cloth[None], 6, 0)
    frames[1:5] -= [0, 0, 2]
    assert bare_figures(frames, faces, probe, 1, 1, settling=2)["bare_worst"] == 0
    assert bare_figures(frames, faces, probe, 1, 1, settling=1)["bare_worst"] == 100
    np.testing.assert_equal(bare_figures(frames[:3], faces, probe, 1, 1)["bare_mean"], 0)


def test_layers_count_the_outer_behind_the_inner() -> None:
    outer, faces = sphere(0.31)
    inner, _ = sphere(0.30)
    frames = np.repeat(outer[None], 2, 0)
    frames[1] *= 0.29 / 0.31
    inner = LayerProbe(np.repeat(inner[None], 2, 0), faces, still_probe(0.25))
    figures = layer_figures(frames, inner, first=0, every=1)
    assert figures == {"layers_mean": pytest.approx(50), "layers_worst": pytest.approx(100)}


def test_cloth_beyond_the_inner_garments_hem_is_not_behind_it() -> None:
    ball, faces = sphere(0.30)
    below = faces[(ball[faces, 1] < 0.01).all(axis=1)]
    outer = ball.copy()
    outer[ball[:, 1] > 0.01] *= 0.95  # drawn in above the hem, outside of the inner below it
    outer[ball[:, 1] <= 0.01] *= 1.02
    inner = LayerProbe(ball[None], below, still_probe(0.25))
    assert layer_figures(outer[None], inner, first=0)["layers_mean"] == 0
    assert layer_figures(0.97 * ball[None], inner, first=0)["layers_mean"] > 90


def test_projection_brings_an_outer_garment_before_the_inner_and_leaves_what_is_far() -> None:
    outer, faces = sphere(0.295)
    inner, _ = sphere(0.30)
    outer[0] = [0, 0, 0.2]  # 10 cm behind: other cloth, not this layer
    layer = LayerProbe(inner[None], faces, still_probe(0.28))
    moved = project_outside(outer[None], faces, layer.distance)
    before = layer_figures(outer[None], layer, first=0)["layers_mean"]
    after = layer_figures(moved, layer, first=0)["layers_mean"]
    assert before == pytest.approx(100) and after == 0
    np.testing.assert_allclose(moved[0, 0], outer[0], atol=0.01)


def test_stretch_is_relative_to_the_pattern() -> None:
    vertices, faces = sphere(0.3)
    edges = edges_of(faces)
    rest = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    figures = stretch_figures(np.stack([vertices, 1.2 * vertices]), faces, rest, still_probe(), first=0)
    assert figures == {"stretch_p99": pytest.approx(1.1), "stretch_p99_worst": pytest.approx(1.2)}


def test_cloth_that_the_body_holds_may_stretch() -> None:
    ball, faces = sphere(0.1)
    faces = np.concatenate([faces, faces + len(ball)])
    apart, together = (np.concatenate([ball, ball + np.array([x, 0, 0])]) for x in (1.0, 0.205))
    probe = SurfaceProbe(MeshSequence(np.stack([apart, together]), faces))
    edges = edges_of(faces)
    rest = np.linalg.norm(apart[edges[:, 0]] - apart[edges[:, 1]], axis=1)
    between = np.abs(together[:, 0] - 0.1025) < 0.02
    pulled = np.where(between[edges].all(axis=1), rest / 2, rest)
    figures = stretch_figures(np.stack([apart, together]), faces, pulled, probe, first=0)
    assert figures == {"stretch_p99": pytest.approx(1.5), "stretch_p99_worst": pytest.approx(2.0)}


def test_self_contact_is_found_where_far_parts_meet() -> None:
    ball, faces = sphere(0.1)
    rest = np.concatenate([ball, ball + np.array([1.0, 0, 0])])
    faces = np.concatenate([faces, faces + len(ball)])
    near = np.concatenate([ball, ball + np.array([0.205, 0, 0])])
    assert np.isinf(facing_gap(rest, rest, faces)).all()
    touching = near[facing_gap(near, rest, faces) < 0.012]
    assert len(touching) > 0
    assert np.abs(touching[:, 0] - 0.1025).max() < 0.02


@pytest.mark.parametrize(
    ("figures", "kind", "expected"),
    [
        ({"finite": False}, "top", "NaN vertices"),
        ({"finite": True, "inside_mean": 0.6}, "top", "inside_mean is 0.60, the limit 0.5"),
        ({"finite": True, "stretch_p99": 1.7}, "top", "stretch_p99 is 1.70, the limit 1.5"),
        ({"finite": True, "stretch_p99": 1.7}, "bottom", None),
        ({"finite": True, "stretch_p99": 1.7}, "skirt", "stretch_p99 is 1.70, the limit 1.5"),
        ({"finite": True, "bare_worst": 83.0, "inside_mean": 0.1}, "bottom", "bare_worst is 83.00, the limit 20"),
    ],
)
def test_first_breach_names_the_figure_and_its_limit(figures: dict, kind: str, expected: str | None) -> None:
    breach = first_breach(figures, kind, QualityLimits())
    assert breach is None if expected is None else expected in breach


def test_points_follow_a_surface_that_turns() -> None:
    surface, _ = sphere(0.3)
    points = 1.05 * surface[::40]
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    frames = np.stack([surface, surface @ turn.T + [1.0, 2, 3]])
    np.testing.assert_allclose(follow_surface(points, frames)[1], points @ turn.T + [1.0, 2, 3], atol=1e-9)


def test_chains_of_seam_pairs_become_one_vertex() -> None:
    group = merge_pairs(np.array([[0, 3], [3, 5], [1, 2]]), 6)
    assert group[0] == group[3] == group[5] != group[1] == group[2]
    assert len(set(group.tolist())) == 3
    values = mean_by_group(np.arange(6.0)[:, None], group)
    assert values[group[0], 0] == pytest.approx(8 / 3)


def test_keep_lengths_restores_a_stretched_sheet() -> None:
    x, y = np.meshgrid(np.arange(8.0), np.arange(8.0))
    flat = np.column_stack([x.ravel(), y.ravel(), np.zeros(64)])
    cells = np.array([[k, k + 1, k + 9, k + 8] for k in range(55) if k % 8 < 7])
    edges = edges_of(np.concatenate([cells[:, [0, 1, 2]], cells[:, [0, 2, 3]]]))
    lengths = np.linalg.norm(flat[edges[:, 0]] - flat[edges[:, 1]], axis=1)
    moved = keep_lengths(flat * [1.2, 0.95, 1.0], edges, lengths, 200)
    assert np.abs(np.linalg.norm(moved[edges[:, 0]] - moved[edges[:, 1]], axis=1) / lengths - 1).max() < 0.02
