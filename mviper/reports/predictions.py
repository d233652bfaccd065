"""Overlays of predictions on test videos: picture, true mesh, then each model's mesh, side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mviper.datasets import FactorySequence, VideoReader, find_sequences
from mviper.graphics import (
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    enlarge,
    overlay,
    perspective,
    save_image,
    side_by_side,
    weak_perspective,
    write_video,
)
from mviper.reports import page
from mviper.reports.runs import LoadedModel
from mviper.reports.surfaces import enlarged, root_relative_vertices, true_vertices, video_frames
from mviper.structures import HumanData

#: Height of one column of an overlay video [px].
COLUMN_HEIGHT = 360
#: Colours of the second and further models' meshes; the first has ``PREDICTION_COLOUR``.
_MORE_COLOURS = ((0.62, 0.82, 0.52), (0.80, 0.62, 0.92), (0.93, 0.60, 0.60))


def predictions_section(out: Path, data_root: Path, models: Sequence[LoadedModel], count: int, max_frames: int) -> str:
    """Overlay videos of ``count`` test sequences, and what the test split shares with training."""
    parts = []
    for number, sequence in enumerate(_choose_views(models[0], data_root, count)):
        annotation = HumanData.load(data_root / f"{sequence}.npz")
        stem = f"assets/prediction_{number}"
        frames = list(prediction_frames(data_root, sequence, annotation, models, max_frames))
        fps = json.loads((data_root / sequence).parent.joinpath("manifest.json").read_text()).get("fps", 30)
        write_video(out / f"{stem}.mp4", frames, fps)
        save_image(out / f"{stem}.jpg", frames[len(frames) // 2])
        parts.append(page.video(f"{stem}.mp4", f"{sequence}: {len(frames)} frames at {fps:g}/s", poster=f"{stem}.jpg"))
    note = "Meshes over test videos: the truth, then each model's prediction.  " + separation(find_sequences(data_root))
    return page.section("Predictions", page.paragraph(note), *parts)


def separation(sequences: Sequence[FactorySequence]) -> str:
    """A sentence on what the test split shares with training, from the manifests."""
    shared = []
    for key, one, more in (("clip", "clip", "clips"), ("subject", "subject", "subjects"), ("betas", "body", "bodies")):
        of_split: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
        for sequence in sequences:
            of_split[sequence.split] |= {json.dumps(person[key]) for person in sequence.people if person.get(key)}
        if of_split["train"] and of_split["test"]:
            count = len(of_split["train"] & of_split["test"])
            shared.append(f"{count or 'no'} {one if count == 1 else more}")
    return f"Test and training share {', '.join(shared)}." if shared else ""


def _choose_views(model: LoadedModel, data_root: Path, count: int) -> list[str]:
    """The view with the most visible joints of each of the first test sequences; none if the data lie elsewhere."""
    by_folder: dict[str, list[str]] = {}
    for view in model.dataset.views:
        if (data_root / f"{view.name}.npz").is_file():
            by_folder.setdefault(view.name.rpartition("/")[0], []).append(view.name)

    def seen(name: str) -> float:
        visibility = HumanData.load(data_root / f"{name}.npz").visibility
        return 0.0 if visibility is None else float(visibility.mean())

    return [max(views, key=seen) for views in list(by_folder.values())[:count]]


def prediction_frames(
    data_root: Path, sequence: str, annotation: HumanData, models: Sequence[LoadedModel], max_frames: int
) -> Iterator[np.ndarray]:
    """Frames of an overlay video: picture, true mesh, then each model's mesh over the picture.

    Args:
        data_root: The data set.
        sequence: ``<split>/<folder>/<view>``, of several people ``<split>/<folder>/<view>_<person>``.
        annotation: That view's annotation.
        models: Models to predict with.
        max_frames: Maximum number of frames.

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
    images = VideoReader().read((data_root / sequence).parent / annotation.video_path, video_frames(annotation, rows))
    for i, image in enumerate(images):
        factor = COLUMN_HEIGHT / image.shape[0]
        ground = enlarge(image, factor)
        columns = [ground]
        if truth is not None:
            mesh = enlarged(perspective(truth[i], faces, annotation.camera.K), factor)
            columns.append(overlay(ground, mesh, faces, colour=TRUTH_COLOUR))
        for k, (surface, prediction) in enumerate(zip(surfaces, predictions)):
            its_faces = models[k].body.faces
            mesh = weak_perspective(surface[i], its_faces, prediction["pred_camera"][i], prediction["crop"][i])
            columns.append(overlay(ground, enlarged(mesh, factor), its_faces, colour=colours[k % len(colours)]))
        yield side_by_side(columns, labels)
