"""Patterns: outlines, seams, triangulation, and the errors that name panel and edge."""

from __future__ import annotations

import numpy as np
import pytest

from mviper.synthesis.garments.drafting import Draft, cut_out
from mviper.synthesis.garments.pattern import Edge, Panel, Pattern, PatternError, Seam
from mviper.synthesis.garments.triangulation import triangulate


def rectangle(name: str, width: float = 0.3, height: float = 0.2) -> Panel:
    corners = [("bottom", (0.0, 0.0)), ("right", (width, 0.0)), ("top", (width, height)), ("left", (0.0, height))]
    return Panel(name, tuple(Edge(*corner) for corner in corners))


def flat_placement(flat: np.ndarray) -> np.ndarray:
    return np.column_stack([flat, np.zeros(len(flat))])


def test_curve_runs_at_even_distances_and_has_the_arc_length() -> None:
    # A cubic that approximates a quarter circle of radius 1 to 0.03 % (control distance 0.5523).
    quarter = Edge("arc", (1.0, 0.0), ((1.0, 0.5523), (0.5523, 1.0)))
    panel = Panel("sector", (quarter, Edge("up", (0.0, 1.0)), Edge("down", (0.0, 0.0))))
    assert panel.length("arc") == pytest.approx(np.pi / 2, abs=1e-3)
    steps = np.linalg.norm(np.diff(panel.curve("arc", 20), axis=0), axis=1)
    assert np.ptp(steps) < 1e-3 * steps.mean()


def test_mirrored_panel_keeps_names_lengths_and_sense() -> None:
    panel = Panel("a", (Edge("bottom", (0.0, 0.0)), Edge("side", (0.3, 0.0), ((0.35, 0.1),)), Edge("back", (0.2, 0.4))))
    mirrored = panel.mirrored("b")
    mirrored.check()
    for name in ("bottom", "side", "back"):
        assert mirrored.length(name) == pytest.approx(panel.length(name), abs=1e-9)
        np.testing.assert_allclose(mirrored.curve(name)[::-1] * [-1, 1], panel.curve(name), atol=1e-3)


@pytest.mark.parametrize("edge_length", [0.01, 0.02, 0.035])
def test_triangulation_is_even_and_follows_the_outline(edge_length: float) -> None:
    panel = Panel(
        "curved",
        (
            Edge("hem", (-0.25, 0.0)),
            Edge("side", (0.25, 0.0)),
            Edge("armhole", (0.22, 0.3), ((0.17, 0.3), (0.16, 0.4))),
            Edge("top", (0.17, 0.5), ((0.0, 0.42),)),
            Edge("armhole2", (-0.17, 0.5), ((-0.16, 0.4), (-0.17, 0.3))),
            Edge("side2", (-0.22, 0.3)),
        ),
    )
    segments = {edge.name: round(panel.length(edge.name) / edge_length) for edge in panel.edges}
    flat, faces, on_edges = triangulate(panel, segments, edge_length)
    for name, vertices in on_edges.items():
        np.testing.assert_allclose(flat[vertices], panel.curve(name, segments[name]), atol=1e-9)
    corners = flat[faces]
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = 0.5 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    outline = np.concatenate([panel.curve(edge.name, segments[edge.name])[:-1] for edge in panel.edges])
    x, y = outline.T
    shoelace = 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
    assert area.min() > 0
    assert area.sum() == pytest.approx(shoelace, rel=1e-6)  # no holes, no overlap
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1)
    assert np.percentile(sides, 1) > 0.5 * edge_length
    assert np.percentile(sides, 99) < 1.6 * edge_length
    angle = np.degrees(
        np.arccos(np.clip((ab * ac).sum(1) / np.linalg.norm(ab, axis=1) / np.linalg.norm(ac, axis=1), -1, 1))
    )
    assert np.percentile(angle, 1) > 25


def test_seam_partners_have_equally_many_vertices_in_opposite_order() -> None:
    pattern = Pattern((rectangle("a"), rectangle("b", width=0.25)), (Seam(("a", "right"), ("b", "left")),))
    garment = cut_out(Draft(pattern, {"a": flat_placement, "b": flat_placement}), 0.03, "g", "top", "cotton")
    pairs = garment.vertices[garment.seams]
    assert len(pairs) == round(0.2 / 0.03) + 1
    np.testing.assert_allclose(pairs[:, 0, 1], pairs[:, 1, 1], atol=1e-9)  # same height: bottom to bottom
    assert (garment.panel[garment.seams] == [0, 1]).all()


def test_vertices_that_meet_in_one_point_are_all_paired() -> None:
    names = ("a", "b", "c", "d")
    seams = tuple(Seam((p, "right"), (q, "left")) for p, q in zip(names, (*names[1:], names[0])))
    pattern = Pattern(tuple(rectangle(name, 0.2) for name in names), (*seams, Seam(("a", "top"), ("b", "bottom"))))
    garment = cut_out(Draft(pattern, dict.fromkeys(names, flat_placement)), 0.05, "g", "top", "cotton")
    assert (np.diff(garment.seams, axis=1) > 0).all()
    assert len(np.unique(garment.seams, axis=0)) == len(garment.seams)


def test_seam_of_unequal_lengths_is_refused_by_name() -> None:
    pattern = Pattern(
        (rectangle("front"), rectangle("back", height=0.25)), (Seam(("front", "right"), ("back", "left")),)
    )
    with pytest.raises(
        PatternError, match=r"'front', edge 'right' \(200 mm\) and panel 'back', edge 'left' \(250 mm\)"
    ):
        pattern.check()


def test_self_crossing_panel_is_refused_by_name() -> None:
    bow = Panel("bow", (Edge("a", (0, 0)), Edge("b", (0.3, 0.2)), Edge("c", (0.3, 0.0)), Edge("d", (0.0, 0.2))))
    with pytest.raises(PatternError, match="'bow': its outline crosses itself, edge 'a' with edge 'c'"):
        bow.check()


def test_clockwise_panel_is_refused() -> None:
    panel = Panel("p", tuple(reversed([Edge(str(k), xy) for k, xy in enumerate([(0, 0), (0.1, 0), (0.1, 0.1)])])))
    with pytest.raises(PatternError, match="'p': its outline runs clockwise"):
        panel.check()


def test_unknown_edge_and_panel_are_refused_by_name() -> None:
    with pytest.raises(PatternError, match="panel 'a' has no edge 'collar'"):
        Pattern((rectangle("a"), rectangle("b")), (Seam(("a", "collar"), ("b", "left")),)).check()
    with pytest.raises(PatternError, match="no panel 'c'"):
        Pattern((rectangle("a"),), (Seam(("a", "left"), ("c", "left")),)).check()


def test_edge_sewn_twice_is_refused() -> None:
    panels = (rectangle("a"), rectangle("b"), rectangle("c"))
    with pytest.raises(PatternError, match="panel 'a', edge 'right': sewn twice"):
        Pattern(panels, (Seam(("a", "right"), ("b", "left")), Seam(("a", "right"), ("c", "left")))).check()
