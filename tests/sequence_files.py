"""Tiny sequence folders in the documented on-disk format, for tests that train and test on files."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from mviper.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mviper.registry import MODELS
from mviper.structures import Camera
from mviper.structures.human_data import HumanData
from mviper.structures.joints import KEYPOINTS

SIDE = 250


def write_sequences(root: Path, frames: int = 6, views: tuple[str, ...] = ("east",)) -> Path:
    """Writes one sequence for each split: a body that waves its arms, drawn as discs at its joints.

    Args:
        root: Folder for ``train/``, ``val/`` and ``test/``.
        frames: Length of each sequence.
        views: Number of cameras, at increasing angles round the body.

    Returns:
        ``root``.
    """
    body = MODELS.build({"type": "mviper.SMPL"}).eval()
    for seed, split in enumerate(("train", "val", "test")):
        rng = np.random.default_rng(seed)
        folder = root / split / f"wave__{seed:02d}"
        folder.mkdir(parents=True)
        betas = torch.from_numpy(rng.normal(size=10)).float().expand(frames, 10)
        poses = torch.zeros(frames, 24, 3)
        poses[:, 16:18, 2] = torch.linspace(-1, 1, frames)[:, None]
        for number, view in enumerate(views):
            poses[:, 0] = torch.tensor([np.pi, 0.0, 0.0])
            rotmat = axis_angle_to_matrix(poses)
            rotmat[:, 0] = axis_angle_to_matrix(torch.tensor([0.0, 1.57 * number + 0.3, 0.0])) @ rotmat[:, 0]
            with torch.no_grad():
                joints = body(betas, rotmat).joints.double().numpy()
            transl = np.array([0, 0, 13.0]) - joints[:, 0]
            joints = joints + transl[:, None]
            camera = Camera(
                np.array([[1406.25, 0, 124.5], [0, 1406.25, 124.5], [0, 0, 1]]),
                np.tile(np.eye(3), (frames, 1, 1)), np.zeros((frames, 3)), SIDE, SIDE, view,
            )  # fmt: skip
            pixels = camera.project(joints)
            _write_video(folder / f"{view}.mp4", [_draw(points) for points in pixels])
            ones = np.ones((*joints.shape[:2], 1))
            low, high = pixels.min(1), pixels.max(1)
            axis_angle = matrix_to_axis_angle(rotmat).numpy()
            HumanData(
                keypoints2d=np.concatenate([pixels, ones], 2),
                keypoints3d=np.concatenate([joints, ones], 2),
                bbox_xywh=np.concatenate([low, high - low, ones[:, 0]], 1),
                smpl=dict(
                    global_orient=axis_angle[:, 0], body_pose=axis_angle[:, 1:], betas=betas.numpy(), transl=transl
                ),
                body_model=body.body_model_id,
                visibility=np.ones(joints.shape[:2], np.uint8),
                image_path=[f"{view}/{i:06d}.jpg" for i in range(frames)],
                video_path=f"{view}.mp4",
                frame_idx=np.arange(frames),
                camera=camera,
                meta=dict(gender=["n"] * frames, height=SIDE, width=SIDE),
            ).save(folder / f"{view}.npz")
        manifest = dict(name=folder.name, split=split, frames=frames, fps=30, views=list(views))
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return root


def write_stills(root: Path, count: int = 3) -> Path:
    """Adds ``stills.npz`` and its pictures: people labelled only in 2D, as in LSP or COCO.

    Returns:
        ``root``.
    """
    rng = np.random.default_rng(9)
    pixels = rng.uniform(60, 190, (count, len(KEYPOINTS), 2))
    for number, points in enumerate(pixels):
        cv2.imwrite(str(root / f"still_{number}.jpg"), _draw(points)[..., ::-1])
    ones = np.ones((count, len(KEYPOINTS), 1))
    low, high = pixels.min(1), pixels.max(1)
    HumanData(
        keypoints2d=np.concatenate([pixels, ones], 2), keypoints3d=None,
        bbox_xywh=np.concatenate([low, high - low, ones[:, 0]], 1), smpl=None,
        image_path=[f"still_{number}.jpg" for number in range(count)],
    ).save(root / "stills.npz")  # fmt: skip
    return root


def _draw(points: np.ndarray) -> np.ndarray:
    picture = np.full((SIDE, SIDE, 3), 90, np.uint8)
    for x, y in points[:24]:
        cv2.circle(picture, (round(x), round(y)), 6, (230, 180, 150), -1)
    return picture


def _write_video(path: Path, pictures: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.gop_size, stream.thread_count = "yuv420p", 8, 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
