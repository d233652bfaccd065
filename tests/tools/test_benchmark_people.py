"""tools/benchmark.py people: a real face is found where it is, and data sets must be named."""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pytest

mediapipe = pytest.importorskip("mediapipe")

from mviper.errors import MissingDataError
from mviper.graphics.video import read_video
from mviper.inference import PoseDetector
from mviper.structures import KEYPOINTS, HumanData


def test_a_real_person_is_judged(repository, shared_data, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    from benchmarks import people

    image = read_video(shared_data / "videos/tfjs_pose_1.mp4", 1)[0]
    poses = PoseDetector(max_people=1, follow=False)
    faces = mediapipe.solutions.face_detection.FaceDetection(model_selection=1)
    found = poses(image)[0]
    nose = found.points[0, :2]
    assert people._has_face(image, nose, faces) and not people._has_face(image, found.points[27, :2], faces)
    # Annotated with its own landmarks, but away from the camera, so that only the body is judged.
    points, space = np.zeros((1, len(KEYPOINTS), 3)), np.zeros((1, len(KEYPOINTS), 4))
    space[..., 2] = 3.0
    for name in people._JOINTS:
        row = people.LANDMARKS.index(name)
        points[0, KEYPOINTS.index(name), :2] = found.points[row, :2] + [3.0, 4.0]
        space[0, KEYPOINTS.index(name), :3] = 2 * found.world[row] + [0, 0, 3]
    space[0, [KEYPOINTS.index(f"{side}_eye") for side in ("left", "right")], 2] = 3.1
    truth = HumanData(points, space, np.array([[0, 0, 50, 100, 1.0]]), None, visibility=np.ones((1, len(KEYPOINTS))))
    figures = people._judge(image, truth, faces, poses)
    assert "face" not in figures and figures["person"] == 100
    assert figures["error_2d"] == pytest.approx(5.0, abs=0.01) and figures["error_pa"] == pytest.approx(0, abs=0.01)
    with pytest.raises(MissingDataError, match="--data OLD NEW"):
        people.measure(argparse.Namespace(data=None))
