"""The page of one test: figures, errors by joint, action and time, and the worst frames as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

import mviper
from mviper.engine import FIGURE_COLUMNS, MEAN_POSE, MODEL, Evaluation
from mviper.evaluation import WorstFrame
from mviper.files import atomic_path
from mviper.graphics import (
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    contact_sheet,
    draw_skeleton,
    enlarge,
    enlarge_points,
    overlay,
    plot_bars,
    plot_over_time,
    side_by_side,
    weak_perspective,
)
from mviper.reports import page

#: Side of each picture of a worst frame [px].
SIDE = 300
ASSETS = "metrics_files"
_FIGURES = {"MPJPE_mm": "MPJPE", "PA-MPJPE_mm": "PA-MPJPE", "MPVPE_mean_mm": "MPVPE per vertex"}
_SIDE_GROUND = (38, 41, 47)


def write_metrics_page(out: str | Path, result: Evaluation, *, config: str = "", checkpoint: str = "") -> Path:
    """Writes ``metrics.html``, with its pictures in ``metrics_files/``.

    Args:
        out: The folder.
        result: Evaluation from ``tools/test.py``.
        config: The config, named at the end.
        checkpoint: The checkpoint, named at the end.

    Returns:
        Path of the page.
    """
    out = Path(out)
    (out / ASSETS).mkdir(parents=True, exist_ok=True)
    sections = [_figures_section(result)]
    if result.details:
        sections += [_time_section(out, result), _joints_section(out, result), _actions_section(out, result)]
    sections += [_worst_section(out, figure, frames, result.body) for figure, frames in result.worst.items() if frames]
    lead = f"{checkpoint} · {config} · MVIPER {mviper.__version__} · {datetime.now():%Y-%m-%d %H:%M}"
    with atomic_path(out / "metrics.html") as temporary:
        temporary.write_text(page.page("Test results", lead, sections), encoding="utf-8")
    return out / "metrics.html"


def _figures_section(result: Evaluation) -> str:
    labels = {name: label for label, name in FIGURE_COLUMNS.items()}
    names = list(dict.fromkeys(name for values in result.rows.values() for name in values))
    names.sort(key=lambda name: list(labels).index(name) if name in labels else len(labels))
    rows = {labels.get(name, name): [values.get(name) for values in result.rows.values()] for name in names}
    note = (
        "MRVPV and MRSV say how much a body moves and changes shape from frame to frame; a frozen one scores 0, so "
        "compare them with the truth's own. "
    )
    if result.states:
        states = (f"{row}: {state}" for row, state in result.states.items())
        note += f"The state of the recurrence from clip to clip: {'; '.join(states)}."
    return page.section("Figures", page.paragraph(note), page.table(["metric", *result.rows], rows))


def _themed(out: Path, name: str, draw, *arguments: object, alternative: str, caption: str = "", **options) -> str:
    """Draws a plot for light and for dark pages; returns the HTML that shows the right one."""
    sources = {}
    for theme in ("light", "dark"):
        sources[theme] = f"{ASSETS}/{name}_{theme}.png"
        draw(out / sources[theme], *arguments, theme=theme, **options)
    return page.picture(sources["light"], alternative, caption, dark_source=sources["dark"])


def _time_section(out: Path, result: Evaluation) -> str:
    panels = {
        label: {row: details["time"][figure] for row, details in result.details.items() if figure in details["time"]}
        for figure, label in _FIGURES.items()
    }
    panels = {label: rows for label, rows in panels.items() if rows}
    count = next(iter(next(iter(panels.values())).values()))["count"]
    caption = f"Mean over the sequences, the band up to the 0.9 quantile; {count[0]} sequences at the start"
    caption += f", {count[-1]} at frame {len(count) - 1}."
    plot = _themed(
        out, "time", plot_over_time, panels, unit="mm", reference=[MEAN_POSE], alternative="errors over time",
        caption=caption,
    )  # fmt: skip
    note = "If the state is carried, the error must not grow over time."
    return page.section("Over time", page.paragraph(note) if result.states else "", plot)


def _values(details: Mapping[str, dict], part: str, figure: str) -> tuple[list[str], dict[str, list[float]]]:
    names = list(next(iter(details.values()))[part])
    rows = {row: [of_row[part].get(name, {}).get(figure) for name in names] for row, of_row in details.items()}
    return names, {row: [np.nan if v is None else v for v in values] for row, values in rows.items()}


def _joints_section(out: Path, result: Evaluation) -> str:
    plots = []
    for figure in ("MPJPE_mm", "PA-MPJPE_mm"):
        names, errors = _values(result.details, "joints", figure)
        readable = [name.replace("_", " ") for name in names]
        plots.append(
            _themed(
                out, f"joints_{figure[:2].lower()}", plot_bars, readable, errors, unit=f"{_FIGURES[figure]} [mm]",
                reference=[MEAN_POSE], alternative=f"{_FIGURES[figure]} by joint",
            )
        )  # fmt: skip
    return page.section("By joint", f'<div class="grid">{"".join(plots)}</div>')


def _actions_section(out: Path, result: Evaluation) -> str:
    names, errors = _values(result.details, "actions", "PA-MPJPE_mm")
    actions = result.details[MODEL]["actions"]
    figures = [figure for figure in _FIGURES if figure in next(iter(actions.values()))]
    rows = {
        name: [values["sequences"], values["frames"], *(values[figure] for figure in figures)]
        for name, values in actions.items()
    }
    columns = ["action", "sequences", "frames", *(f"{_FIGURES[figure]} [mm]" for figure in figures)]
    plot = _themed(
        out, "actions", plot_bars, names, errors, unit="PA-MPJPE [mm]", reference=[MEAN_POSE],
        alternative="PA-MPJPE by action",
    )  # fmt: skip
    parts = [plot, page.details("The model's figures", page.table(columns, rows))]
    if views := result.details[MODEL]["views"]:
        columns = ["seen from", "frames", *(f"{_FIGURES[figure]} [mm]" for figure in figures)]
        rows = {view: [values["frames"], *(values[figure] for figure in figures)] for view, values in views.items()}
        parts.append(page.details("The model's figures by view", page.table(columns, rows)))
    for protocol, actions in result.details[MODEL].get("protocols", {}).items():
        columns = ["action", *(f"{_FIGURES[figure]} [mm]" for figure in next(iter(actions.values())))]
        rows = {name: list(values.values()) for name, values in actions.items()}
        parts.append(page.details(f"The model's figures, {protocol}", page.table(columns, rows)))
    return page.section("By action", *parts)


def _worst_section(out: Path, figure: str, frames: Sequence[WorstFrame], body: nn.Module | None) -> str:
    name = f"{ASSETS}/worst_{figure.split('_')[0].lower()}.jpg"
    labels = [
        f"{f.sequence}, frame {f.frame}: MPJPE {f.errors['MPJPE_mm']:.0f} mm, PA {f.errors['PA-MPJPE_mm']:.0f} mm"
        for f in frames
    ]
    sheet = contact_sheet([worst_picture(frame, body) for frame in frames], columns=1)
    with atomic_path(out / name) as temporary:
        if not cv2.imwrite(str(temporary), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise OSError(f"cv2 cannot write {temporary}")
    note = "From the top: " + "; ".join(labels) + "."
    return page.section(f"Worst by {_FIGURES[figure]}", page.paragraph(note), page.picture(name, "worst frames"))


@torch.no_grad()
def worst_picture(frame: WorstFrame, body: nn.Module | None) -> np.ndarray:
    """The model's input, overlays of ground truth and prediction, and both seen from the person's side.

    Args:
        frame: The frame.
        body: The body that predictions and betas belong to; None shows only the skeletons.

    Returns:
        RGB, shape (SIDE, W, 3) uint8.
    """
    factor = SIDE / frame.picture.shape[0]
    ground = enlarge(frame.picture, factor)
    sample = frame.sample
    truth = _surface(body, sample.get("smpl_rotmat"), sample.get("betas"))
    if not (sample.get("has_smpl", 1.0) and sample.get("has_betas", 1.0)):
        truth = None
    prediction = _surface(body, sample.get("pred_rotmat"), sample.get("pred_betas"))
    columns, labels = [ground], ["input"]
    camera = fit_camera(sample["keypoints3d"], sample["keypoints2d"])
    if truth is not None and camera is not None:
        columns.append(_laid_over(ground, truth, body, camera, TRUTH_COLOUR))
    else:
        columns.append(_skeleton(ground, frame, factor))
    labels.append("truth")
    if prediction is not None:
        columns.append(_laid_over(ground, prediction, body, sample["pred_camera"].numpy(), PREDICTION_COLOUR))
        labels.append("prediction")
        side = np.full_like(ground, _SIDE_GROUND)
        turned = np.array([0.85, 0.0, 0.0])  # scale and shift that fit any person into the picture
        for surface, colour in ((truth, TRUTH_COLOUR), (prediction, PREDICTION_COLOUR)):
            if surface is not None:
                side = _laid_over(side, _from_the_side(surface), body, turned, colour, alpha=0.8)
        columns.append(side)
        labels.append("both from the side")
    return side_by_side(columns, labels)


def fit_camera(keypoints3d: Tensor, keypoints2d: Tensor) -> np.ndarray | None:
    """(s, tx, ty) of eq. 6 that best projects the true 3D joints onto the true 2D ones (least squares).

    Args:
        keypoints3d: [m], the fourth = valid, shape (J, 4).
        keypoints2d: Crop units, the third = chi, shape (J, 3).

    Returns:
        None if fewer than two joints have both.
    """
    both = (keypoints3d[:, 3] > 0) & (keypoints2d[:, 2] > 0)
    if int(both.sum()) < 2:
        return None
    points, seen = keypoints3d[both, :2].double().numpy(), keypoints2d[both, :2].double().numpy()
    centred = points - points.mean(0)
    if not (centred**2).sum() > 0:
        return None
    scale = (centred * (seen - seen.mean(0))).sum() / (centred**2).sum()
    return np.array([scale, *(seen.mean(0) - scale * points.mean(0))])


def _surface(body: nn.Module | None, rotmat: Tensor | None, betas: Tensor | None) -> np.ndarray | None:
    """Vertices (V, 3) [m] with joint 0 at the origin."""
    if body is None or rotmat is None or betas is None:
        return None
    device = next(body.buffers()).device
    output = body(betas[None].float().to(device), rotmat[None].float().to(device))
    return (output.vertices - output.joints[:, :1])[0].cpu().numpy()


def _from_the_side(vertices: np.ndarray) -> np.ndarray:
    """A quarter turn about the picture's vertical: points nearer to the camera end up on the right."""
    return np.stack([-vertices[:, 2], vertices[:, 1], vertices[:, 0]], axis=1)


def _laid_over(
    ground: np.ndarray, vertices: np.ndarray, body: nn.Module, camera: np.ndarray, colour: tuple, alpha: float = 0.75
) -> np.ndarray:
    size = ground.shape[0]
    crop = np.array([(size - 1) / 2, (size - 1) / 2, size])  # the crop's pixel centres: see datasets/crop.py
    return overlay(ground, weak_perspective(vertices, body.faces, camera, crop), body.faces, colour=colour, alpha=alpha)


def _skeleton(ground: np.ndarray, frame: WorstFrame, factor: float) -> np.ndarray:
    points = frame.sample["keypoints2d"].numpy()
    size = frame.picture.shape[0]
    pixels = enlarge_points((points[:, :2] + 1) * size / 2 - 0.5, factor)
    return draw_skeleton(ground, pixels, points[:, 2])
