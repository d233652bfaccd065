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


@pytest.mark.parametrize("edge_length", [0.012, 0.02, 0.03])
@pytest.mark.parametrize(("width", "depth"), [(0.01, 0.13), (0.03, 0.10), (0.045, 0.06)])
def test_dart_is_meshed_up_to_its_tip_and_closes(edge_length: float, width: float, depth: float) -> None:
    curved = Panel("back", (
        Edge("hem", (0.0, 0.0)), Edge("side", (0.4, 0.0)), Edge("waist", (0.38, 0.5), ((0.2, 0.46),)),
        Edge("centre", (0.02, 0.5)),
    ))  # fmt: skip
    panel, seam = curved.with_dart("waist", 0.45, width, depth)
    lengths = {name: panel.length(f"waist_{name}") for name in ("before", "after", "leg_in", "leg_out")}
    assert lengths["before"] + lengths["after"] + width == pytest.approx(curved.length("waist"), abs=5e-4)
    assert lengths["before"] / (lengths["before"] + lengths["after"] + width) == pytest.approx(
        0.45 - 0.5 * width / curved.length("waist"), abs=2e-3
    )
    assert lengths["leg_in"] == pytest.approx(np.hypot(depth, width / 2), abs=2e-4)
    garment = cut_out(Draft(Pattern((panel,), (seam,)), {"back": flat_placement}), edge_length, "g", "top", "cotton")
    gaps = np.linalg.norm(np.diff(garment.uv[garment.seams], axis=1)[:, 0], axis=1)
    assert len(gaps) == max(1, round(lengths["leg_in"] / edge_length))  # the tip has no partner
    assert gaps.max() == pytest.approx(width, rel=0.02)  # the mouth
    # The removed area is the notch; the tip is inside the cloth, surrounded by triangles.
    ab, ac = (garment.uv[garment.faces[:, k]] - garment.uv[garment.faces[:, 0]] for k in (1, 2))
    area = 0.5 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    whole = 0.5 * (0.4 + 0.36) * 0.5 - 2 / 3 * 0.36 * 0.02  # a trapezium less the parabola above it
    assert area.min() > 0
    assert whole - area.sum() == pytest.approx(0.5 * width * depth, rel=0.1, abs=2e-4)


def test_dart_that_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(PatternError, match=r"panel 'a', edge 'top' \(300 mm\): a dart 50 mm wide .* does not fit"):
        rectangle("a").with_dart("top", 0.05, 0.05, 0.1)
    panel, seam = rectangle("a", height=0.1).with_dart("top", 0.5, 0.04, 0.12)  # deeper than the panel
    with pytest.raises(PatternError, match="'a': its outline crosses itself"):
        Pattern((panel,), (seam,)).check()


def test_gathered_seam_pairs_a_longer_edge_with_a_shorter_one() -> None:
    band, skirt = rectangle("band", width=0.2, height=0.05), rectangle("skirt", width=0.3)
    seam = Seam(("skirt", "top"), ("band", "bottom"), gather=1.5)
    draft = Draft(Pattern((band, skirt), (seam,)), dict.fromkeys(("band", "skirt"), flat_placement))
    garment = cut_out(draft, 0.02, "g", "bottom", "cotton")
    assert len(garment.seams) == round(0.3 / 0.02) + 1
    along = np.sort(garment.seams, axis=1)
    steps = np.abs(np.diff(garment.uv[along][:, :, 0], axis=0))
    np.testing.assert_allclose(steps[:, 1] / steps[:, 0], 1.5, rtol=1e-6)
    with pytest.raises(
        PatternError, match=r"'skirt', edge 'top' \(300 mm\) and .* the first must be 1.2 times the sec"
    ):
        Pattern((band, skirt), (Seam(("skirt", "top"), ("band", "bottom"), gather=1.2),)).check()


def test_one_edge_is_sewn_to_several() -> None:
    band, front, back = rectangle("band", width=0.5, height=0.05), rectangle("front", 0.3), rectangle("back", 0.2)
    chain = (("front", "top"), ("back", "top"))
    pattern = Pattern(
        (band, front, back), (Seam(("band", "bottom"), chain), Seam(("front", "left"), ("back", "right")))
    )
    garment = cut_out(
        Draft(pattern, dict.fromkeys(("band", "front", "back"), flat_placement)), 0.02, "g", "top", "silk"
    )
    pairs = garment.panel[garment.seams]
    assert (pairs == [0, 1]).all(axis=1).sum() == 16
    assert (pairs == [0, 2]).all(axis=1).sum() == 11
    # The band's left end meets the back's left corner, its right end the front's right corner.
    left, right = (garment.seams[garment.seams[:, 0] == vertex, 1] for vertex in _ends(garment, 0))
    assert garment.panel[left].tolist() == [2]
    assert garment.panel[right].tolist() == [1]
    # At the point where all three meet they are sewn together.
    middle = [
        v
        for v in np.unique(garment.seams[:, 0])
        if set(garment.panel[garment.seams[garment.seams[:, 0] == v, 1]]) == {1, 2}
    ]
    assert len(middle) == 1
    with pytest.raises(PatternError, match=r"'front', edge 'top' with panel 'back', edge 'top' \(500 mm\)"):
        Pattern((rectangle("band", 0.6), front, back), (Seam(("band", "bottom"), chain),)).check()


def _ends(garment, panel: int) -> tuple[int, int]:
    """The sewn vertices of a panel at smallest and largest x."""
    sewn = np.unique(garment.seams[garment.panel[garment.seams] == panel])
    return sewn[garment.uv[sewn, 0].argmin()], sewn[garment.uv[sewn, 0].argmax()]
