"""Error plots: bars by joint or action, curves over time. No display needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mviper.files import atomic_path
from mviper.graphics.plots import LINE_COLOURS, THEMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Reference rows (not models) are drawn in grey.
_REFERENCE_COLOUR = "#8f96a3"


def plot_bars(
    path: str | Path,
    names: Sequence[str],
    rows: Mapping[str, Sequence[float]],
    *,
    unit: str,
    reference: Sequence[str] = (),
    theme: str = "light",
) -> None:
    """Plots horizontal bars, one group per name, to a PNG with a transparent background.

    Args:
        path: The PNG.
        names: Names of the groups, the first on top.
        rows: ``row -> one value per name``; NaN leaves a gap.
        unit: Label of the axis.
        reference: Rows that are drawn in grey.
        theme: ``"light"`` or ``"dark"``, the page it is for.
    """
    figure, (axes,), ink, grid = _figure((9, 0.9 + len(names) * (0.1 + 0.11 * len(rows))), 1, theme)
    thickness = 0.8 / max(1, len(rows))
    for number, ((row, values), colour) in enumerate(zip(rows.items(), _colours(rows, reference))):
        middle = np.arange(len(names)) + (number - (len(rows) - 1) / 2) * thickness
        axes.barh(middle, np.nan_to_num(np.asarray(values, float)), thickness * 0.92, color=colour, label=row)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(unit, color=ink, fontsize=9)
    axes.grid(axis="x", color=grid, linewidth=0.6)
    _finish(figure, path, ink, legend_above=axes, columns=len(rows))


def plot_over_time(
    path: str | Path,
    panels: Mapping[str, Mapping[str, Mapping[str, Sequence[float | None]]]],
    *,
    unit: str,
    reference: Sequence[str] = (),
    theme: str = "light",
) -> None:
    """Plots errors over the frames of the sequences, one panel per figure, to a PNG with a transparent background.

    Args:
        path: The PNG.
        panels: ``title -> row -> {'mean': ..., 'high': ...}``: a line, with a faint band up to ``high``.
        unit: Label of the axis.
        reference: Rows that are drawn in grey.
        theme: ``"light"`` or ``"dark"``, the page it is for.
    """
    figure, all_axes, ink, grid = _figure((10, 2.7 * len(panels) + 0.4), len(panels), theme)
    for axes, (title, rows) in zip(all_axes, panels.items()):
        for (row, curve), colour in zip(rows.items(), _colours(rows, reference)):
            mean, high = (np.array([np.nan if v is None else v for v in curve[key]], float) for key in ("mean", "high"))
            frames = np.arange(len(mean))
            axes.plot(
                frames, mean, color=colour, linewidth=1.7, label=row, marker="o" if len(mean) < 20 else None, ms=3
            )
            if row not in reference:
                axes.fill_between(frames, mean, high, color=colour, alpha=0.13, linewidth=0)
        axes.set_title(title, color=ink, fontsize=10, loc="left")
        axes.set_ylabel(unit, color=ink, fontsize=9)
        axes.set_ylim(bottom=0)
        axes.grid(color=grid, linewidth=0.6)
        axes.xaxis.get_major_locator().set_params(integer=True)
    all_axes[-1].set_xlabel("frames since the sequence began", color=ink, fontsize=9)
    _finish(figure, path, ink, legend_above=all_axes[0], columns=4)


def _figure(size: tuple[float, float], panels: int, theme: str) -> tuple[Figure, Any, str, str]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ink, grid = THEMES[theme]
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False, sharex=True)[:, 0]
    for each in axes:
        each.tick_params(colors=ink, labelsize=8)
        each.set_axisbelow(True)
        for side, spine in each.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(grid)
    return figure, axes, ink, grid


def _colours(rows: Mapping[str, object], reference: Sequence[str]) -> list[str]:
    of_models = iter(LINE_COLOURS * (len(rows) // len(LINE_COLOURS) + 1))
    return [_REFERENCE_COLOUR if row in reference else next(of_models) for row in rows]


def _finish(figure: Figure, path: str | Path, ink: str, *, legend_above: Axes, columns: int) -> None:
    handles, labels = legend_above.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, labelcolor=ink, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, transparent=True)
