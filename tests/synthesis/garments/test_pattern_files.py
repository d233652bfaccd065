"""Pattern files: round trip, garments cut from edited files, damage reported with its location."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mviper.body.smpl import SMPL
from mviper.body.surface import BodyShape
from mviper.errors import ConfigError, FileFormatError
from mviper.registry import GARMENTS
from mviper.synthesis.garments import Edge, Panel, Pattern, PatternError, Seam
from mviper.synthesis.garments.measure import Measurements
from mviper.synthesis.garments.pattern_files import read_pattern, write_pattern


@pytest.fixture(scope="module")
def shape() -> BodyShape:
    return BodyShape.from_body(SMPL(), np.zeros(10))


@pytest.fixture(scope="module")
def shirt(shape: BodyShape) -> Pattern:
    garment = GARMENTS.build(dict(type="TShirt"))
    return garment.draft(Measurements(shape), garment.design(None)).pattern


def skirt() -> Pattern:
    """A dart, a gathered seam and a band that is sewn to two edges."""
    corners = [("bottom", (0.0, 0.0)), ("right", (0.3, 0.0)), ("top", (0.3, 0.2)), ("left", (0.0, 0.2))]
    panel, dart = Panel("skirt & co", tuple(Edge(*corner) for corner in corners)).with_dart("top", 0.5, 0.03, 0.1)
    band = Panel("band", (
        Edge("hem", (0.0, 0.0), ((0.1, 0.01),)), Edge("end", (0.18, 0.0)),
        Edge("top", (0.18, 0.05), ((0.1, 0.06), (0.05, 0.06))), Edge("start", (0.0, 0.05)),
    ))  # fmt: skip
    chain = (("skirt & co", "top_before"), ("skirt & co", "top_after"))
    return Pattern((panel, band), (dart, Seam(chain, ("band", "hem"), easing=0.05, gather=1.5)))


@pytest.mark.parametrize("ending", [".json", ".svg"])
def test_patterns_read_back(tmp_path: Path, shirt: Pattern, ending: str) -> None:
    for number, pattern in enumerate((shirt, skirt())):
        pattern.check()
        path = tmp_path / f"{number}{ending}"
        write_pattern(pattern, path)
        read = read_pattern(path)
        if ending == ".json":
            assert read == pattern
        assert read.seams == pattern.seams
        assert [panel.name for panel in read.panels] == [panel.name for panel in pattern.panels]
        for own, other in zip(pattern.panels, read.panels):
            assert [edge.name for edge in own.edges] == [edge.name for edge in other.edges]
            for edge in own.edges:
                np.testing.assert_allclose(own.curve(edge.name), other.curve(edge.name), atol=2e-9)


def test_svg_has_true_scale_and_names_every_panel_edge_and_seam(tmp_path: Path, shirt: Pattern) -> None:
    write_pattern(shirt, tmp_path / "shirt.svg")
    root = ElementTree.parse(tmp_path / "shirt.svg").getroot()
    width = float(root.get("width").removesuffix("mm"))
    assert root.get("viewBox").split()[2] == f"{width:.1f}"  # one unit is one millimetre
    texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    for panel in shirt.panels:
        assert panel.name in texts
        for edge in panel.edges:
            assert f"{edge.name} {1000 * panel.length(edge.name):.0f}" in texts
    for number in range(1, len(shirt.seams) + 1):
        assert texts.count(str(number)) == 2  # on both sides


def test_garment_is_cut_from_an_edited_file(tmp_path: Path, shape: BodyShape, shirt: Pattern) -> None:
    front = shirt.panel("front")
    longer = tuple(  # 5 cm longer at the hem, front and back
        replace(panel, edges=tuple(
            replace(edge, start=(edge.start[0], edge.start[1] - 0.05)) if edge.start[1] == 0 else edge
            for edge in panel.edges
        )) if panel.name in ("front", "back") else panel
        for panel in shirt.panels
    )  # fmt: skip
    path = tmp_path / "shirt.svg"
    write_pattern(Pattern(longer, shirt.seams), path)
    fixed = {key: (np.mean(bounds),) * 2 for key, bounds in GARMENTS.build(dict(type="TShirt")).ranges.items()}
    cut = [
        GARMENTS.build(dict(type="TShirt", edge_length=0.04, pattern=pattern, **fixed)).cut(
            shape, np.random.default_rng(0)
        )
        for pattern in (None, str(path))
    ]
    rows = [garment.panel == garment.panel_names.index("front") for garment in cut]
    heights = [np.ptp(garment.uv[row, 1]) for garment, row in zip(cut, rows)]
    assert heights[1] - heights[0] == pytest.approx(0.05, abs=1e-6)
    # It is placed like the drafted one.
    for edge in (np.min, np.max):
        placed = [edge(garment.vertices[row], axis=0) for garment, row in zip(cut, rows)]
        np.testing.assert_allclose(placed[0], placed[1], atol=0.012)
    assert front.length("side_left") < Pattern(longer, ()).panel("front").length("side_left")


def test_pattern_that_is_not_this_garments_or_does_not_fit_is_refused_by_name(
    tmp_path: Path, shape: BodyShape, shirt: Pattern
) -> None:
    def cut(pattern: Pattern) -> None:
        write_pattern(pattern, tmp_path / "p.json")
        garment = GARMENTS.build(dict(type="TShirt", pattern=str(tmp_path / "p.json"), edge_length=0.05))
        garment.cut(shape, np.random.default_rng(0))

    def scaled(panel: Panel, x: float) -> Panel:
        return Panel(panel.name, tuple(
            Edge(e.name, (x * e.start[0], e.start[1]), tuple((x * a, b) for a, b in e.controls)) for e in panel.edges
        ))  # fmt: skip

    with pytest.raises(PatternError, match=r"t_shirt \(.*p.json\): the pattern lacks panel 'sleeve_right'"):
        cut(Pattern(shirt.panels[:-1], ()))
    renamed = replace(
        shirt.panels[0], edges=(replace(shirt.panels[0].edges[0], name="him"), *shirt.panels[0].edges[1:])
    )
    with pytest.raises(PatternError, match="panel 'front' lacks edge 'hem', has unknown edge 'him'"):
        cut(Pattern((renamed, *shirt.panels[1:]), ()))
    narrow = tuple(scaled(panel, 0.75) if "sleeve" not in panel.name else panel for panel in shirt.panels)
    with pytest.raises(
        PatternError, match="panel 'front' from edge 'armhole_left' to edge 'side_right' with panel 'ba"
    ):
        cut(Pattern(narrow, ()))
    tight = tuple(scaled(panel, 0.6) if "sleeve" in panel.name else panel for panel in shirt.panels)
    with pytest.raises(
        PatternError, match=r"'sleeve_left' from edge 'cap_back' .* measures \d+ mm, the body's upper arm"
    ):
        cut(Pattern(tight, ()))


def test_pattern_that_cannot_be_sewn_is_refused_before_any_body(tmp_path: Path, shirt: Pattern) -> None:
    path = tmp_path / "p.json"
    hem, side, *others = shirt.panels[0].edges
    crossed = Panel("front", (replace(hem, start=side.start), replace(side, start=hem.start), *others))
    for pattern, message in (
        (Pattern((crossed, *shirt.panels[1:]), shirt.seams), "panel 'front': its outline crosses itself"),
        (replace(shirt, seams=(*shirt.seams, Seam(("front", "hem"), ("sleeve_left", "cuff")))), "seam between panel"),
    ):
        write_pattern(pattern, path)
        with pytest.raises(PatternError, match=rf"t_shirt \(.*p.json\): {message}"):
            GARMENTS.build(dict(type="TShirt", pattern=str(path)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ('{"format": "x"}', "not a sewing pattern: expected format 'mviper-pattern', version 1"),
        ('{"format": "mviper-pattern", "version": 1, "panels": [], "seams": []}', "the pattern has no panels"),
        ('{"format": "mviper-pattern", "version": 1, "panels": [{"name": "a"}]}', "not a sewing pattern: KeyError"),
    ],
)  # fmt: skip
def test_damaged_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(FileFormatError, match=message):
        read_pattern(path)


def test_damaged_svg_is_refused_by_panel(tmp_path: Path, shirt: Pattern) -> None:
    path = tmp_path / "p.svg"
    write_pattern(shirt, path)
    text = path.read_text()

    def damaged(old: str, new: str) -> None:
        assert old in text
        path.write_text(text.replace(old, new, 1))

    damaged('data-edges="hem ', 'data-edges="')
    with pytest.raises(FileFormatError, match="panel 'front': its path has 9 curves, but data-edges lists 8"):
        read_pattern(path)
    damaged(" C ", " A ")
    with pytest.raises(FileFormatError, match="panel 'front': path command 'A' is not M, L, H, V, Q, C, Z"):
        read_pattern(path)
    damaged("<metadata>", "<metadata>x")
    with pytest.raises(FileFormatError, match="does not hold the seams"):
        read_pattern(path)
    path.write_text("<!DOCTYPE svg><svg/>")
    with pytest.raises(FileFormatError, match="entities are not supported"):
        read_pattern(path)
    with pytest.raises(FileFormatError, match="No such file"):
        read_pattern(tmp_path / "none.json")
    with pytest.raises(ConfigError, match=r"ends in .json or .svg"):
        read_pattern("shirt.dxf")


def test_other_units_and_byte_order_marks(tmp_path: Path, shirt: Pattern) -> None:
    """Regression: a sheet in another unit was cut at the wrong size; Windows editors add a byte order mark."""
    for ending in (".json", ".svg"):
        path = tmp_path / f"p{ending}"
        write_pattern(shirt, path)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert len(read_pattern(path).panels) == len(shirt.panels)
    text = path.read_text(encoding="utf-8-sig")
    changes = {'mm" height': '" height', 'm" height': 'cm" height', 'viewBox="0 0 ': 'viewBox="0 0 2', "viewBox": "box"}
    for old, new in changes.items():
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(FileFormatError, match="its unit is not a millimetre: width '"):
            read_pattern(path)
    path = tmp_path / "p.json"
    path.write_text(path.read_text(encoding="utf-8-sig").replace('"unit": "m"', '"unit": "cm"'))
    with pytest.raises(FileFormatError, match="its unit is 'cm', expected metres"):
        read_pattern(path)


def test_only_transforms_that_leave_a_panels_shape_are_read(tmp_path: Path, shirt: Pattern) -> None:
    path = tmp_path / "p.svg"
    write_pattern(shirt, path)
    text, panels = path.read_text(), read_pattern(path).panels
    start, end = text.index('<g data-panel="front"'), text.rindex("</svg>")
    path.write_text(f'{text[:start]}<g transform="translate(20)">{text[start:end]}</g></svg>')
    assert read_pattern(path).panels == panels
    for inner, outer in (("scale(2)", ""), ("translate(1 2) rotate(90)", ""), ("", "matrix(2 0 0 2 0 0)")):
        moved = text[start:end].replace('transform="', f'transform="{inner}', 1)
        path.write_text(f'{text[:start]}<g transform="{outer}">{moved}</g></svg>')
        with pytest.raises(
            FileFormatError, match="panel 'front': only translate is supported as a transform of its group"
        ):
            read_pattern(path)


@pytest.mark.parametrize("ending", [".json", ".svg"])
@pytest.mark.parametrize(
    ("key", "value"), [("easing", "NaN"), ("easing", "-1"), ("gather", "Infinity"), ("gather", "0")]
)
def test_seam_without_a_length_is_refused(tmp_path: Path, shirt: Pattern, ending: str, key: str, value: str) -> None:
    path = tmp_path / f"p{ending}"
    write_pattern(shirt, path)
    text, count = re.subn(rf'("|&quot;){key}("|&quot;): [\d.]+', rf"\1{key}\2: {value}", path.read_text(), count=1)
    assert count == 1
    path.write_text(text)
    with pytest.raises(FileFormatError, match=r"seam between .*'front'.*: expected easing >= 0 and gather > 0"):
        read_pattern(path)


def test_relative_and_short_path_commands_are_read(tmp_path: Path) -> None:
    square = Panel("a", tuple(Edge(n, xy) for n, xy in zip("wens", [(0.0, 0.0), (0.1, 0.0), (0.1, 0.1), (0.0, 0.1)])))
    path = tmp_path / "a.svg"
    write_pattern(Pattern((square,), ()), path)
    text = path.read_text()
    start = text.index('d="M', text.index("data-panel")) + 3
    for d in ("m0,0 h100 v-100 h-100 z", "M 0 0 L 100 0 100 -100 H 0 Z", "m 0 0 100 0 0 -100 -100 0 v 100 z"):
        path.write_text(text[:start] + d + text[text.index('"', start) :])
        assert read_pattern(path).panels == (square,)


def test_tool_drafts_to_measure(tmp_path: Path, run_tool) -> None:
    out = tmp_path / "top.json"
    options = ("TankTop", "--betas", "1", "--measurements", "--set", "strap=0.05", "--out", out)
    done = run_tool("draft_pattern.py", *options)
    assert done.returncode == 0, done.stderr
    assert "strap 0.050" in done.stdout
    assert "back_length" in done.stdout
    assert read_pattern(out).panel("front").length("shoulder_left") == pytest.approx(0.05, abs=0.01)
    assert json.loads(out.read_text())["unit"] == "m"
