"""The report on a whole project: figures, curves, predictions over video, and the data behind them.

Everything is written into one folder: ``index.html``, with its pictures and videos, linked by relative paths,
nothing from the network. Without models it shows only the data; models must have been tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from torch import nn

import mviper
from mviper.body import distinct_bodies
from mviper.datasets import ClipDataset, FactorySequence, find_sequences
from mviper.engine import FIGURE_COLUMNS, MEAN_POSE, MODEL, TRUTH
from mviper.errors import ConfigError
from mviper.files import atomic_path
from mviper.graphics import Scalars, plot_curves, read_scalars
from mviper.registry import MODELS
from mviper.reports import page
from mviper.reports.predictions import predictions_section
from mviper.reports.production import pictures_section, production_section
from mviper.reports.runs import LoadedModel, Run, read_metrics, trained_on

#: Metrics of the top table: smaller is better in the first group; the second tells how much the body moves.
ERRORS = ("MPJPE_mm", "PA-MPJPE_mm", "MPVPE_mean_mm", "acceleration_error_mm")
VARIATION = ("MRVPV1_mean_mm", "MRVPV2_mean_mm", "MRSV1", "MRSV2")
_LABELS = {name: label for label, name in FIGURE_COLUMNS.items()} | {
    "acceleration_error_mm": "accel. error [mm/frame²]"
}


def write_report(
    out: Path,
    runs: Sequence[Run],
    data_root: Path | None = None,
    *,
    title: str = "MVIPER",
    videos: int = 2,
    max_frames: int = 150,
) -> Path:
    """Writes the page.

    Args:
        out: Folder for ``index.html`` and its files; its subfolder ``assets`` is overwritten.
        runs: The trained models, in the order of the table.
        data_root: The folder given to ``tools/generate.py --out``; None: the test data of the first run's config.
        title: Heading.
        videos: Number of test sequences shown with predictions.
        max_frames: Maximum number of frames of each.

    Returns:
        Path of ``index.html``.

    Raises:
        MissingDataError: There is no sequence, metrics file or checkpoint; the message says how to make it.
    """
    (out / "assets").mkdir(parents=True, exist_ok=True)
    models = [LoadedModel(run) for run in runs]
    if data_root is None:
        if not models:
            raise ConfigError("a report needs the data's folder (--data) or a trained model (--frame, --video)")
        data_root = Path(models[0].dataset.data_root)
    sequences = find_sequences(data_root)
    body = models[0].body if models else MODELS.build({"type": "SMPL"})

    sections = [_other_body_section(sequences, body)]
    if runs:
        sections.append(_figures_section(runs, models[0].dataset))
        sections.append(predictions_section(out, data_root, models, videos, max_frames))
        sections.append(_curves_section(out, runs))
    sections.append(pictures_section(out, sequences, body))
    sections.append(production_section(sequences))
    sections.append(_origin_section(runs, data_root, sequences))
    frames = sum(sequence.manifest["frames"] * len(sequence.manifest["views"]) for sequence in sequences)
    lead = (
        f"{len(sequences)} sequences, {frames:,} frames of video made from motion capture"
        + (f", {len(runs)} model{'s' * (len(runs) > 1)} tested on them" if runs else "")
        + f" · MVIPER {mviper.__version__} · {datetime.now():%Y-%m-%d %H:%M}"
    )
    with atomic_path(out / "index.html") as temporary:
        temporary.write_text(page.page(title, lead, [part for part in sections if part]), encoding="utf-8")
    return out / "index.html"


def _other_body_section(sequences: Sequence[FactorySequence], body: nn.Module) -> str:
    """A warning if the data's betas belong to a body other than the one drawn."""
    bodies = distinct_bodies([body.body_model_id, *(s.annotation(s.person_views[0]).body_model for s in sequences)])[1:]
    if not bodies:
        return ""
    return page.section(
        "The data belong to another body",
        page.paragraph(
            f"Some betas belong to `{'`, `'.join(sorted(bodies))}`, not to `{body.body_model_id}`: where they do, the "
            "true mesh is left out of the pictures. Generate the data again, or set the config's body model to theirs."
        ),
    )


def _figures_section(runs: Sequence[Run], tested_on: ClipDataset) -> str:
    of_run = {run.name: read_metrics(run) for run in runs}
    rows = {MEAN_POSE: {}, **{name: figures[MODEL] for name, figures in of_run.items()}, TRUTH: {}}
    for figures in of_run.values():
        for reference in (MEAN_POSE, TRUTH):
            rows[reference] = figures.get(reference) or rows[reference]
    rows = {name: values for name, values in rows.items() if values}
    names = [name for name in (*ERRORS, *VARIATION) if any(name in values for values in rows.values())]
    best = {}
    for column, name in enumerate(names):
        if name in ERRORS and len(runs) > 1:
            least = min(rows[run].get(name, np.inf) for run in of_run)
            best |= {(run, column): True for run in of_run if rows[run].get(name) == least}
    cells = {row: [values.get(name) for name in names] for row, values in rows.items()}
    ratio_text = ""
    mean_pose = rows.get(MEAN_POSE, {}).get("MPJPE_mm")
    if mean_pose:
        ratios = (f"{name} {rows[name]['MPJPE_mm'] / mean_pose:.2f}" for name in of_run if "MPJPE_mm" in rows[name])
        ratio_text = f" MPJPE as a share of the mean pose's: {', '.join(ratios)}."
    every = [name for name in _LABELS if any(name in values for values in rows.values())]
    every += sorted({name for values in rows.values() for name in values} - set(every))
    return page.section(
        "Test split",
        page.paragraph(
            "Errors are better when smaller. MRVPV and MRSV measure how much surface and shape change from frame to "
            "frame: compare them with the truth's own, since a frozen body scores 0." + ratio_text
        ),
        page.paragraph(_origin_of_figures(runs, tested_on)),
        page.table(["", *(_LABELS.get(name, name) for name in names)], cells, best=best, reference=(MEAN_POSE, TRUTH)),
        page.details(
            "All figures, in the paper's form (sums) and today's (means)",
            page.table(
                ["metric", *rows],
                {_LABELS.get(name, name): [values.get(name) for values in rows.values()] for name in every},
            ),
        ),
    )


def _origin_of_figures(runs: Sequence[Run], tested_on: ClipDataset) -> str:
    """One sentence: what each model learned from, and what it was tested on."""
    learned: dict[str, list[str]] = {}
    for run in runs:
        learned.setdefault(trained_on(run) or "data that its checkpoint does not name", []).append(run.name)
    parts = [f"{' and '.join(names)} learned from {what}" for what, names in learned.items()]
    text = f"{'; '.join(parts)}; tested on the {len(tested_on.views)} videos in `{tested_on.place}`."
    return text[0].upper() + text[1:]


def _curves_section(out: Path, runs: Sequence[Run]) -> str:
    parts = []
    for number, run in enumerate(runs):
        scalars = read_scalars(run.folder)
        if not scalars.train:
            continue
        losses = {name.removeprefix("loss_"): series for name, series in scalars.train.items() if "loss" in name}
        errors = {name: series for name, series in scalars.val.items() if name in ("MPJPE_mm", "PA-MPJPE_mm")}
        files = {theme: f"assets/curves_{number}_{theme}.png" for theme in ("light", "dark")}
        for theme, name in files.items():
            titles = (f"{run.name}: training losses", f"{run.name}: validation [mm]")
            plot_curves(out / name, losses, errors, titles=titles, theme=theme)
        caption = _training_caption(scalars)
        parts.append(page.picture(files["light"], f"Curves of {run.name}", caption, dark_source=files["dark"]))
    return page.section("Training", *parts) if parts else ""


def _training_caption(scalars: Scalars) -> str:
    facts = []
    steps, seconds = scalars.train.get("time", ((), ()))
    if len(steps):
        facts.append(f"{steps[-1]:,} steps, {page.number(float(np.median(seconds)))} s per step")
    steps, values = scalars.val.get("MPJPE_mm", ((), ()))
    if len(steps) > 1:
        change = values[-1] / values[0] - 1
        facts.append(f"validation MPJPE {values[0]:.0f} mm first, {values[-1]:.0f} mm last ({change:+.0%})")
    return "; ".join(facts)


def _origin_section(runs: Sequence[Run], data_root: Path, sequences: Sequence[FactorySequence]) -> str:
    rows = {run.name: [str(run.config), str(run.checkpoint)] for run in runs}
    versions = sequences[0].manifest.get("versions") or {}
    text = f"Data: `{data_root}`. " + ", ".join(f"{name} {version}" for name, version in versions.items())
    return page.section(
        "Provenance",
        page.paragraph(text),
        page.table(["model", "config", "checkpoint"], rows) if rows else "",
    )
