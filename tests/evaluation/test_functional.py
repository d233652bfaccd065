"""Equations 20-22 and the joint errors against values worked out by hand, and degenerate poses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from mviper.evaluation.functional import (
    acceleration_error,
    joint_error,
    mpvpe,
    mrsv,
    mrvpv,
    pa_joint_error,
    similarity_align,
    vertex_error,
)


def random_joints(frames: int = 50, joints: int = 24) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(frames, joints, 3)))


def test_eq_20_by_hand():
    # Two vertices over two frames: errors 3-4-5 and 0, then 1 and 2.
    target = torch.zeros(2, 2, 3)
    pred = torch.tensor([[[3.0, 4, 0], [0, 0, 0]], [[0, 0, 1], [2, 0, 0]]])
    assert vertex_error(pred, target).tolist() == [5.0, 3.0]
    assert mpvpe(pred, target).item() == 4.0  # sum over vertices, mean over frames [m]
    assert mpvpe(pred, target, "mean").item() == 2000.0  # per vertex [mm]


def test_eq_21_by_hand():
    # Three frames, two vertices. Displacements: (1, 2, 2) and 0, then 0 and (0, 3, 4).
    vertices = torch.tensor([[[0.0, 0, 0], [1, 1, 1]], [[1, 2, 2], [1, 1, 1]], [[1, 2, 2], [1, 4, 5]]])
    assert mrvpv(vertices, 1).item() == pytest.approx((5 + 7) / 3)  # M - 1 terms over M, as printed
    assert mrvpv(vertices, 2).item() == pytest.approx((3 + 5) / 3)
    assert mrvpv(vertices, 1, reduction="mean").item() == pytest.approx((5 + 7) / 3 / 2 * 1000)
    assert mrvpv(vertices, 2, reduction="mean").item() == pytest.approx((3 + 5) / 3 / 2 * 1000)


def test_eq_21_norm_of_vertex_or_frame():
    # Both vertices move by (3, 4, 0): per vertex 5 + 5, as one vector sqrt(50).
    vertices = torch.stack([torch.zeros(2, 3), torch.tensor([[3.0, 4, 0], [3, 4, 0]])])
    assert mrvpv(vertices, 2, "vertex").item() == pytest.approx(10 / 2)
    assert mrvpv(vertices, 2, "frame").item() == pytest.approx(50**0.5 / 2)
    assert mrvpv(vertices, 2, "frame", "mean").item() == pytest.approx(50**0.5 / 2**0.5 / 2 * 1000)
    assert mrvpv(vertices, 1, "frame").item() == mrvpv(vertices, 1, "vertex").item() == 14 / 2
    with pytest.raises(ValueError, match="norm is"):
        mrvpv(vertices, 2, "mesh")
    with pytest.raises(ValueError, match="reduction is"):
        mrvpv(vertices, 2, reduction="max")


def test_eq_22_by_hand():
    betas = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0], [3.0, 3.0]])
    assert mrsv(betas, 1).item() == (7 + 0 + 1) / 4
    assert mrsv(betas, 2).item() == (5 + 0 + 1) / 4
    assert mrsv(betas[:1], 1).item() == 0


def test_mpjpe_by_hand_and_with_missing_joints():
    target = torch.zeros(2, 2, 3)
    pred = torch.tensor([[[3.0, 4, 0], [0, 0, 1]], [[0, 0, 0], [float("nan"), 0, 0]]])
    assert joint_error(pred, target)[0].item() == 3.0
    assert joint_error(pred, target)[1].isnan()
    valid = torch.tensor([[1, 1], [1, 0]])
    assert joint_error(pred, target, valid).tolist() == [3.0, 0.0]
    assert joint_error(pred, target, torch.zeros(2, 2)).isnan().all()


def test_procrustes_undoes_a_similarity():
    target = random_joints()
    rotation = torch.from_numpy(Rotation.random(50, random_state=1).as_matrix())
    moved = 0.3 * target @ rotation.transpose(1, 2) + torch.randn(50, 1, 3, dtype=torch.float64)
    assert (similarity_align(moved, target) - target).abs().max() < 1e-12
    assert pa_joint_error(moved, target).max() < 1e-12


def test_procrustes_never_mirrors():
    target = random_joints()
    mirrored = target * torch.tensor([-1.0, 1, 1])
    assert pa_joint_error(mirrored, target).min() > 0.1


def test_procrustes_is_the_least_squares_one():
    pred, target = random_joints(4), random_joints(8)[4:]
    aligned = similarity_align(pred, target)
    residual = (aligned - target).square().sum((1, 2))
    rng = np.random.default_rng(2)
    for _ in range(200):  # no other similarity near it does better
        turn = torch.from_numpy(Rotation.from_rotvec(rng.normal(size=3) * 0.05).as_matrix())
        other = (1 + 0.05 * rng.normal()) * aligned @ turn.T + torch.from_numpy(0.05 * rng.normal(size=3))
        assert ((other - target).square().sum((1, 2)) >= residual).all()
    # scipy's Procrustes allows mirrors: the same wherever it uses none.
    for i in range(4):
        disparity = procrustes(target[i].numpy(), pred[i].numpy())[2]
        ours = float(residual[i] / (target[i] - target[i].mean(0)).square().sum())
        assert ours >= disparity - 1e-12
    near = target + 0.1 * pred
    disparity = procrustes(target[0].numpy(), near[0].numpy())[2]
    ours = (similarity_align(near, target)[0] - target[0]).square().sum() / (
        target[0] - target[0].mean(0)
    ).square().sum()
    assert float(ours) == pytest.approx(disparity, rel=1e-9)


def test_degenerate_poses_are_defined():
    target = random_joints(1, 5)[0]
    point = torch.ones(5, 3)  # all predicted joints in one place
    torch.testing.assert_close(similarity_align(point, target), target.mean(0).expand(5, 3))
    assert pa_joint_error(target, point).item() == pytest.approx(0, abs=1e-12)  # all true joints in one place
    line = torch.outer(torch.arange(5.0), torch.tensor([1.0, 2.0, 0.0])).double()
    other_line = torch.outer(torch.arange(5.0), torch.tensor([0.0, 0.0, 3.0])).double()
    assert pa_joint_error(line, other_line).item() == pytest.approx(0, abs=1e-12)
    plane = target * torch.tensor([1.0, 1.0, 0.0])
    assert pa_joint_error(-plane, plane).item() == pytest.approx(0, abs=1e-12)  # half a turn in the plane
    broken = random_joints(3)
    broken[1, 4, 2] = float("nan")
    assert pa_joint_error(broken, random_joints(3)).isnan().tolist() == [False, True, False]
    broken[1, 4, 2] = float("inf")
    assert pa_joint_error(broken, random_joints(3)).isnan().tolist() == [False, True, False]
    valid = torch.ones(3, 24)
    valid[1, 4] = 0  # the broken joint is not labelled: the rest counts
    assert pa_joint_error(broken, random_joints(3), valid).max() < 1e-12
    assert pa_joint_error(broken, random_joints(3), torch.zeros(3, 24)).isnan().all()
    one = torch.zeros(3, 24)
    one[:, 7] = 1
    assert pa_joint_error(random_joints(3), 2 * random_joints(3), one).max() < 1e-12


def test_left_out_joints_do_not_matter():
    pred, target = random_joints(6), random_joints(12)[6:]
    valid = torch.zeros(6, 24)
    valid[:, :14] = 1
    expected = pa_joint_error(pred[:, :14], target[:, :14])
    torch.testing.assert_close(pa_joint_error(pred, target, valid), expected)


def test_acceleration_by_hand():
    time = torch.arange(5.0)[:, None, None]
    pred = (time**2 * torch.tensor([1.0, 0, 0])).expand(5, 2, 3)  # second difference 2 in x
    target = (time * torch.tensor([5.0, 1, 0])).expand(5, 2, 3)  # none
    assert acceleration_error(pred, target).tolist() == [2.0, 2.0, 2.0]
    valid = torch.ones(5, 2)
    valid[0] = 0
    assert acceleration_error(pred, target, valid).isnan().tolist() == [True, False, False]


def test_float32_input_is_computed_in_float64():
    pred = random_joints().float()
    for value in (joint_error(pred, pred), pa_joint_error(pred, pred), vertex_error(pred, pred), mrvpv(pred)):
        assert value.dtype == torch.float64
