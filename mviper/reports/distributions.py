"""Statistics of a data set (poses, shapes, views, light, visibility and size) and their page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

import mviper
from mviper.datasets import DatasetCheck, FactorySequence, VideoReader
from mviper.errors import FileFormatError
from mviper.files import atomic_path
from mviper.graphics import LINE_COLOURS, THEMES
from mviper.reports import page
from mviper.structures import KEYPOINTS, SMPL_JOINTS, HumanData

ASSETS = "dataset_files"

#: Rec. 709 luma of RGB.
_LUMA = np.array([0.2126, 0.7152, 0.0722])


@dataclass
class Distributions:
    """Measurements over all views of a data set, N frames in all.

    Attributes:
        pose_angles: Rotation angle of each joint [degrees], shape (N, 24); for the root, the body's heading.
        betas: One row per sequence, shape (M, B).
        azimuth: The camera's azimuth about the body [degrees], 0 in front, 90 on its left, shape (N,).
        elevation: The camera's elevation [degrees], shape (N,).
        visible: chi, shape (N, J).
        box_side: Longer side of the body's box over the picture's shorter side, shape (N,).
        brightness: Mean luma of the picture and of the body's box, 0 to 1, shape (P, 2), for one picture per view.
        skipped: Reason for each skipped view, by file.
    """

    pose_angles: np.ndarray
    betas: np.ndarray
    azimuth: np.ndarray
    elevation: np.ndarray
    visible: np.ndarray
    box_side: np.ndarray
    brightness: np.ndarray
    skipped: dict[str, str] = field(default_factory=dict)


def measure_distributions(
    sequences: Sequence[FactorySequence], progress: Callable[[int, int, str], None] = lambda done, total, name: None
) -> Distributions:
    """Measures a data set; brightness comes from the middle picture of each view.

    Args:
        sequences: Generated sequences.
        progress: Called with the number of sequences done, the total, and the next one's name.

    Raises:
        FileFormatError: No view can be read.
    """
    columns: dict[str, list[np.ndarray]] = {}
    betas, skipped, reader = [], {}, VideoReader(max_open=1)
    for number, sequence in enumerate(sequences):
        progress(number, len(sequences), sequence.name)
        shapes: dict[str, np.ndarray] = {}
        for shown in sequence.person_views:
            try:
                data = sequence.annotation(shown)
                if data.smpl is None or data.keypoints3d is None or data.visibility is None or data.camera is None:
                    raise FileFormatError(sequence.folder / f"{shown.name}.npz", "it lacks what the factory annotates")
                middle = len(data) // 2
                picture = reader.read(sequence.folder / f"{shown.view}.mp4", [middle])[0]
            except FileFormatError as error:
                skipped[str(error.path)] = error.problem
                continue
            shapes[shown.person] = data.smpl["betas"][0]
            for key, values in _of_view(data, picture, middle).items():
                columns.setdefault(key, []).append(values)
        betas += shapes.values()
    progress(len(sequences), len(sequences), "")
    if not columns:
        path, problem = next(iter(skipped.items()))
        raise FileFormatError(path, problem)
    return Distributions(
        **{key: np.concatenate(values) for key, values in columns.items()}, betas=np.array(betas), skipped=skipped
    )


def _of_view(data: HumanData, picture: np.ndarray, middle: int) -> dict[str, np.ndarray]:
    root = Rotation.from_rotvec(data.smpl["global_orient"])
    towards = root.inv().apply(-data.keypoints3d[:, KEYPOINTS.index("pelvis"), :3])  # the camera, in the body's axes
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    poses = np.concatenate([data.smpl["global_orient"][:, None], data.smpl["body_pose"]], axis=1)
    luma = picture @ _LUMA / 255
    left, top, width, height = data.bbox_xywh[middle, :4].round().astype(int)
    inside = luma[max(top, 0) : top + max(height, 1), max(left, 0) : left + max(width, 1)]
    sides = data.bbox_xywh[:, 2:4].max(axis=1) / min(data.camera.width, data.camera.height)
    return {
        "pose_angles": np.degrees(Rotation.from_rotvec(poses.reshape(-1, 3)).magnitude()).reshape(len(poses), -1),
        "azimuth": np.degrees(np.arctan2(towards[:, 0], towards[:, 2])),
        "elevation": np.degrees(np.arcsin(np.clip(towards[:, 1], -1, 1))),
        "visible": data.visibility > 0,
        "box_side": sides,
        "brightness": np.array([[luma.mean(), inside.mean() if inside.size else np.nan]]),
    }


def plot_distributions(path: str | Path, found: Distributions, *, theme: str = "light") -> None:
    """Draws six panels to a PNG.

    Args:
        path: The PNG.
        found: The distributions to draw.
        theme: ``"light"`` or ``"dark"``, the page it is for.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ink, grid = THEMES[theme]
    figure = Figure(figsize=(10, 13), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(3, 2, height_ratios=(1.0, 0.8, 1.5))
    (poses, shape), (view, light), (seen, size) = panels
    _ranges(poses, SMPL_JOINTS[1:], found.pose_angles[:, 1:])
    _ranges(shape, [f"beta {k}" for k in range(found.betas.shape[1])], found.betas)
    view.hist(found.azimuth, bins=np.arange(-180, 181, 15), color=LINE_COLOURS[0], label="azimuth")
    view.hist(found.elevation, bins=np.arange(-90, 91, 7.5), color=LINE_COLOURS[1], histtype="step", linewidth=1.8,
              label="elevation")  # fmt: skip
    view.set_xticks([-180, -90, 0, 90, 180], ["behind", "right", "front", "left", "behind"])
    light.hist(found.brightness, bins=np.linspace(0, 1, 26), color=LINE_COLOURS[:2], label=["picture", "body's box"])
    shares = found.visible.mean(axis=0)
    seen.barh(np.arange(len(shares)), 100 * shares, color=LINE_COLOURS[0])
    seen.set_yticks(np.arange(len(shares)), KEYPOINTS[: len(shares)])
    seen.invert_yaxis()
    seen.set_xlim(0, 100)
    size.hist(found.box_side, bins=25, color=LINE_COLOURS[0])
    titles = {
        poses: "Poses: rotation of each joint [degrees]",
        shape: "Bodies: betas",
        view: "View: direction of the camera [frames]",
        light: "Brightness: mean luma [views]",
        seen: "Visibility: share of frames in which a joint is visible [%]",
        size: "Size: box side over picture side [frames]",
    }
    for axes, title in titles.items():
        axes.set_title(title, loc="left", color=ink, fontsize=10)
        axes.tick_params(colors=ink, labelsize=6 if axes in (poses, seen) else 8)
        axes.grid(color=grid, linewidth=0.6)
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(grid)
    for axes in (view, light):
        axes.legend(frameon=False, labelcolor=ink, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, transparent=True)


def _ranges(axes, names: Sequence[str], values: np.ndarray) -> None:
    """A bar from the 5th to the 95th percentile of each column, and a dot at its median."""
    low, middle, high = np.percentile(values, [5, 50, 95], axis=0)
    rows = np.arange(len(names))
    axes.barh(rows, high - low, left=low, color=LINE_COLOURS[0], height=0.6)
    axes.plot(middle, rows, "o", color=LINE_COLOURS[1], markersize=3.5)
    axes.set_yticks(rows, names)
    axes.invert_yaxis()


def write_dataset_page(
    out: Path, sequences: Sequence[FactorySequence], found: Distributions, check: DatasetCheck,
    sheets: Mapping[str, str],
) -> Path:  # fmt: skip
    """Writes ``index.html``, with its pictures in ``dataset_files/``.

    Args:
        out: The folder.
        sequences: The data set's sequences.
        found: Its distributions.
        check: Result of :func:`mviper.datasets.check.check_dataset`.
        sheets: Contact sheets, by sequence, as paths relative to ``out``.

    Returns:
        Path of the page.
    """
    (out / ASSETS).mkdir(parents=True, exist_ok=True)
    files = {theme: f"{ASSETS}/distributions_{theme}.png" for theme in THEMES}
    for theme, name in files.items():
        plot_distributions(out / name, found, theme=theme)
    frames = sum(s.manifest["frames"] * len(s.manifest["views"]) for s in sequences)
    counts = {}
    for split in sorted({s.split for s in sequences}):
        own = [s.manifest for s in sequences if s.split == split]
        people = [person for s in sequences if s.split == split for person in s.people]
        garments = {piece["name"] for person in people for piece in person.get("garments") or []}
        counts[split] = [
            len(own), sum(m["frames"] * len(m["views"]) for m in own),
            len({person.get("clip") for person in people}), len({person.get("subject") for person in people}),
            len(garments),
        ]  # fmt: skip
    verdict = "OK: all files follow the on-disk format." if check.ok else (
        f"{len(check.problems)} of {check.sequences} sequences (or clips) do not follow the on-disk format:"
    )  # fmt: skip
    problems = {name: ["; ".join(lines)] for name, lines in check.problems.items()}
    problems |= {path: [f"not measured: {reason}"] for path, reason in found.skipped.items()}
    sections = [
        page.section(
            "Check", page.paragraph(verdict), *[page.paragraph(note) for note in check.notes],
            page.table(["where", "what is wrong"], problems) if problems else "",
        ),
        page.section("Contents", page.table(["split", "sequences", "frames", "motions", "subjects", "garments"],
                                                 counts)),
        page.section(
            "Distributions",
            page.paragraph("Bars reach from the 5th to the 95th percentile over all frames, dots are medians."),
            page.picture(files["light"], "Distributions", dark_source=files["dark"]),
        ),
        page.section("Pictures", *[page.picture(source, name, name) for name, source in sheets.items()]),
    ]  # fmt: skip
    lead = f"{len(sequences)} sequences, {frames:,} frames · MVIPER {mviper.__version__} · "
    with atomic_path(out / "index.html") as temporary:
        temporary.write_text(page.page("Data set", lead + f"{datetime.now():%Y-%m-%d %H:%M}", sections), "utf-8")
    return out / "index.html"
