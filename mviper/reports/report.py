"""The page that shows a whole job: figures, curves, predictions over video, and the data that they come from.

Everything is written into one folder: ``index.html`` with its pictures and videos beside it, linked by relative paths,
nothing from the network. Without models it shows the data alone; a model must have been tested.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import nn

import mviper
from mviper.body.identity import distinct_bodies, same_body
from mviper.body.rotations import axis_angle_to_matrix
from mviper.config import load_config
from mviper.datasets.sequences import FactorySequence, find_sequences
from mviper.datasets.video import VideoReader
from mviper.engine.checkpoints import load_state_dict, read_checkpoint
from mviper.engine.testing import COLUMNS, MEAN_POSE, MODEL, TRUTH
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import atomic_path
from mviper.graphics.draw import (
    contact_sheet,
    draw_label,
    draw_skeleton,
    enlarge,
    enlarge_points,
    save_image,
    side_by_side,
)
from mviper.graphics.plots import Scalars, plot_curves, read_scalars
from mviper.graphics.raster import (
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    ScreenMesh,
    overlay,
    perspective,
    weak_perspective,
)
from mviper.graphics.video import write_video
from mviper.registry import DATASETS, MODELS
from mviper.reports import page
from mviper.structures.human_data import HumanData

#: Height of one column of an overlay video, and of one picture of a contact sheet [px].
COLUMN_HEIGHT, SHEET_HEIGHT = 360, 300
#: Metrics of the table at the top; smaller is better in the first group, the second says how much the body moves.
ERRORS = ("MPJPE_mm", "PA-MPJPE_mm", "MPVPE_mean_mm", "acceleration_error_mm")
VARIATION = ("MRVPV1_mean_mm", "MRVPV2_mean_mm", "MRSV1", "MRSV2")
_LABELS = {name: label for label, name in COLUMNS.items()} | {"acceleration_error_mm": "accel. error [mm/frame²]"}
#: Units of the figures of cloth quality that the project's own simulator leaves in a manifest.
_QUALITY_LABELS = {
    "inside_mean": "inside the body before projection, mean [%]",
    "inside_worst": "inside the body before projection, worst frame [%]",
    "deepest": "deepest before projection [mm]",
    "projected_inside_mean": "inside the body, mean [%]",
    "projected_inside_worst": "inside the body, worst frame [%]",
    "projected_deepest": "deepest [mm]",
    "stretch_p99": "stretch, 99th percentile, mean [× rest]",
    "stretch_p99_worst": "stretch, 99th percentile, worst frame [× rest]",
    "bare_mean": "bare skin under it, mean [%]",
    "bare_worst": "bare skin under it, worst frame [%]",
    "layers_mean": "behind the inner layer, mean [%]",
    "layers_worst": "behind the inner layer, worst frame [%]",
    "seams_closed": "seams closed [%]",
    "solver_steps": "solver steps a frame",
}
#: Colours of the second and further models' meshes; the first has ``PREDICTION_COLOUR``.
_MORE_COLOURS = ((0.62, 0.82, 0.52), (0.80, 0.62, 0.92), (0.93, 0.60, 0.60))


@dataclass
class Run:
    """A trained model.

    Attributes:
        name: Heading of its rows and columns.
        config: Its config.
        checkpoint: Its checkpoint; logs and ``metrics.json`` (of ``tools/test.py``) are looked for beside it.
    """

    name: str
    config: Path
    checkpoint: Path

    @property
    def folder(self) -> Path:
        """The work_dir."""
        return self.checkpoint.parent


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
        out: Folder for ``index.html`` and what it shows; ``assets`` in it is overwritten.
        runs: The trained models, in the order of the table.
        data_root: What ``tools/generate.py --out`` was given; None: what the first run's config tests on.
        title: Heading.
        videos: How many test sequences are shown with the predictions on them.
        max_frames: At most so many frames of each.

    Returns:
        Path of ``index.html``.

    Raises:
        MissingDataError: There is no sequence, no metrics file or no checkpoint; the message says what makes it.
    """
    (out / "assets").mkdir(parents=True, exist_ok=True)
    models = [_LoadedModel(run) for run in runs]
    if data_root is None:
        if not models:
            raise ConfigError("a report needs the data's folder (--data) or a trained model (--frame, --video)")
        data_root = Path(models[0].dataset.data_root)
    sequences = find_sequences(data_root)
    body = models[0].body if models else MODELS.build({"type": "SMPL"})

    sections = [_other_body_section(sequences, body)]
    if runs:
        sections.append(_figures_section(runs))
        sections.append(_predictions_section(out, data_root, models, videos, max_frames))
        sections.append(_curves_section(out, runs))
    sections.append(_pictures_section(out, sequences, body))
    sections.append(_factory_section(sequences))
    sections.append(_origin_section(runs, data_root, sequences))
    frames = sum(sequence.manifest["frames"] * len(sequence.manifest["views"]) for sequence in sequences)
    lead = (
        f"{len(sequences)} sequences, {frames:,} frames of video made from motion capture"
        + (f", {len(runs)} model{'s' * (len(runs) > 1)} trained and tested on them" if runs else "")
        + f" · MVIPER {mviper.__version__} · {datetime.now():%Y-%m-%d %H:%M}"
    )
    with atomic_path(out / "index.html") as temporary:
        temporary.write_text(page.page(title, lead, [part for part in sections if part]), encoding="utf-8")
    return out / "index.html"


def _other_body_section(sequences: Sequence[FactorySequence], body: nn.Module) -> str:
    """A warning where the data's betas belong to another body than the one that the pictures are drawn with."""
    bodies = distinct_bodies([body.body_model_id, *(s.view(s.manifest["views"][0]).body_model for s in sequences)])[1:]
    if not bodies:
        return ""
    return page.section(
        "The data belong to another body",
        page.paragraph(
            f"Some betas belong to `{'`, `'.join(sorted(bodies))}`, not to `{body.body_model_id}`: where they do, the "
            "true mesh is left out of the pictures. Make the data anew, or name their body in the model's config."
        ),
    )


# --- figures ---------------------------------------------------------------------------------------------------------


def read_metrics(run: Run) -> dict[str, dict[str, float]]:
    """Rows of the ``metrics.json`` that ``tools/test.py`` left beside a checkpoint: model, mean pose, truth.

    Raises:
        MissingDataError: It does not exist; the message is the command that makes it.
        FileFormatError: It is something else.
    """
    path = run.folder / "metrics.json"
    if not path.is_file():
        raise MissingDataError(
            f"{path}: no such file; make it with: python tools/test.py {run.config} {run.checkpoint}"
        )
    try:
        rows = json.loads(path.read_text())["rows"]
        if not all(isinstance(value, (int, float)) for value in rows[MODEL].values()):
            raise TypeError("a figure is not a number")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(path, f"not written by tools/test.py: {error!r}") from error
    return rows


def _figures_section(runs: Sequence[Run]) -> str:
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
            "frame: they belong beside the truth's own, since a frozen body scores 0." + ratio_text
        ),
        page.table(["", *(_LABELS.get(name, name) for name in names)], cells, best=best, reference=(MEAN_POSE, TRUTH)),
        page.details(
            "All figures, in the paper's form (sums) and today's (means)",
            page.table(
                ["metric", *rows],
                {_LABELS.get(name, name): [values.get(name) for values in rows.values()] for name in every},
            ),
        ),
    )


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
        facts.append(f"{steps[-1]:,} steps, {page.number(float(np.median(seconds)))} s a step")
    steps, values = scalars.val.get("MPJPE_mm", ((), ()))
    if len(steps) > 1:
        change = values[-1] / values[0] - 1
        facts.append(f"validation MPJPE {values[0]:.0f} mm first, {values[-1]:.0f} mm last ({change:+.0%})")
    return "; ".join(facts)


# --- predictions over video ------------------------------------------------------------------------------------------


class _LoadedModel:
    """A run's model with its weights, and its test split."""

    def __init__(self, run: Run) -> None:
        self.run = run
        config = load_config(run.config)
        checkpoint = read_checkpoint(run.checkpoint)
        self.model: nn.Module = MODELS.build(config.model)
        load_state_dict(self.model, checkpoint["state_dict"], run.checkpoint, strict=True)
        self.model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.dataset = DATASETS.build(config.test_dataloader.dataset)
        if not hasattr(self.dataset, "views") or getattr(self.dataset, "clip_length", None) is not None:
            raise ConfigError(
                f"{run.config}: test_dataloader.dataset must be a SyntheticHumanVideo with clip_length=None"
            )

    @property
    def body(self) -> nn.Module:
        return self.model.body_model

    def predict(self, sequence: str) -> dict:
        """A whole view's prediction (numpy): ``pred_rotmat``, ``pred_betas``, ``pred_camera``, ``crop``, ``frames``."""
        index = [view.name for view in self.dataset.views].index(sequence)
        with torch.no_grad():
            sample = self.model.test_step(pseudo_collate([self.dataset[index]]))[0]
        result = {name: sample.get(name).cpu() for name in ("pred_rotmat", "pred_betas", "pred_camera")}
        return result | {"crop": np.asarray(sample.crop), "frames": np.asarray(sample.frame_indices)}


def _predictions_section(
    out: Path, data_root: Path, models: Sequence[_LoadedModel], count: int, max_frames: int
) -> str:
    parts = []
    for number, sequence in enumerate(_choose_views(models[0], data_root, count)):
        annotation = HumanData.load(data_root / f"{sequence}.npz")
        stem = f"assets/prediction_{number}"
        frames = list(prediction_frames(data_root, sequence, annotation, models, max_frames))
        fps = json.loads((data_root / sequence).parent.joinpath("manifest.json").read_text()).get("fps", 30)
        write_video(out / f"{stem}.mp4", frames, fps)
        save_image(out / f"{stem}.jpg", frames[len(frames) // 2])
        parts.append(page.video(f"{stem}.mp4", f"{sequence}: {len(frames)} frames at {fps:g}/s", poster=f"{stem}.jpg"))
    note = "Meshes over test videos: the truth, then what each model sees. " + separation(find_sequences(data_root))
    return page.section("Predictions", page.paragraph(note), *parts)


def separation(sequences: Sequence[FactorySequence]) -> str:
    """A sentence on what the test split shares with training, from the manifests."""
    shared = []
    for key, one, more in (("clip", "clip", "clips"), ("subject", "subject", "subjects"), ("betas", "body", "bodies")):
        of_split: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
        for sequence in sequences:
            if sequence.manifest.get(key):
                of_split[sequence.split].add(json.dumps(sequence.manifest[key]))
        if of_split["train"] and of_split["test"]:
            count = len(of_split["train"] & of_split["test"])
            shared.append(f"{count or 'no'} {one if count == 1 else more}")
    return f"Test and training share {', '.join(shared)}." if shared else ""


def _choose_views(model: _LoadedModel, data_root: Path, count: int) -> list[str]:
    """Of each of the first test sequences, the view that shows most joints; none when the data lie elsewhere."""
    by_folder: dict[str, list[str]] = {}
    for view in model.dataset.views:
        if (data_root / f"{view.name}.npz").is_file():
            by_folder.setdefault(view.name.rpartition("/")[0], []).append(view.name)

    def seen(name: str) -> float:
        visibility = HumanData.load(data_root / f"{name}.npz").visibility
        return 0.0 if visibility is None else float(visibility.mean())

    return [max(views, key=seen) for views in list(by_folder.values())[:count]]


def prediction_frames(
    data_root: Path, sequence: str, annotation: HumanData, models: Sequence[_LoadedModel], max_frames: int
) -> Iterator[np.ndarray]:
    """Frames of an overlay video: picture, true mesh, then each model's mesh over the picture.

    Args:
        data_root: The data set.
        sequence: ``<split>/<folder>/<view>``.
        annotation: That view's.
        models: What predicts.
        max_frames: At most so many.

    Yields:
        RGB, shape (COLUMN_HEIGHT, W, 3) uint8.
    """
    predictions = [model.predict(sequence) for model in models]
    body, faces = models[0].body, models[0].body.faces
    rows = predictions[0]["frames"][:max_frames]
    truth = true_vertices(annotation, rows, body)
    surfaces = [root_relative_vertices(model.body, prediction) for model, prediction in zip(models, predictions)]
    colours = (PREDICTION_COLOUR, *_MORE_COLOURS)
    labels = ["video", *(["truth"] if truth is not None else []), *(model.run.name for model in models)]
    images = VideoReader().read(data_root / f"{sequence}.mp4", _video_frames(annotation, rows))
    for i, image in enumerate(images):
        factor = COLUMN_HEIGHT / image.shape[0]
        ground = enlarge(image, factor)
        columns = [ground]
        if truth is not None:
            mesh = _enlarged(perspective(truth[i], faces, annotation.camera.K), factor)
            columns.append(overlay(ground, mesh, faces, colour=TRUTH_COLOUR))
        for k, (surface, prediction) in enumerate(zip(surfaces, predictions)):
            its_faces = models[k].body.faces
            mesh = weak_perspective(surface[i], its_faces, prediction["pred_camera"][i], prediction["crop"][i])
            columns.append(overlay(ground, _enlarged(mesh, factor), its_faces, colour=colours[k % len(colours)]))
        yield side_by_side(columns, labels)


def true_vertices(annotation: HumanData, rows: np.ndarray, body: nn.Module) -> np.ndarray | None:
    """The annotated body's surface in camera axes [m], shape (T, V, 3); None when its betas are another body's."""
    if annotation.smpl is None or annotation.camera is None or not same_body(annotation.body_model, body.body_model_id):
        return None
    smpl = {name: torch.as_tensor(np.asarray(values, np.float32)[rows]) for name, values in annotation.smpl.items()}
    rotation = torch.cat([smpl["global_orient"].reshape(-1, 1, 3), smpl["body_pose"].reshape(-1, 23, 3)], 1)
    return _pose(body, smpl["betas"], axis_angle_to_matrix(rotation), smpl["transl"])


def root_relative_vertices(body: nn.Module, prediction: Mapping[str, object]) -> np.ndarray:
    """A prediction's surface in camera axes with SMPL joint 0 at the origin [m], shape (T, V, 3)."""
    return _pose(body, prediction["pred_betas"], prediction["pred_rotmat"], None)


@torch.no_grad()
def _pose(body: nn.Module, betas: torch.Tensor, rotmat: torch.Tensor, transl: torch.Tensor | None) -> np.ndarray:
    """Vertices (T, V, 3) [m], with ``transl`` (T, 3) added, or with joint 0 at the origin where it is None."""
    device = next(body.buffers()).device
    surfaces = []
    for start in range(0, len(betas), 64):
        part = slice(start, start + 64)
        output = body(betas[part].float().to(device), rotmat[part].float().to(device))
        origin = output.joints[:, :1] if transl is None else -transl[part, None].to(device)
        surfaces.append((output.vertices - origin).cpu().numpy())
    return np.concatenate(surfaces)


def _enlarged(mesh: ScreenMesh, factor: float) -> ScreenMesh:
    return ScreenMesh(enlarge_points(mesh.points, factor), mesh.nearness, mesh.normals)


def _video_frames(annotation: HumanData, rows: np.ndarray) -> list[int]:
    return [int(row) for row in (rows if annotation.frame_idx is None else annotation.frame_idx[rows])]


# --- the factory -----------------------------------------------------------------------------------------------------


def annotated_sheet(sequence: FactorySequence, body: nn.Module) -> np.ndarray:
    """All views of a sequence's middle frame: as rendered, with the skeleton, with the true mesh.

    Args:
        sequence: The sequence.
        body: The body that the betas should belong to; the mesh is left out when they do not.

    Returns:
        RGB, three rows (or two) of one picture a view.
    """
    rows: list[list[np.ndarray]] = [[], [], []]
    for name in sequence.manifest["views"]:
        annotation = sequence.view(name)
        middle = np.array([len(annotation) // 2])
        image = VideoReader().read(sequence.folder / f"{name}.mp4", _video_frames(annotation, middle))[0]
        factor = SHEET_HEIGHT / image.shape[0]
        ground = enlarge(image, factor)
        rows[0].append(draw_label(ground, name))
        points = np.where(
            annotation.keypoints2d[middle[0], :, 2:] > 0, annotation.keypoints2d[middle[0], :, :2], np.nan
        )
        visible = None if annotation.visibility is None else annotation.visibility[middle[0]]
        rows[1].append(draw_skeleton(ground, enlarge_points(points, factor), visible, annotation.names))
        vertices = true_vertices(annotation, middle, body)
        if vertices is not None:
            mesh = _enlarged(perspective(vertices[0], body.faces, annotation.camera.K), factor)
            rows[2].append(overlay(ground, mesh, body.faces, colour=TRUTH_COLOUR, alpha=0.75))
    return contact_sheet([image for row in rows for image in row], columns=len(rows[0]))


def _pictures_section(out: Path, sequences: Sequence[FactorySequence], body: nn.Module) -> str:
    chosen = {sequence.split: sequence for sequence in reversed(sequences)}  # the first of each split
    parts = []
    for split in ("train", "test"):
        if split in chosen:
            name = f"assets/sample_{split}.jpg"
            save_image(out / name, annotated_sheet(chosen[split], body))
            parts.append(page.picture(name, f"Views of {chosen[split].folder.name}", _describe(chosen[split])))
    note = (
        "One moment from every camera: as rendered, with the joints (filled where visible, hollow where hidden; left "
        "orange, right blue), and with the mesh that theta and beta stand for."
    )
    return page.section("What the factory made", page.paragraph(note), *parts)


def _describe(sequence: FactorySequence) -> str:
    return f"{sequence.split}/{sequence.folder.name}: {_garment_names(sequence)}, {sequence.manifest['frames']} frames"


def _garment_names(sequence: FactorySequence) -> str:
    garments = sequence.manifest.get("garments") or []
    names = [item.get("name", "?") if isinstance(item, dict) else str(item) for item in garments]
    return " + ".join(name.replace("_", " ") for name in names) or "no garments"


def _factory_section(sequences: Sequence[FactorySequence]) -> str:
    listing = {
        f"{s.split}/{s.folder.name}": [str(s.manifest.get("clip", "")), _garment_names(s), s.manifest["frames"]]
        for s in sequences
    }
    columns, quality = quality_table([sequence.manifest.get("quality") or {} for sequence in sequences])
    seconds: dict[str, list[float]] = {}
    for sequence in sequences:
        for stage, value in (sequence.manifest.get("timings") or {}).items():
            if isinstance(value, (int, float)):
                total = seconds.setdefault(stage.replace("_", " "), [0.0, 0])
                total[0] += value
                total[1] += sequence.manifest["frames"]
    timings = {stage: [total, total / max(frames, 1)] for stage, (total, frames) in seconds.items()}
    return page.section(
        "Cloth and cost",
        page.table(
            ["cloth quality", *columns], quality, caption="Median over the sequences, in brackets least and most"
        )
        if quality
        else "",
        page.table(
            ["stage", "seconds in all", "seconds a frame of motion"],
            timings,
            caption="Time of the factory, by stage; what starts with cloth is part of simulate",
        )
        if timings
        else "",
        page.details(
            f"The {len(sequences)} sequences", page.table(["sequence", "clip", "garments", "frames"], listing)
        ),
    )


def quality_table(records: Sequence[Mapping[str, object]]) -> tuple[list[str], dict[str, list[str]]]:
    """Cloth quality over sequences: a row a figure, a column a garment.

    Args:
        records: One ``{garment: {figure: value}}`` a sequence; figures beside the garments are the sequence's own.

    Returns:
        The columns' names and the rows, each cell ``median (least to most)``.
    """
    values: dict[str, dict[str, list[float]]] = {}
    columns: dict[str, None] = {}
    for record in records:
        own = {name: value for name, value in record.items() if not isinstance(value, Mapping)}
        garments = {name: value for name, value in record.items() if isinstance(value, Mapping)}
        for column, figures in {**garments, "sequence": own}.items():
            for name, value in figures.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    columns[column] = None
                    values.setdefault(name, {}).setdefault(column, []).append(float(value))
    rows = {}
    for name, of_column in values.items():
        label = _QUALITY_LABELS.get(name, name.replace("_", " "))
        rows[label] = [_spread(of_column[column]) if column in of_column else "" for column in columns]
    return [column.replace("_", " ") for column in columns], rows


def _spread(values: Sequence[float]) -> str:
    middle, least, most = (page.number(value) for value in (statistics.median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least} to {most})"


# --- where it comes from ---------------------------------------------------------------------------------------------


def _origin_section(runs: Sequence[Run], data_root: Path, sequences: Sequence[FactorySequence]) -> str:
    rows = {run.name: [str(run.config), str(run.checkpoint)] for run in runs}
    versions = sequences[0].manifest.get("versions") or {}
    text = f"Data: `{data_root}`. " + ", ".join(f"{name} {version}" for name, version in versions.items())
    return page.section(
        "Where it comes from",
        page.paragraph(text),
        page.table(["model", "config", "checkpoint"], rows) if rows else "",
    )
