"""Curves of training runs, from the scalars that mmengine's ``LocalVisBackend`` writes. Draws without a display."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mviper.errors import FileFormatError
from mviper.files import atomic_path

#: What mmengine logs beside losses and metrics.
_NOT_LOSSES = {"lr", "base_lr", "data_time", "time", "epoch", "iter", "memory", "step", "eta"}

#: Colours of axes and text on a light and on a dark page.
THEMES = {"light": ("#30343b", "#d9dde3"), "dark": ("#d5d9df", "#3a4049")}
_LINES = ("#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#ec4899", "#14b8a6", "#a3a948")


@dataclass
class Scalars:
    """What a run logged: ``name -> (steps (N,), values (N,))``, steps in iterations.

    Attributes:
        train: Losses and the learning rate.
        val: Metrics on the validation split.
    """

    train: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    val: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def read_scalars(work_dir: str | Path) -> Scalars:
    """Reads all ``<work_dir>/<time stamp>/vis_data/scalars.json``; of a resumed run, the later log wins.

    Validation that was logged by epoch is put at the iteration that the epoch ended with.

    Raises:
        FileFormatError: A log's line is not JSON. A cut last line, which a killed run leaves, is passed over.
    """
    train: dict[str, dict[int, float]] = {}
    val: dict[str, dict[int, float]] = {}
    end_of_epoch: dict[int, int] = {}
    for path in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                step = int(record["step"])
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines):
                    break
                raise FileFormatError(
                    path, f"expected one JSON object with a 'step' a line: {error}", line=number
                ) from (error)
            # mmengine's training lines carry "iter"; validation lines only "step", an epoch or an iteration.
            if "iter" in record:
                if "epoch" in record:
                    end_of_epoch[int(record["epoch"])] = max(step, end_of_epoch.get(int(record["epoch"]), 0))
                target, names = train, [name for name in record if name not in _NOT_LOSSES or name == "lr"]
            else:
                target, names = val, [name for name in record if name not in _NOT_LOSSES]
            for name in names:
                if isinstance(record[name], (int, float)):
                    target.setdefault(name, {})[step] = float(record[name])

    def arrays(series: dict[int, float], step_of: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
        steps = sorted(series)
        return np.array([step_of.get(step, step) for step in steps]), np.array([series[step] for step in steps])

    return Scalars(
        {name: arrays(series, {}) for name, series in train.items()},
        {name: arrays(series, end_of_epoch) for name, series in val.items()},
    )


def plot_curves(
    path: str | Path,
    left: Mapping[str, tuple[np.ndarray, np.ndarray]],
    right: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    titles: tuple[str, str] = ("training losses", "validation"),
    theme: str = "light",
) -> None:
    """Draws two panels of curves over the iterations to a PNG with a transparent ground.

    Args:
        path: The PNG.
        left: ``name -> (steps, values)``, drawn on a logarithmic axis with the raw values faint behind a running mean.
        right: The same with a linear axis and a dot at each value.
        titles: Of the two panels.
        theme: ``"light"`` or ``"dark"``, the page it is for.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ink, grid = THEMES[theme]
    figure = Figure(figsize=(10, 3.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, series, title, logarithmic in zip(figure.subplots(1, 2), (left, right), titles, (True, False)):
        for (name, (steps, values)), colour in zip(series.items(), _LINES * (len(series) // len(_LINES) + 1)):
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
        figure.savefig(temporary, transparent=True)


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of a twentieth of the curve, narrower at its ends, shape (N,)."""
    half = len(values) // 40
    total = np.concatenate([[0.0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (total[last] - total[first]) / (last - first)
