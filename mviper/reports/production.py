"""Report on generated data: every view with its annotation, cloth quality, and cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from mviper.datasets import FactorySequence, VideoReader
from mviper.graphics import (
    TRUTH_COLOUR,
    contact_sheet,
    draw_label,
    draw_skeleton,
    enlarge,
    enlarge_points,
    overlay,
    perspective,
    save_image,
)
from mviper.reports import page
from mviper.reports.surfaces import enlarged, true_vertices, video_frames
from mviper.structures import HumanData

#: Height of one picture of a contact sheet [px].
SHEET_HEIGHT = 300
#: Units of the cloth quality figures that MVIPER's simulator writes to a manifest.
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
    "solver_steps": "solver steps per frame",
}


def annotated_sheet(sequence: FactorySequence, body: nn.Module) -> np.ndarray:
    """All views of a sequence's middle frame: rendered, with the skeletons, and with the true meshes.

    Args:
        sequence: The sequence.
        body: The body that the betas should belong to; otherwise the mesh is omitted.

    Returns:
        RGB, three rows (or two), one picture per view.
    """
    rows: list[list[np.ndarray]] = [[], [], []]
    for name in sequence.manifest["views"]:
        people = sequence.annotations(name)
        middle = np.array([len(people[0]) // 2])
        image = VideoReader().read(sequence.folder / f"{name}.mp4", video_frames(people[0], middle))[0]
        factor = SHEET_HEIGHT / image.shape[0]
        ground = enlarge(image, factor)
        rows[0].append(draw_label(ground, name))
        skeletons, surfaces, drawn = ground, ground, False
        for annotation in _far_to_near(people, middle[0]):
            points = np.where(
                annotation.keypoints2d[middle[0], :, 2:] > 0, annotation.keypoints2d[middle[0], :, :2], np.nan
            )
            visible = None if annotation.visibility is None else annotation.visibility[middle[0]]
            skeletons = draw_skeleton(skeletons, enlarge_points(points, factor), visible, annotation.names)
            vertices = true_vertices(annotation, middle, body)
            if vertices is not None:
                mesh = enlarged(perspective(vertices[0], body.faces, annotation.camera.K), factor)
                surfaces, drawn = overlay(surfaces, mesh, body.faces, colour=TRUTH_COLOUR, alpha=0.75), True
        rows[1].append(skeletons)
        rows[2] += [surfaces] * drawn
    return contact_sheet([image for row in rows for image in row], columns=len(rows[0]))


def _far_to_near(people: Sequence[HumanData], frame: int) -> list[HumanData]:
    """People in the order in which they cover each other."""
    if len(people) < 2:
        return list(people)
    return sorted(people, key=lambda person: -float(person.keypoints3d[frame, 0, 2]))


def pictures_section(out: Path, sequences: Sequence[FactorySequence], body: nn.Module) -> str:
    """One moment of a training and a test sequence from every camera."""
    chosen = {sequence.split: sequence for sequence in reversed(sequences)}  # the first of each split
    parts = []
    for split in ("train", "test"):
        if split in chosen:
            name = f"assets/sample_{split}.jpg"
            save_image(out / name, annotated_sheet(chosen[split], body))
            parts.append(page.picture(name, f"Views of {chosen[split].folder.name}", _describe(chosen[split])))
    note = (
        "One moment from every camera: as rendered, with the joints (filled where visible, hollow where hidden; left "
        "orange, right blue), and with the mesh given by theta and beta."
    )
    return page.section("Generated data", page.paragraph(note), *parts)


def _describe(sequence: FactorySequence) -> str:
    return f"{sequence.split}/{sequence.folder.name}: {_garment_names(sequence)}, {sequence.manifest['frames']} frames"


def _garment_names(sequence: FactorySequence) -> str:
    outfits = []
    for person in sequence.people:
        garments = person.get("garments") or []
        names = [item.get("name", "?") if isinstance(item, dict) else str(item) for item in garments]
        outfits.append(" + ".join(name.replace("_", " ") for name in names) or "no garments")
    return "; ".join(outfits)


def production_section(sequences: Sequence[FactorySequence]) -> str:
    """Cloth quality, seconds per stage, and the list of sequences."""
    listing = {
        f"{s.split}/{s.folder.name}": [
            "; ".join(str(person.get("clip", "")) for person in s.people),
            _garment_names(s),
            s.manifest["frames"],
        ]
        for s in sequences
    }
    columns, quality = quality_table(
        [person.get("quality") or {} for sequence in sequences for person in sequence.people]
    )
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
            ["cloth quality", *columns], quality, caption="Median over the sequences, minimum and maximum in brackets"
        )
        if quality
        else "",
        page.table(
            ["stage", "seconds in all", "seconds per frame of motion"],
            timings,
            caption="Generation time by stage; stages whose names start with cloth are part of simulate",
        )
        if timings
        else "",
        page.details(
            f"The {len(sequences)} sequences", page.table(["sequence", "clip", "garments", "frames"], listing)
        ),
    )


def quality_table(records: Sequence[Mapping[str, object]]) -> tuple[list[str], dict[str, list[str]]]:
    """Cloth quality over sequences: one row per figure, one column per garment.

    Args:
        records: One ``{garment: {figure: value}}`` per sequence; figures outside garments are those of the sequence.

    Returns:
        The columns' names and the rows, each cell ``median (minimum to maximum)``.
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
