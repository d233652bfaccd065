"""One dressed, simulated, rendered sequence: its folder is complete and exact, and an independent detector agrees.

The detector is MediaPipe, which is independent of this project: an inside-out or mirrored rendering would train just as
well and pass all our other tests; only this one would notice.
"""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mviper.files import load_npz
from mviper.structures import Motion
from mviper.structures.human_data import HumanData
from mviper.structures.joints import KEYPOINTS
from mviper.synthesis import pose_body

VIEWS = ("east", "north", "south", "west")

#: MediaPipe's landmark index of our keypoints.
LANDMARKS = {
    "left_shoulder": 11, "right_shoulder": 12, "left_elbow": 13, "right_elbow": 14, "left_wrist": 15,
    "right_wrist": 16, "left_hip": 23, "right_hip": 24, "left_knee": 25, "right_knee": 26, "left_ankle": 27,
    "right_ankle": 28,
}  # fmt: skip


@pytest.fixture(scope="module")
def mini_sequence(mini_config: Path, repository: Path, tmp_path_factory, run_tool) -> Path:
    """The folder of one sewn, simulated, rendered sequence."""
    out = tmp_path_factory.mktemp("data")
    done = run_tool("generate.py", mini_config, "--out", out, "--limit", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    folders = [path.parent for path in out.glob("*/*/manifest.json")]
    assert len(folders) == 1, done.stdout + done.stderr
    return folders[0]


def test_a_sequence_folder_is_complete(mini_sequence: Path) -> None:
    manifest = json.loads((mini_sequence / "manifest.json").read_text())
    assert manifest["name"] == mini_sequence.name == "walk__00" and manifest["split"] == mini_sequence.parent.name
    assert sorted(manifest["views"]) == list(VIEWS)
    expected = {"manifest.json", "motion.npz", "garments.npz", *(f"{v}.{e}" for v in VIEWS for e in ("mp4", "npz"))}
    assert {path.name for path in mini_sequence.iterdir()} == expected
    assert {piece["name"] for piece in manifest["garments"]} == {"t_shirt", "trousers"}
    assert {"retarget", "cut", "simulate", "render", "annotate", "write"} <= set(manifest["timings"])
    assert {"t_shirt", "trousers"} <= set(manifest["quality"]) and {"bpy", "torch"} <= set(manifest["versions"])
    assert manifest["config"]["source"]["type"] == "DeepMimicMotion" and len(manifest["betas"]) == 10


def test_saved_parameters_give_the_rendered_body(mini_sequence: Path, body) -> None:
    manifest = json.loads((mini_sequence / "manifest.json").read_text())
    motion = Motion.load(mini_sequence / "motion.npz")
    assert len(motion) == manifest["frames"] == 16 and motion.body_model == manifest["body_model"] == body.body_model_id
    vertices, keypoints = pose_body(body, motion)
    assert -0.03 < vertices[..., 2].min() < 0.03  # on the floor
    for view in VIEWS:
        annotation = HumanData.load(mini_sequence / f"{view}.npz")
        camera, smpl = annotation.camera, annotation.smpl
        assert annotation.body_model == body.body_model_id and len(annotation) == 16
        assert annotation.video_path == f"{view}.mp4" and (camera.width, camera.height) == (250, 250)
        np.testing.assert_allclose(annotation.keypoints2d[..., :2], camera.project(keypoints), atol=1e-3)
        np.testing.assert_allclose(annotation.keypoints3d[..., :3], camera.to_camera(keypoints), atol=1e-5)
        poses = np.concatenate([smpl["global_orient"][:, None], smpl["body_pose"]], 1)
        again, _ = pose_body(body, Motion(poses, smpl["transl"], smpl["betas"][0], 30.0))
        assert np.abs(again - camera.to_camera(vertices)).max() < 1e-4
        left, top, width, height = annotation.bbox_xywh[:, :4].T
        joints = annotation.keypoints2d[:, :24]
        assert (joints[..., 0] > left[:, None]).all() and (joints[..., 0] < (left + width)[:, None]).all()
        assert (joints[..., 1] > top[:, None]).all() and (joints[..., 1] < (top + height)[:, None]).all()
        assert 0.3 < annotation.visibility.mean() < 1


def test_garments_are_worn(mini_sequence: Path, body) -> None:
    motion = Motion.load(mini_sequence / "motion.npz")
    vertices, _ = pose_body(body, motion)
    data = load_npz(mini_sequence / "garments.npz")
    from scipy.spatial import cKDTree

    for name in ("t_shirt", "trousers"):
        cloth = data[f"{name}_vertices"]
        assert cloth.shape[0] == 16 and data[f"{name}_uv"].shape == (*data[f"{name}_faces"].shape, 2)
        for frame in (0, 15):
            distance = cKDTree(vertices[frame]).query(cloth[frame])[0]
            assert np.median(distance) < 0.05 and distance.max() < 0.3


def similarity_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance (J, 3) after the best similarity (Umeyama, 1991)."""
    a, b = found - found.mean(0), truth - truth.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    aligned = (s * sign).sum() / (a**2).sum() * a @ (u * sign @ vt).T
    return float(np.linalg.norm(aligned - b, axis=1).mean())


@pytest.fixture(scope="module")
def looks(mini_sequence: Path) -> list[tuple]:
    """For every frame: annotation, frame number, MediaPipe's image and world landmarks (or None)."""
    mediapipe = pytest.importorskip("mediapipe")
    seen = []
    for view in VIEWS:
        annotation = HumanData.load(mini_sequence / f"{view}.npz")
        with av.open(str(mini_sequence / f"{view}.mp4")) as video:
            pictures = [picture.to_ndarray(format="rgb24") for picture in video.decode(video=0)]
        height, width = pictures[0].shape[:2]
        images = [cv2.resize(picture, None, fx=2, fy=2) for picture in pictures]
        # As for any video: detection, then tracking; each frame has its own joints. The clip is first run backwards,
        # since in 16 frames those before the first detection would weigh too much.
        with mediapipe.solutions.pose.Pose(model_complexity=1, smooth_landmarks=False) as pose:
            for image in reversed(images):
                pose.process(image)
            for frame, image in enumerate(images):
                result = pose.process(image)
                found = world = None
                if result.pose_landmarks:
                    marks = result.pose_landmarks.landmark
                    found = np.array([[marks[k].x, marks[k].y] for k in LANDMARKS.values()]) * [width, height] - 0.5
                    marks = result.pose_world_landmarks.landmark
                    world = np.array([[marks[k].x, marks[k].y, marks[k].z] for k in LANDMARKS.values()])
                seen.append((annotation, frame, found, world))
    return seen


OURS = [KEYPOINTS.index(name) for name in LANDMARKS]


def test_it_finds_the_person(looks) -> None:
    rate = np.mean([found is not None for _, _, found, _ in looks])
    print(f"found in {100 * rate:.0f} % of {len(looks)} frames")
    assert rate >= 0.9


def test_its_joints_lie_where_ours_do(looks) -> None:
    swap = [list(LANDMARKS).index(name.replace("left", "?").replace("right", "left").replace("?", "right"))
            for name in LANDMARKS]  # fmt: skip
    errors, kept = [], []
    for annotation, frame, found, _ in looks:
        if found is None:
            continue
        side = annotation.bbox_xywh[frame, 2:4].max()
        truth = annotation.keypoints2d[frame, OURS, :2]
        errors.append(np.linalg.norm(found - truth, axis=1) / side)
        if annotation.camera.name in ("south", "north"):  # in profile left and right overlap
            kept.append(np.linalg.norm(found - truth) < np.linalg.norm(found[swap] - truth))
    print(f"2D: median {100 * np.median(errors):.1f} % of the box's side; sides right in {100 * np.mean(kept):.0f} %")
    assert np.median(errors) <= 0.05
    assert np.mean(kept) >= 0.9


def test_its_3d_pose_is_ours(looks) -> None:
    errors = [
        similarity_error(world, annotation.keypoints3d[frame, OURS, :3])
        for annotation, frame, _, world in looks
        if world is not None
    ]
    print(f"3D: PA-MPJPE {1000 * np.mean(errors):.0f} mm")
    assert np.mean(errors) <= 0.120
