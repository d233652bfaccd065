"""tools/report.py on a small data set with two real (untrained) models: the page, and everything that it links to."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.visualization import LocalVisBackend

from mviper.body import SMPL
from mviper.datasets.sequences import FactorySequence
from mviper.engine.checkpoints import write_checkpoint
from mviper.engine.testing import MEAN_POSE, MODEL, TRUTH, Evaluation
from mviper.errors import FileFormatError, MissingDataError
from mviper.graphics import overlay, perspective, rasterize, read_video, write_video
from mviper.registry import MODELS
from mviper.reports.production import annotated_sheet, quality_table
from mviper.reports.report import write_report
from mviper.reports.runs import Run
from mviper.reports.surfaces import true_vertices
from mviper.structures import Camera
from mviper.structures.human_data import HumanData

FRAMES, SIZE = 6, 96


@pytest.fixture(scope="module")
def body() -> SMPL:
    return SMPL()


def write_sequence(folder: Path, body: SMPL, views: dict[str, float]) -> None:
    """A body that raises an arm, drawn by the overlay rasteriser, stored as the factory would."""
    folder.mkdir(parents=True)
    K = np.array([[330.0, 0, (SIZE - 1) / 2], [0, 330.0, (SIZE - 1) / 2], [0, 0, 1]])
    for name, heading in views.items():
        pose = np.zeros((FRAMES, 24, 3))
        pose[:, 16, 2] = np.linspace(-1.2, 0.3, FRAMES)
        root = cv2.Rodrigues(np.array([np.pi, 0, 0]))[0] @ cv2.Rodrigues(np.array([0, heading, 0]))[0]
        pose[:, 0] = cv2.Rodrigues(root)[0].T
        transl = np.tile([0.0, 0.2, 7.5], (FRAMES, 1))
        rotmat = torch.tensor(np.stack([[cv2.Rodrigues(r)[0] for r in frame] for frame in pose])).float()
        output = body(torch.zeros(FRAMES, 10), rotmat, torch.tensor(transl).float())
        joints = output.joints.double().numpy()
        points = joints @ K.T
        points = points[..., :2] / points[..., 2:]
        ones = np.ones((*points.shape[:2], 1))
        visibility = np.ones(points.shape[:2], np.uint8)
        visibility[:, 5] = 0
        low, high = points.min(1), points.max(1)
        HumanData(
            np.concatenate([points, ones], -1), np.concatenate([joints, ones], -1),
            np.concatenate([low, high - low, np.ones((FRAMES, 1))], 1),
            {
                "global_orient": pose[:, 0], "body_pose": pose[:, 1:], "betas": np.zeros((FRAMES, 10)),
                "transl": transl,
            },
            body_model=body.body_model_id, visibility=visibility, image_path=[f"{i}.png" for i in range(FRAMES)],
            video_path=f"{name}.mp4", frame_idx=np.arange(FRAMES),
            camera=Camera(K, np.tile(np.eye(3), (FRAMES, 1, 1)), np.zeros((FRAMES, 3)), SIZE, SIZE),
            meta={"width": SIZE, "height": SIZE},
        ).save(folder / f"{name}.npz")  # fmt: skip
        ground = np.full((SIZE, SIZE, 3), 235, np.uint8)
        frames = [
            overlay(ground, perspective(vertices, body.faces, K), body.faces, colour=(0.9, 0.3, 0.3), alpha=1)
            for vertices in output.vertices.numpy()
        ]
        write_video(folder / f"{name}.mp4", frames, 30)
    manifest = {
        "name": folder.name, "split": folder.parent.name, "clip": "humanoid3d_walk", "frames": FRAMES, "fps": 30,
        "views": list(views), "garments": [{"name": "t_shirt"}, {"name": "trousers"}],
        "subject": "deepmimic", "betas": [len(views), 0.5],
        "quality": {"t_shirt": {"inside_mean": 0.1 * len(views), "finite": True}, "solver_steps": 10},
        "timings": {"simulate": 4.2, "render": 1.5}, "versions": {"bpy": "4.5"},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


CONFIG = """
model = dict(
    type="{estimator}",
    backbone=dict(type="EfficientNetLiteEncoder", pretrained=False),
    {neck}head=dict(type="IEFHead", hidden=16),
    body_model=dict(type="SMPL"),
)
test_dataloader = dict(
    batch_size=1,
    dataset=dict(type="SyntheticHumanVideo", data_root={data!r}, split="test", clip_length=None,
                 pipeline=[dict(type="CropClip", size=32), dict(type="PackBodySample")]),
)
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory, body) -> dict:
    """Data of two splits and two untrained models with logs and figures."""
    root = tmp_path_factory.mktemp("job")
    write_sequence(root / "data" / "train" / "walk__00", body, {"east": 0.4})
    write_sequence(root / "data" / "test" / "run & jump__00", body, {"north": 3.1, "south": 0.2})
    pairs = {}
    for number, (name, estimator, neck) in enumerate(
        [
            ("frame", "ImageBodyModelEstimator", ""),
            ("video", "VideoBodyModelEstimator", 'neck=dict(type="AttentionLSTM", attention_hidden=16),\n    '),
        ]
    ):
        config = root / f"{name}.py"
        config.write_text(CONFIG.format(estimator=estimator, neck=neck, data=str(root / "data")))
        torch.manual_seed(number)
        folder = root / "work_dirs" / name
        folder.mkdir(parents=True)
        model = MODELS.build(Config.fromfile(config).model)
        write_checkpoint({"state_dict": model.state_dict(), "meta": {}}, folder / "last.pth")
        scalars = LocalVisBackend(str(folder / "20260101_000000" / "vis_data"))
        for step in range(1, 30):
            scalars.add_scalars({"loss": 3 / step, "loss_proj": 1 / step, "time": 0.5, "iter": step}, step=step)
            if step % 10 == 0:
                scalars.add_scalars({"MPJPE_mm": 300.0 - step, "PA-MPJPE_mm": 100.0}, step=step)
        Evaluation(
            {
                MODEL: {"MPJPE_mm": 200.0 - 20 * number, "PA-MPJPE_mm": 110.0, "MRSV1": 0.2},
                MEAN_POSE: {"MPJPE_mm": 400.0, "PA-MPJPE_mm": 120.0, "MRSV1": 0.0},
                TRUTH: {"MPJPE_mm": 0.0, "MRSV1": 0.01},
            },
            trained_on="4 motions" if name == "video" else "",
        ).write(folder)
        pairs[name] = (config, folder / "last.pth")
    return {"root": root, "data": root / "data", **pairs}


class Links(HTMLParser):
    """Collects what a page links, and checks that its tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.links, self.open, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.links += [value for key, value in attributes if key in ("src", "href", "srcset", "poster")]
        if tag not in ("meta", "img", "source", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(index: Path) -> Links:
    parser = Links()
    parser.feed(index.read_text(encoding="utf-8"))
    parser.close()
    assert parser.open == []
    for link in parser.links:
        assert "://" not in link and not link.startswith("/")
        assert (index.parent / link).is_file(), link
    return parser


def test_the_page_of_a_whole_job(job, run_tool):
    out = job["root"] / "page"
    models = ("--frame", *job["frame"], "--video", *job["video"])
    done = run_tool("report.py", "--data", job["data"], "--out", out, "--max-frames", "4", *models)
    assert done.returncode == 0, done.stderr
    assert "index.html" in done.stdout
    parsed = parse(out / "index.html")
    text = " ".join(parsed.text)
    for expected in ("frame model", "MVIPER", "mean pose", "truth", "PA-MPJPE [mm]", "run & jump__00", "t shirt"):
        assert expected in text
    assert "frame model 0.50, MVIPER 0.45" in text  # of the mean pose's MPJPE
    origin = "Frame model learned from data that its checkpoint does not name; MVIPER learned from 4 motions; tested on"
    assert origin in text and "the 2 videos in" in text
    assert "another body" not in text
    assert "share 1 clip, 1 subject, no bodies" in text
    assert "0.150 (0.100 to 0.200)" in text
    assert "290 mm first, 280 mm last (-3%)" in text
    assert {Path(link).suffix for link in parsed.links} == {".mp4", ".jpg", ".png"}
    frames = read_video(out / "assets" / "prediction_0.mp4")
    assert len(frames) == 4 and frames.shape[1] == 360 and frames.shape[2] in range(4 * 360, 4 * 360 + 30)


def test_models_are_shown_as_they_were_tested(job, run_tool):
    options = ["--cfg-options", "test_dataloader.dataset.split=train"]
    models = ("--frame", *job["frame"])
    out = job["root"] / "train_page"
    done = run_tool("report.py", "--out", out, "--max-frames", "2", *models, *options)  # the data of the config
    assert done.returncode == 0, done.stderr
    assert "train/walk__00/east: 2 frames" in " ".join(parse(out / "index.html").text)


def test_the_true_mesh_covers_the_picture_it_was_made_from(job, body):
    annotation = HumanData.load(job["data"] / "test/run & jump__00/south.npz")
    picture = read_video(job["data"] / "test/run & jump__00/south.mp4")[2].astype(int)
    mesh = perspective(true_vertices(annotation, np.array([2]), body)[0], body.faces, annotation.camera.K)
    covered = rasterize(mesh, body.faces, SIZE, SIZE).mask
    dark = picture[..., 1] < 150
    assert (covered & dark).sum() / (covered | dark).sum() > 0.92  # a shift of one pixel gives about 0.75


def test_data_alone_make_a_page(job, tmp_path):
    parsed = parse(write_report(tmp_path, [], job["data"], title="<Data> & more"))
    assert "<Data> & more" in " ".join(parsed.text)
    assert sorted(parsed.links) == ["assets/sample_test.jpg", "assets/sample_train.jpg"]


def test_betas_of_another_body_are_said_and_not_drawn(job, body, tmp_path):
    write_sequence(tmp_path / "data" / "test" / "walk__00", body, {"east": 0.4})
    path = tmp_path / "data" / "test" / "walk__00" / "east.npz"
    annotation = HumanData.load(path)
    annotation.body_model = "someone:123"
    annotation.save(path)
    text = " ".join(parse(write_report(tmp_path / "page", [], tmp_path / "data")).text)
    assert "another body" in text and "someone:123" in text


def test_sheet_shows_all_views(job, body):
    folder = job["data"] / "test" / "run & jump__00"
    sequence = FactorySequence(folder, "test", json.loads((folder / "manifest.json").read_text()))
    assert annotated_sheet(sequence, body).shape == (3 * 300 + 4 * 6, 2 * 300 + 3 * 6, 3)
    other = SMPL()
    other.body_model_id = "other:0"
    assert annotated_sheet(sequence, other).shape[0] == 2 * 300 + 3 * 6  # betas of another body: no mesh


def test_missing_or_damaged_files_are_named(job, tmp_path):
    with pytest.raises(MissingDataError, match=r"tools/generate\.py"):
        write_report(tmp_path, [], tmp_path / "nothing")
    config, checkpoint = job["frame"]
    metrics = checkpoint.parent / "metrics.json"
    content = metrics.read_text()
    try:
        metrics.write_text("{}")
        with pytest.raises(FileFormatError, match=r"metrics\.json"):
            write_report(tmp_path, [Run("frame", config, checkpoint)])
        metrics.unlink()
        with pytest.raises(MissingDataError, match=r"tools/test\.py"):
            write_report(tmp_path, [Run("frame", config, checkpoint)])
    finally:
        metrics.write_text(content)
    manifest = tmp_path / "data" / "test" / "a__00" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"frames": 3')
    with pytest.raises(FileFormatError, match=r"manifest\.json"):
        write_report(tmp_path, [], tmp_path / "data")


def test_quality_has_a_column_a_garment():
    columns, rows = quality_table(
        [{"t_shirt": {"deepest": 1.0, "finite": True}, "solver_steps": 10}, {"t_shirt": {"deepest": 3.0}}]
    )
    assert columns == ["t shirt", "sequence"]
    assert rows == {
        "deepest before projection [mm]": ["2.00 (1.00 to 3.00)", ""],
        "solver steps per frame": ["", "10.0"],
    }
