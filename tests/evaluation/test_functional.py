"""Equations 20-22 and the joint errors against values computed by hand, and degenerate poses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation
from whole_sequences import mrsv, mrvpv

from mviper.evaluation.functional import (
    acceleration_error,
    auc,
    joint_error,
    mpvpe,
    pa_joint_error,
    pck,
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
    # scipy's Procrustes allows reflections; results are equal where it uses none.
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
    valid[1, 4] = 0  # the broken joint is not labelled and does not count
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


def test_pck_and_auc_by_hand():
    # Errors 0, 60, 150 and 400 mm. At 150 mm two are correct (strictly below); of the thresholds 0, 5, ..., 150 the
    # first error is below 30, the second below 18 (65 to 150), the others below none.
    distances = torch.tensor([[0.0, 0.060, 0.150, 0.400]], dtype=torch.float64)
    assert pck(distances).item() == 2 / 4
    assert auc(distances).item() == pytest.approx((30 + 18) / 31 / 4)
    valid = torch.tensor([[1, 1, 0, 0]])
    assert pck(distances, valid).item() == 1
    assert auc(distances, valid).item() == pytest.approx((30 + 18) / 31 / 2)
    assert pck(torch.full((1, 3), torch.nan)).item() == 0  # a lost joint is a wrong joint
    assert pck(distances, torch.zeros(1, 4)).isnan()


def test_procrustes_of_many_frames_in_pieces_and_any_shape():
    pred, target = random_joints(9000), random_joints(9000).roll(1, 0)
    valid = torch.rand(9000, 24, generator=torch.Generator().manual_seed(0)) > 0.3
    whole = pa_joint_error(pred, target, valid)
    for i in (0, 2730, 2731, 8999):
        torch.testing.assert_close(whole[i], pa_joint_error(pred[i], target[i], valid[i]))
    shaped = pa_joint_error(*(part.reshape(90, 100, *part.shape[1:]) for part in (pred, target, valid)))
    torch.testing.assert_close(shaped.flatten(), whole)


def test_procrustes_is_scipys_rotation():
    pred, target = random_joints(5), random_joints(10)[5:]
    for source, goal, aligned in zip(pred, target, similarity_align(pred, target)):
        source, centred = (source - source.mean(0)).numpy(), (goal - goal.mean(0)).numpy()
        rotation = Rotation.align_vectors(centred, source)[0].as_matrix()  # Kabsch: proper rotations only
        turned = source @ rotation.T
        scale = (turned * centred).sum() / (source**2).sum()
        np.testing.assert_allclose((aligned - goal.mean(0)).numpy(), scale * turned, atol=1e-12)


def test_vertex_measures_in_pieces_are_those_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    vertices = torch.randn(50, 6890, 3, generator=generator)
    other = vertices + 0.1 * torch.randn(50, 6890, 3, generator=generator)
    step = (vertices[1:] - vertices[:-1]).double()
    torch.testing.assert_close(vertex_error(other, vertices), (other.double() - vertices.double()).norm(dim=2).sum(1))
    torch.testing.assert_close(mrvpv(vertices, 1), step.abs().sum() / 50)
    torch.testing.assert_close(mrvpv(vertices, 2), step.norm(dim=2).sum() / 50)
    torch.testing.assert_close(mrvpv(vertices, 2, "frame"), step.flatten(1).norm(dim=1).sum() / 50)


def test_paper_table_3_is_a_sum_over_vertices_and_one_norm_a_frame():
    # MPVPE 692.7 m over 6890 vertices is 100.5 mm a vertex; no displacement has 2-norms that sum to 4.02 where its
    # 1-norms sum to 178.7, but one 2-norm over the frame can.
    error = torch.zeros(1, 6890, 3)
    error[..., 0] = 0.1005
    assert mpvpe(error, torch.zeros_like(error)).item() == pytest.approx(692.4, abs=0.2)
    moving = torch.cat([torch.zeros(1, 6890, 3), torch.full((1, 6890, 3), 178.7 * 2 / 6890 / 3)])
    assert mrvpv(moving, 1).item() == pytest.approx(178.7, rel=1e-4)
    assert mrvpv(moving, 2, "vertex").item() > 100
    assert mrvpv(moving, 2, "frame").item() == pytest.approx(178.7 / (3 * 6890) ** 0.5, rel=1e-4)
