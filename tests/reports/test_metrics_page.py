"""The metrics page: all its parts, and the pictures of the worst frames."""

from __future__ import annotations

import numpy as np
import torch

from mviper.body import SMPL
from mviper.engine.testing import Evaluation
from mviper.evaluation.details import WorstFrame
from mviper.reports.metrics_page import SIDE, fit_camera, worst_picture, write_metrics_page

SIZE = 64


def details(error: float) -> dict:
    of_figure = {"MPJPE_mm": error, "PA-MPJPE_mm": error / 2, "MPVPE_mean_mm": 2 * error}
    curve = {"mean": [error, error / 2, None], "high": [2 * error, error, None], "count": [4, 2, 0]}
    return {
        "joints": {"pelvis": {"MPJPE_mm": 0.0, "PA-MPJPE_mm": None}, "left_hip": of_figure},
        "actions": {
            "walk": of_figure | {"frames": 9, "sequences": 3},
            "run": of_figure | {"frames": 3, "sequences": 1},
        },
        "sequences": {"test/walk__00/east": of_figure | {"frames": 3}},
        "views": {"front": of_figure | {"frames": 8}, "back": of_figure | {"frames": 4}},
        "time": dict.fromkeys(of_figure, curve),
        "protocols": {},
    }


def worst_frame(body: SMPL, **missing: float) -> WorstFrame:
    """A person in front of the camera, whose prediction is rotated to the side."""
    upright = torch.eye(3).repeat(24, 1, 1)
    upright[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    with torch.no_grad():
        joints = body(torch.zeros(1, 10), upright[None]).joints[0]
    joints = joints - joints[:1]
    turned = upright.clone()
    turned[0] = upright[0] @ torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    ones = torch.ones(len(joints), 1)
    sample = {
        "keypoints3d": torch.cat([joints, ones], 1),
        "keypoints2d": torch.cat([0.7 * joints[:, :2] + 0.1, ones], 1),
        "smpl_rotmat": upright, "betas": torch.zeros(10), "has_smpl": torch.ones(()), "has_betas": torch.ones(()),
        "pred_rotmat": turned, "pred_betas": torch.zeros(10), "pred_camera": torch.tensor([0.7, 0.1, 0.1]),
    }  # fmt: skip
    sample |= {name: torch.tensor(value) for name, value in missing.items()}
    picture = np.full((SIZE, SIZE, 3), 90, np.uint8)
    return WorstFrame("test/walk__00/east", 2, {"MPJPE_mm": 300.0, "PA-MPJPE_mm": 5.0}, picture, sample)


def columns(picture: np.ndarray) -> list[np.ndarray]:
    count = (picture.shape[1] + 6) // (SIDE + 6)
    return [picture[:, i * (SIDE + 6) : i * (SIDE + 6) + SIDE].astype(int) for i in range(count)]


def test_camera_is_the_one_that_the_joints_were_projected_with():
    frame = worst_frame(SMPL())
    np.testing.assert_allclose(fit_camera(frame.sample["keypoints3d"], frame.sample["keypoints2d"]), [0.7, 0.1, 0.1])
    assert fit_camera(frame.sample["keypoints3d"][:1], frame.sample["keypoints2d"][:1]) is None
    unseen = frame.sample["keypoints2d"] * torch.tensor([1, 1, 0])
    assert fit_camera(frame.sample["keypoints3d"], unseen) is None


def test_truth_and_prediction_are_drawn_where_they_are():
    body = SMPL()
    picture = worst_picture(worst_frame(body), body)
    assert picture.shape == (SIDE, 4 * SIDE + 3 * 6, 3)
    saw, truth, prediction, _ = columns(picture)
    below = slice(SIDE // 8, None)  # under the labels
    shape, turned = (np.abs(column - saw).sum(2)[below] > 60 for column in (truth, prediction))
    frontal, narrow = (np.ptp(np.flatnonzero(mask.any(0))) for mask in (shape, turned))
    assert frontal > 1.5 * narrow  # arms spread across the picture, or towards the camera
    centre = SIDE * 1.1 / 2 - 0.5
    assert abs(np.flatnonzero(shape.any(0)).mean() - centre) < 5


def test_without_a_truth_mesh_its_skeleton_is_drawn():
    body = SMPL()
    frames = (worst_frame(body), worst_frame(body, has_smpl=0.0))
    whole, bare = (columns(worst_picture(frame, body)) for frame in frames)
    painted = [(np.abs(c[1] - c[0]).sum(2)[SIDE // 8 :] > 60).mean() for c in (whole, bare)]
    assert 0.005 < painted[1] < 0.6 * painted[0]
    assert len(columns(worst_picture(worst_frame(body), None))) == 2


def test_page_has_every_part(tmp_path):
    body = SMPL()
    rows = {"model": {"MPJPE_mm": 50.0, "other": float("nan")}, "mean pose": {"MPJPE_mm": 90.0}}
    worst = {"MPJPE_mm": [worst_frame(body)], "PA-MPJPE_mm": []}
    result = Evaluation(rows, {"model": details(50), "mean pose": details(90)}, {"model": "carry"}, worst, body)
    text = write_metrics_page(tmp_path, result, config="configs/x.py", checkpoint="iter_3.pth").read_text()
    for part in ("Figures", "Over time", "By joint", "By action", "Worst by MPJPE", "model: carry", "configs/x.py"):
        assert part in text
    assert "Worst by PA-MPJPE" not in text and "test/walk__00/east, frame 2: MPJPE 300 mm" in text
    plots = {f"{n}_{theme}.png" for n in ("time", "joints_mp", "joints_pa", "actions") for theme in ("light", "dark")}
    assert {path.name for path in (tmp_path / "metrics_files").iterdir()} == {"worst_mpjpe.jpg", *plots}


def test_page_of_a_test_without_details(tmp_path):
    text = write_metrics_page(tmp_path, Evaluation({"model": {"toy/mean": 1.0}})).read_text()
    assert "toy/mean" in text and "By joint" not in text
