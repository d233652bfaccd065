"""Small sequence folders as the factory writes them: the open body before two cameras, with drawn videos."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import native_sets
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from mviper.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mviper.registry import MODELS
from mviper.structures.camera import Camera
from mviper.structures.human_data import HumanData
from mviper.structures.joints import KEYPOINTS

SIDE = 250


@pytest.fixture(scope="session")
def body():
    return MODELS.build({"type": "mviper.SMPL"}).eval()


def write_video(path: Path, pictures: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.gop_size, stream.thread_count = "yuv420p", 8, 1
        stream.options = {"crf": "12"}
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def draw(points: np.ndarray, rng: np.random.Generator, radius: float = 0.0) -> np.ndarray:
    """Draws a stick figure on a textured background (radius 0), or anti-aliased white discs on grey."""
    if radius:
        y, x = np.mgrid[:SIDE, :SIDE]
        distance = np.min([np.hypot(x - px, y - py) for px, py in points], axis=0)
        disc = np.clip(radius + 0.5 - distance, 0, 1)
        return np.repeat((40 + 200 * disc)[..., None].round().astype(np.uint8), 3, axis=2)
    picture = cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    for point in points[:24]:
        cv2.circle(picture, tuple(np.round(point).astype(int).tolist()), 6, (230, 180, 150), -1)
    return picture


@pytest.fixture(scope="session")
def write_sequence(body) -> Callable:
    """``write_sequence(root, name, split=, frames=, seed=, views=, body_model=, dots=)`` -> the folder."""

    @torch.no_grad()
    def write(
        root: Path,
        name: str,
        split: str = "train",
        frames: int = 20,
        seed: int = 0,
        views: tuple[str, ...] = ("east", "north"),
        body_model: str | None = None,
        dots: tuple[str, ...] = (),
    ) -> Path:
        rng = np.random.default_rng(seed)
        folder = root / split / name
        folder.mkdir(parents=True)
        time = np.linspace(0, 1, frames)[:, None, None]
        poses = torch.from_numpy(0.3 * rng.normal(size=(24, 3)) + 0.3 * rng.normal(size=(24, 3)) * time)
        betas = torch.from_numpy(rng.normal(size=10)).expand(frames, 10)
        upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]).double())
        for number, view in enumerate(views):
            turn = axis_angle_to_matrix(torch.tensor([0.0, 1.57 * number, 0.0]).double())
            rotmat = axis_angle_to_matrix(poses)
            rotmat[:, 0] = upright @ turn @ rotmat[:, 0]
            joints = body(betas.float(), rotmat.float()).joints.double()
            transl = (
                torch.tensor([0.0, 0.0, 13.0]) - joints[:, 0] + 0.1 * torch.from_numpy(np.sin(time[:, 0] * [3, 2, 1]))
            )
            joints = (joints + transl[:, None]).numpy()
            K = np.array([[1406.25, 0, (SIDE - 1) / 2], [0, 1406.25, (SIDE - 1) / 2], [0, 0, 1]])
            camera = Camera(K, np.tile(np.eye(3), (frames, 1, 1)), np.zeros((frames, 3)), SIDE, SIDE, view)
            pixels = camera.project(joints)
            shown = [KEYPOINTS.index(dot) for dot in dots]
            pictures = [draw(p[shown] if dots else p, rng, 5.0 * bool(dots)) for p in pixels]
            write_video(folder / f"{view}.mp4", pictures)
            low, high = pixels.min(1), pixels.max(1)
            ones = np.ones((*joints.shape[:2], 1))
            axis_angle = matrix_to_axis_angle(rotmat).numpy()
            HumanData(
                keypoints2d=np.concatenate([pixels, ones], 2),
                keypoints3d=np.concatenate([joints, ones], 2),
                bbox_xywh=np.concatenate([low, high - low, ones[:, 0]], 1),
                smpl={
                    "global_orient": axis_angle[:, 0],
                    "body_pose": axis_angle[:, 1:],
                    "betas": betas.numpy(),
                    "transl": transl.numpy(),
                },
                body_model=body_model or body.body_model_id,
                visibility=(rng.random(joints.shape[:2]) < 0.9).astype(np.uint8),
                image_path=[f"{view}/{i:06d}.jpg" for i in range(frames)],
                video_path=f"{view}.mp4",
                frame_idx=np.arange(frames),
                camera=camera,
                meta={"gender": ["n"] * frames, "height": SIDE, "width": SIDE},
            ).save(folder / f"{view}.npz")
        manifest = {"name": name, "split": split, "frames": frames, "fps": 30, "views": list(views)}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return write


@pytest.fixture(scope="session")
def sequences(write_sequence, tmp_path_factory) -> Path:
    """Two training sequences of two views, 20 frames each."""
    root = tmp_path_factory.mktemp("mviper")
    write_sequence(root, "walk__00", seed=1)
    write_sequence(root, "walk__01", seed=2)
    return root


@pytest.fixture(scope="session")
def write_company(write_sequence) -> Callable:
    """``write_company(root, name, ...)``, as ``write_sequence``: a folder of two people, who share its videos."""

    def write(root: Path, name: str, views: tuple[str, ...] = ("east", "north"), **options) -> Path:
        folder = write_sequence(root, name, views=views, **options)
        other = write_sequence(root / ".other", name, views=views, **{**options, "seed": options.get("seed", 0) + 50})
        for view in views:
            (folder / f"{view}.npz").rename(folder / f"{view}_p0.npz")
            (other / f"{view}.npz").rename(folder / f"{view}_p1.npz")
        shutil.rmtree(root / ".other")
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["view_list"] = [
            dict(name=view, camera=view, render=0, person=person) for view in views for person in ("p0", "p1")
        ]
        manifest["people"] = [
            dict(person="p0", clip="walk", subject="07", garments=[dict(name="t_shirt")]),
            dict(person="p1", clip="wave", subject="08", garments=[dict(name="t_shirt"), dict(name="shorts")]),
        ]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return write


@pytest.fixture(scope="session")
def samples(tmp_path_factory) -> Path:
    """Folder of small annotations of COCO and MPII, see ``native_sets.write_samples``."""
    root = tmp_path_factory.mktemp("samples")
    native_sets.write_samples(root)
    return root


@pytest.fixture
def log_lines() -> list[str]:
    """Messages logged during the test."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
