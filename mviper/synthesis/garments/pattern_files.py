"""Sewing patterns as files: JSON at full precision, and SVG at true scale to print and cut."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from mviper.errors import ConfigError, FileFormatError
from mviper.files import atomic_path, read_text
from mviper.synthesis.garments.pattern import Edge, Panel, Pattern, Seam

FORMAT = "mviper-pattern"
VERSION = 1

#: Spacing between the panels on the sheet, and margin round them [mm].
_GAP = 40.0
_COMMANDS = {2: "L", 3: "Q", 4: "C"}
_NAMESPACE = "{http://www.w3.org/2000/svg}"


def write_pattern(pattern: Pattern, path: str | Path) -> None:
    """Writes a pattern in the format of the file's ending.

    Args:
        pattern: Panels and seams.
        path: ``.json`` (reads back equal) or ``.svg`` (true scale in mm; reads back to 1 nm).

    Raises:
        ConfigError: Unsupported ending.
    """
    with atomic_path(path) as temporary:
        temporary.write_text({".json": to_json, ".svg": to_svg}[_ending(path)](pattern), encoding="utf-8")


def read_pattern(path: str | Path) -> Pattern:
    """Reads a file of :func:`write_pattern`, possibly edited.

    Args:
        path: ``.json`` or ``.svg``.

    Returns:
        The pattern; :meth:`Pattern.check` tells whether it can be sewn.

    Raises:
        ConfigError: Unsupported ending.
        FileFormatError: No such file, or not a pattern; names the location.
    """
    ending = _ending(path)
    return {".json": _from_json, ".svg": _from_svg}[ending](read_text(Path(path).expanduser()), path)


def _ending(path: str | Path) -> str:
    ending = Path(path).suffix.lower()
    if ending not in (".json", ".svg"):
        raise ConfigError(f"{path}: a pattern file ends in .json or .svg")
    return ending


def to_json(pattern: Pattern) -> str:
    """A pattern as JSON text; lengths in metres."""
    panels = [
        dict(name=panel.name, edges=[
            dict(name=edge.name, start=list(edge.start), controls=[list(point) for point in edge.controls])
            for edge in panel.edges
        ])
        for panel in pattern.panels
    ]  # fmt: skip
    return json.dumps(dict(format=FORMAT, version=VERSION, unit="m", panels=panels, seams=_seams(pattern)), indent=1)


def _seams(pattern: Pattern) -> list[dict]:
    return [
        dict(a=[list(edge) for edge in seam.sides[0]], b=[list(edge) for edge in seam.sides[1]], easing=seam.easing,
             gather=seam.gather)
        for seam in pattern.seams
    ]  # fmt: skip


def _from_json(text: str, path: str | Path) -> Pattern:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileFormatError(path, f"not JSON: {error.msg}", line=error.lineno) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise FileFormatError(path, f"not a sewing pattern: expected format {FORMAT!r}, version {VERSION}")
    if content.get("unit", "m") != "m":
        raise FileFormatError(path, f"its unit is {content['unit']!r}, expected metres ('m')")
    try:
        panels = tuple(
            Panel(str(panel["name"]), tuple(
                Edge(str(edge["name"]), _pair(edge["start"]), tuple(_pair(point) for point in edge["controls"]))
                for edge in panel["edges"]
            ))
            for panel in content["panels"]
        )  # fmt: skip
        return _checked(Pattern(panels, _read_seams(content["seams"])), path)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FileFormatError(path, f"not a sewing pattern: {type(error).__name__}: {error}") from error


def _read_seams(seams: list[dict]) -> tuple[Seam, ...]:
    def side(edges: list[list[str]]) -> tuple:
        chain = tuple((str(panel), str(edge)) for panel, edge in edges)
        return chain[0] if len(chain) == 1 else chain

    return tuple(Seam(side(s["a"]), side(s["b"]), float(s["easing"]), float(s["gather"])) for s in seams)


def _pair(point: list[float]) -> tuple[float, float]:
    x, y = point
    return float(x), float(y)


def _checked(pattern: Pattern, path: str | Path) -> Pattern:
    """Raises on numbers and counts that no outline has."""
    if not pattern.panels:
        raise FileFormatError(path, "the pattern has no panels")
    for panel in pattern.panels:
        if len(panel.edges) < 2:
            raise FileFormatError(path, f"panel {panel.name!r} has {len(panel.edges)} edges, at least 2 are needed")
        for edge in panel.edges:
            if not np.isfinite([edge.start, *edge.controls]).all():
                raise FileFormatError(path, f"panel {panel.name!r}, edge {edge.name!r}: a coordinate is not a number")
            if len(edge.controls) > 2:
                raise FileFormatError(path, f"panel {panel.name!r}, edge {edge.name!r}: more than two control points")
    for seam in pattern.seams:
        if not (0 <= seam.easing < np.inf and 0 < seam.gather < np.inf):
            raise FileFormatError(
                path, f"seam between {seam.a} and {seam.b}: expected easing >= 0 and gather > 0, got {seam.easing} "
                f"and {seam.gather}"
            )  # fmt: skip
    return pattern


def to_svg(pattern: Pattern) -> str:
    """A pattern as SVG text: true scale in mm, each edge labelled with its name and length, seams with their number.

    Edges with the same number in a circle are sewn together. A panel is a group whose path has one curve per edge, in
    the order of ``data-edges``; the seams are in ``<metadata>``. There is no seam allowance.
    """
    number = {edge: f"{index + 1}" for index, seam in enumerate(pattern.seams) for side in seam.sides for edge in side}
    groups, x, low, high = [], _GAP, np.inf, -np.inf
    outlines = [1000 * np.concatenate([p.curve(e.name, 40) for e in p.edges]) for p in pattern.panels]
    for outline in outlines:
        low, high = min(low, outline[:, 1].min()), max(high, outline[:, 1].max())
    for panel, outline in zip(pattern.panels, outlines):
        shift = x - outline[:, 0].min()
        groups.append(_panel_group(panel, outline, number, shift, high + _GAP))
        x += np.ptp(outline[:, 0]) + _GAP
    height = high - low + 2 * _GAP + 15
    metadata = escape(json.dumps(dict(format=FORMAT, version=VERSION, seams=_seams(pattern))))
    ruler = f'<path class="ruler" d="M {_GAP:g} {height - 12:g} h 100 m -100 -3 v 6 m 100 -6 v 6"/>'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{x:.1f}mm" height="{height:.1f}mm" '
        f'viewBox="0 0 {x:.1f} {height:.1f}">',
        f"<metadata>{metadata}</metadata>",
        "<style>path {fill: none; stroke: black; stroke-width: 0.6} text {font: 8px sans-serif; text-anchor: middle} "
        ".name {font-size: 16px} circle {fill: white; stroke: black; stroke-width: 0.4}</style>",
        *groups,
        f'{ruler}<text style="text-anchor: start" x="{_GAP + 106:g}" y="{height - 9:g}">100 mm; no allowance</text>',
        "</svg>",
        "",
    ])  # fmt: skip


def _panel_group(panel: Panel, outline: np.ndarray, number: dict, right: float, down: float) -> str:
    """One panel [mm], moved to its position on the sheet; SVG's y axis points down."""
    path = []
    starts = [edge.start for edge in panel.edges]
    for edge, end in zip(panel.edges, [*starts[1:], starts[0]]):
        points = [*edge.controls, end]
        path.append(_COMMANDS[len(points) + 1] + " " + " ".join(_millimetres(point) for point in points))
    edges = " ".join(edge.name for edge in panel.edges)
    middle = 0.5 * (outline.min(axis=0) + outline.max(axis=0))
    lines = [
        f'<g data-panel={quoteattr(panel.name)} data-edges={quoteattr(edges)} '
        f'transform="translate({right:.3f} {down:.3f})">',
        f'<path d="M {_millimetres(starts[0])} {" ".join(path)} Z"/>',
        f'<text class="name" x="{middle[0]:.1f}" y="{-middle[1]:.1f}">{escape(panel.name)}</text>',
    ]  # fmt: skip
    for edge in panel.edges:
        curve = 1000 * panel.curve(edge.name, 20)
        (x, y), along = curve[10], curve[11] - curve[9]
        inward = np.array([-along[1], along[0]]) / max(np.linalg.norm(along), 1e-9)
        turn = -np.degrees(np.arctan2(along[1], along[0]))
        turn = turn - 180 if turn > 90 else turn + 180 if turn < -90 else turn  # never upside down
        label = f"{edge.name} {1000 * panel.length(edge.name):.0f}"
        at = f"translate({x + 12 * inward[0]:.2f} {-(y + 12 * inward[1]):.2f}) rotate({turn:.1f})"
        lines.append(f'<text transform="{at}" y="3">{escape(label)}</text>')
        if (panel.name, edge.name) in number:
            lines.append(
                f'<circle cx="{x:.2f}" cy="{-y:.2f}" r="5"/>'
                f'<text x="{x:.2f}" y="{-y + 3:.2f}">{number[panel.name, edge.name]}</text>'
            )
    return "\n".join([*lines, "</g>"])


def _millimetres(point: tuple[float, float]) -> str:
    return f"{1000 * point[0]:.6f} {-1000 * point[1]:.6f}"


def _from_svg(text: str, path: str | Path) -> Pattern:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entity expansion is unbounded
        raise FileFormatError(path, "document types and entities are not supported")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise FileFormatError(path, f"not SVG: {error.msg}", line=error.position[0]) from error
    metadata = root.find(f".//{_NAMESPACE}metadata")
    try:
        content = json.loads(metadata.text)
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(content["format"])
        seams = _read_seams(content["seams"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            path,
            "its <metadata> does not hold the seams of a sewing pattern; only SVG written by write_pattern is "
            "supported",
        ) from error
    _check_scale(root, path)
    panels, parents = [], {child: parent for parent in root.iter() for child in parent}
    for group in root.iter(f"{_NAMESPACE}g"):
        name = group.get("data-panel")
        if name is None:
            continue
        outer = group
        while outer is not None:  # a panel's position on the sheet does not matter
            if not re.fullmatch(r"(translate\([^()]*\))?", outer.get("transform", "").strip()):
                raise FileFormatError(
                    path, f"panel {name!r}: only translate is supported as a transform of its group, not "
                    f"{outer.get('transform')!r}",
                    hint="have the drawing program apply it to the path",
                )  # fmt: skip
            outer = parents.get(outer)
        outline = group.find(f"{_NAMESPACE}path")
        edges = group.get("data-edges", "").split()
        if outline is None or outline.get("transform") is not None:
            raise FileFormatError(path, f"panel {name!r}: expected one <path> without a transform of its own")
        panels.append(Panel(name, _outline(outline.get("d", ""), edges, f"panel {name!r}", path)))
    return _checked(Pattern(tuple(panels), seams), path)


def _check_scale(root: ElementTree.Element, path: str | Path) -> None:
    """Raises if a unit is not a millimetre: a drawing program's own unit, or another paper size."""
    width = re.fullmatch(r"\s*([\d.]+)\s*mm\s*", root.get("width", ""))
    box = re.fullmatch(r"[\s,]*(?:\S+[\s,]+){2}([\d.]+)[\s,]+\S+\s*", root.get("viewBox", ""))
    if width is None or box is None or not 0.999 < float(width[1]) / max(float(box[1]), 1e-9) < 1.001:
        raise FileFormatError(
            path, f"its unit is not a millimetre: width {root.get('width')!r}, viewBox {root.get('viewBox')!r}",
            hint="have the drawing program keep the document's width in mm and a scale of 1",
        )  # fmt: skip


def _outline(d: str, names: list[str], place: str, path: str | Path) -> tuple[Edge, ...]:
    """Edges of a path of absolute or relative M, L, H, V, Q, C and Z; one curve per name."""
    tokens = re.findall(r"[A-Za-z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", d)
    here, curves, command, index = np.zeros(2), [], "", 0
    sizes = {"M": 2, "L": 2, "H": 1, "V": 1, "Q": 4, "C": 6, "Z": 0}
    while index < len(tokens):
        if tokens[index].isalpha():
            command, index = tokens[index], index + 1
        size = sizes.get(command.upper())
        if size is None or len(tokens) < index + size or any(t.isalpha() for t in tokens[index : index + size]):
            raise FileFormatError(
                path, f"{place}: path command {command!r} is not M, L, H, V, Q, C, Z with its numbers"
            )
        values, index = [float(token) for token in tokens[index : index + size]], index + size
        if command.upper() == "Z":
            if index < len(tokens):
                raise FileFormatError(path, f"{place}: its path continues after Z")
            break
        if command.upper() in "HV":
            axis = "HV".index(command.upper())
            values = [values[0], 0.0] if axis == 0 else [0.0, values[0]]
            if command.isupper():
                values[1 - axis] = here[1 - axis]
        points = np.reshape(values, (-1, 2)) + (here if command.islower() else 0.0)
        if command.upper() == "M":
            command = "l" if command == "m" else "L"
        else:
            curves.append((here, points[:-1]))
        here = points[-1]
    if curves and not np.allclose(here, curves[0][0], atol=1e-3):
        curves.append((here, np.empty((0, 2))))  # Z draws the last side
    if len(curves) != len(names):
        raise FileFormatError(path, f"{place}: its path has {len(curves)} curves, but data-edges lists {len(names)}")
    return tuple(
        Edge(name, (start[0] / 1000, -start[1] / 1000), tuple((x / 1000, -y / 1000) for x, y in controls))
        for name, (start, controls) in zip(names, curves)
    )
