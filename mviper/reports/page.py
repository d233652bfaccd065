"""HTML building blocks for reports: no scripts, no external fonts or styles, light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ground: #fbfbfc; --card: #ffffff; --ink: #1d2126; --soft: #626b77; --line: #e3e6ea;
  --accent: #2563eb; --best: #e6effe; }
@media (prefers-color-scheme: dark) { :root { --ground: #14161a; --card: #1c1f25; --ink: #e6e8eb; --soft: #9aa3af;
  --line: #2e333b; --accent: #7fb0ff; --best: #1f3354; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
header { margin-bottom: 2rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.02em; }
h2 { font-size: 1.2rem; margin: 0 0 .35rem; letter-spacing: -.01em; }
p { margin: .3rem 0 .9rem; max-width: 75ch; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.3rem 1.4rem;
  margin: 0 0 1.3rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .94rem; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .42rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.text { text-align: left; white-space: normal; }
thead th { color: var(--soft); font-weight: 600; font-size: .84rem; vertical-align: bottom; white-space: normal; }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { font-weight: 500; }
td.best { background: var(--best); font-weight: 650; }
tr.reference > * { color: var(--soft); }
figure { margin: 1rem 0 0; }
figure img, figure video { max-width: 100%; height: auto; border-radius: 8px; display: block; }
figure video { width: 100%; }
figcaption { margin-top: .4rem; }
details { margin-top: 1rem; } summary { cursor: pointer; color: var(--accent); font-size: .94rem; }
code { font: .86em ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); }
"""


def page(title: str, lead: str, sections: Sequence[str]) -> str:
    """A whole page.

    Args:
        title: Heading, plain text.
        lead: One line under it, plain text.
        sections: HTML, see :func:`section`.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{escape(title)}</h1><p class="soft">{escape(lead)}</p></header>\n'
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A card with a heading; the parts are HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def paragraph(text: str) -> str:
    """A paragraph of plain text; text in backticks becomes code."""
    pieces = escape(text).split("`")
    return "<p>" + "".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces)) + "</p>"


def details(summary: str, content: str) -> str:
    """Collapsed HTML."""
    return f"<details>\n<summary>{escape(summary)}</summary>\n{content}\n</details>"


def picture(source: str, alternative: str, caption: str = "", *, dark_source: str = "") -> str:
    """A picture by its path relative to the page, with an optional variant for dark pages."""
    image = f'<img src="{escape(source)}" alt="{escape(alternative)}" loading="lazy">'
    if dark_source:
        image = (
            f'<picture><source srcset="{escape(dark_source)}" media="(prefers-color-scheme: dark)">{image}</picture>'
        )
    return f"<figure>{image}{_caption(caption)}</figure>"


def video(source: str, caption: str = "", *, poster: str = "") -> str:
    """A video by its path relative to the page; ``poster`` is the picture before it plays."""
    attribute = f' poster="{escape(poster)}"' if poster else ""
    return (
        f'<figure><video controls loop muted playsinline preload="metadata"{attribute} src="{escape(source)}"></video>'
        f"{_caption(caption)}</figure>"
    )


def _caption(text: str) -> str:
    return f"<figcaption>{escape(text)}</figcaption>" if text else ""


def table(
    columns: Sequence[str],
    rows: Mapping[str, Sequence[object]],
    *,
    best: Mapping[tuple[str, int], bool] | None = None,
    reference: Sequence[str] = (),
    caption: str = "",
) -> str:
    """A table with named rows.

    Args:
        columns: Headings, the first for the rows' names.
        rows: Cells by row name; numbers are rounded for display, None and NaN are dashes.
        best: Cells to emphasise, as (row, cell index).
        reference: Rows for comparison only, shown muted.
        caption: Above the table.
    """
    best = best or {}
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = []
    for name, cells in rows.items():
        tags = "".join(_cell(cell, best.get((name, i), False)) for i, cell in enumerate(cells))
        kind = ' class="reference"' if name in reference else ""
        body.append(f'<tr{kind}><th scope="row">{escape(name)}</th>{tags}</tr>')
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{above}<thead><tr>{head}</tr></thead>\n<tbody>'
        + "\n".join(body)
        + "</tbody></table></div>"
    )


def _cell(value: object, best: bool) -> str:
    if isinstance(value, str):
        return f'<td class="text">{escape(value)}</td>'
    return f'<td class="best">{number(value)}</td>' if best else f"<td>{number(value)}</td>"


def number(value: float | None) -> str:
    """Rounds a number for display: three significant digits, one decimal from 100 up; a dash for None and NaN."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or isinstance(value, int):
        return f"{value:,}" if isinstance(value, int) else "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(max(digits, 1), 6)}f}"
