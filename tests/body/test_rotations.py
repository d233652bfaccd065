"""Rotations compared with scipy, including difficult angles."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mviper.body import rotations

ANGLES = [0.0, 1e-9, 1e-5, 1e-3, 1.0, 3.0, np.pi - 1e-4, np.pi - 1e-7, np.pi]


def axes(count=50):
    random = np.random.default_rng(0).normal(size=(count, 3))
    random[:3] = np.eye(3)
    return random / np.linalg.norm(random, axis=1, keepdims=True)


@pytest.mark.parametrize("angle", ANGLES)
def test_axis_angle_to_matrix_equals_scipy(angle):
    rotvec = angle * axes()
    ours = rotations.axis_angle_to_matrix(torch.tensor(rotvec))
    np.testing.assert_allclose(ours.numpy(), Rotation.from_rotvec(rotvec).as_matrix(), atol=1e-9)


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("dtype,tolerance", [(torch.float64, 1e-7), (torch.float32, 2e-6)])
def test_matrix_to_axis_angle_and_back(angle, dtype, tolerance):
    matrix = torch.tensor(Rotation.from_rotvec(angle * axes()).as_matrix(), dtype=dtype)
    back = rotations.matrix_to_axis_angle(matrix)
    assert (back.norm(dim=-1) <= np.pi + 1e-6).all()
    torch.testing.assert_close(rotations.axis_angle_to_matrix(back), matrix, atol=tolerance, rtol=0)


def test_axis_angle_gradient_is_exact_and_finite_at_zero():
    turns = 0.5 * torch.tensor(axes(4))  # far from the cut at pi
    rotvec = torch.cat([torch.zeros(1, 3).double(), turns]).requires_grad_()
    assert torch.autograd.gradcheck(rotations.axis_angle_to_matrix, rotvec)
    back = rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(rotvec))
    (gradient,) = torch.autograd.grad(back.sum(), rotvec)
    torch.testing.assert_close(gradient, torch.ones_like(gradient), atol=1e-5, rtol=0)


def test_6d_is_interleaved_and_orthonormalises():
    matrix = torch.tensor(Rotation.random(20, random_state=0).as_matrix())
    six = rotations.matrix_to_rotation_6d(matrix)
    torch.testing.assert_close(six[0], torch.stack([matrix[0, :, 0], matrix[0, :, 1]], 1).reshape(6))
    torch.testing.assert_close(rotations.rotation_6d_to_matrix(six), matrix)
    noisy = rotations.rotation_6d_to_matrix(six + 0.3 * torch.randn(20, 6, dtype=torch.float64))
    torch.testing.assert_close(noisy @ noisy.mT, torch.eye(3).double().expand(20, 3, 3))
    torch.testing.assert_close(torch.linalg.det(noisy), torch.ones(20).double())


@pytest.mark.parametrize("angle", ANGLES)
def test_geodesic_angle_is_accurate_at_both_ends(angle):
    first = torch.tensor(Rotation.random(50, random_state=1).as_matrix())
    second = first @ torch.tensor(Rotation.from_rotvec(angle * axes()).as_matrix())
    found = rotations.geodesic_angle(first, second)
    torch.testing.assert_close(found, torch.full_like(found, angle), atol=1e-7, rtol=1e-6)


def test_mean_rotation_survives_the_flip_at_pi():
    # Upright people in front of an OpenCV camera: averaging their axis-angles gives nonsense.
    lean = Rotation.from_rotvec(np.deg2rad([[0, 0, 8], [0, 0, -8], [5, 0, 0], [-5, 0, 0]]))
    matrices = torch.tensor((lean * Rotation.from_rotvec([np.pi, 0, 0])).as_matrix())
    mean = rotations.mean_rotation(matrices)
    expected = torch.tensor(Rotation.from_rotvec([np.pi, 0, 0]).as_matrix())
    torch.testing.assert_close(mean, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(rotations.mean_rotation(matrices[None], dim=1), mean[None])


def test_projection_never_gives_a_reflection():
    matrix = -torch.eye(3).double() + 0.1 * torch.randn(30, 3, 3).double()
    assert (torch.linalg.det(rotations.project_to_rotation(matrix)) > 0.99).all()
