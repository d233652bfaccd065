"""Training curves from the scalars that mmengine's ``LocalVisBackend`` writes. No display needed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mviper.errors import FileFormatError
from mviper.files import atomic_path

#: Keys that locate a log line rather than hold a measurement.
_PLACE = {"epoch", "iter", "step"}

#: Colours of axes and text on a light and on a dark page.
THEMES = {"light": ("#30343b", "#d9dde3"), "dark": ("#d5d9df", "#3a4049")}
LINE_COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#ec4899", "#14b8a6", "#a3a948")


@dataclass
class Scalars:
    """A run's logged scalars: ``name -> (steps (N,), values (N,))``, steps in iterations.

    Attributes:
        train: Losses, the learning rate ``lr``, seconds per step ``time``, ...
        val: Metrics on the validation split, ...
    """

    train: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    val: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def read_scalars(work_dir: str | Path) -> Scalars:
    """Reads all ``<work_dir>/<time stamp>/vis_data/scalars.json``; a later log overrides the steps that it repeats.

    mmengine's training lines carry ``iter``. Its validation lines carry only ``step``, which is an epoch, an iteration
    or 0 depending on the loop; they are placed no earlier than the preceding training line.

    Raises:
        FileFormatError: A line is not JSON. A truncated last line, which a killed run leaves, is skipped.
    """
    train: dict[str, dict[int, float]] = {}
    val: dict[str, dict[int, float]] = {}
    for path in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        trained = None
        for record in _records(path):
            step = int(record["step"])
            if "iter" in record:
                if trained is None:  # a resumed or restarted run: drop what it will log again
                    for series in (*train.values(), *val.values()):
                        for old in [old for old in series if old >= step]:
                            del series[old]
                trained = step
                target = train
            else:
                step = max(step, trained or 0)
                target = val
            for name, value in record.items():
                if name not in _PLACE and isinstance(value, (int, float)):
                    target.setdefault(name, {})[step] = float(value)

    def arrays(series: dict[str, dict[int, float]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        ordered = {name: sorted(values.items()) for name, values in series.items() if values}
        return {
            name: (np.array([s for s, _ in items]), np.array([v for _, v in items])) for name, items in ordered.items()
        }

    return Scalars(arrays(train), arrays(val))


def _records(path: Path) -> list[dict]:
    """The log's lines, each a dict with an integer ``step``."""
    lines, records = path.read_text().splitlines(), []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            int(record["step"])
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise FileFormatError(path, f"expected one JSON object with a 'step': {error!r}", line=number) from error
        records.append(record)
    return records


def plot_curves(
    path: str | Path,
    left: Mapping[str, tuple[np.ndarray, np.ndarray]],
    right: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    titles: tuple[str, str] = ("training losses", "validation"),
    theme: str = "light",
    transparent: bool = True,
) -> None:
    """Draws two panels of curves over the iterations to a PNG.

    Args:
        path: The PNG.
        left: ``name -> (steps, values)``, on a logarithmic axis, raw values faint behind a running mean.
        right: The same, on a linear axis with a dot at each value.
        titles: Of the two panels.
        theme: ``"light"`` or ``"dark"``, the page it is for.
        transparent: Whether the background is transparent; otherwise white.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ink, grid = THEMES[theme]
    figure = Figure(figsize=(10, 3.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, series, title, logarithmic in zip(figure.subplots(1, 2), (left, right), titles, (True, False)):
        for (name, (steps, values)), colour in zip(series.items(), itertools.cycle(LINE_COLOURS)):
            if logarithmic:
                axes.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
                axes.plot(steps, _running_mean(values), color=colour, linewidth=1.8, label=name)
            else:
                axes.plot(steps, values, color=colour, marker="o", markersize=3.5, linewidth=1.8, label=name)
        if logarithmic and any((values > 0).any() for _, values in series.values()):
            axes.set_yscale("log")
        if series:
            axes.legend(frameon=False, labelcolor=ink, fontsize=8)
        else:
            axes.text(0.5, 0.5, "nothing logged", ha="center", color=ink, transform=axes.transAxes)
        axes.set_title(title, color=ink, fontsize=10, loc="left")
        axes.set_xlabel("iteration", color=ink, fontsize=9)
        axes.tick_params(colors=ink, which="both", labelsize=8)
        axes.grid(color=grid, linewidth=0.6)
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(grid)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, transparent=transparent)


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of a twentieth of the curve, narrower at its ends, shape (N,)."""
    half = len(values) // 40
    total = np.concatenate([[0.0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (total[last] - total[first]) / (last - first)
