"""A foreign eye on our videos: MediaPipe, which never saw this project, must agree with the annotation.

An inside-out or mirrored render trains just as well and passes every test of our own; only this shows it.
"""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mviper.body.joints import KEYPOINTS
from mviper.structures.human_data import HumanData

#: MediaPipe's landmark index of our keypoints.
LANDMARKS = {
    "left_shoulder": 11, "right_shoulder": 12, "left_elbow": 13, "right_elbow": 14, "left_wrist": 15,
    "right_wrist": 16, "left_hip": 23, "right_hip": 24, "left_knee": 25, "right_knee": 26, "left_ankle": 27,
    "right_ankle": 28,
}  # fmt: skip


def similarity_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance (J, 3) after the best similarity (Umeyama, 1991)."""
    a, b = found - found.mean(0), truth - truth.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    aligned = (s * sign).sum() / (a**2).sum() * a @ (u * sign @ vt).T
    return float(np.linalg.norm(aligned - b, axis=1).mean())


@pytest.fixture(scope="module")
def looks(mini_sequence: Path) -> list[tuple]:
    """For every frame: annotation, frame number, MediaPipe's picture and world landmarks (or None)."""
    mediapipe = pytest.importorskip("mediapipe")
    seen = []
    for view in ("east", "west", "south", "north"):
        annotation = HumanData.load(mini_sequence / f"{view}.npz")
        with av.open(str(mini_sequence / f"{view}.mp4")) as video:
            pictures = [picture.to_ndarray(format="rgb24") for picture in video.decode(video=0)]
        height, width = pictures[0].shape[:2]
        images = [cv2.resize(picture, None, fx=2, fy=2) for picture in pictures]
        # As for any video: found, then followed; each frame's joints are its own. The clip is run through backwards
        # first: in 16 frames those before the detector's first find would weigh too much.
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
        if annotation.camera.name in ("south", "north"):  # in profile the sides lie on top of each other
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
