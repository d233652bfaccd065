"""Joint limits and limbs in one another."""

import pytest
import torch

from mviper.body.pose_prior import PosePrior
from mviper.body.rotations import axis_angle_to_matrix
from mviper.models.fitting.terms import JointLimits, SelfIntersection
from mviper.structures.joints import SMPL_JOINTS


@pytest.fixture(scope="module")
def limits():
    return JointLimits(PosePrior()).double()


def posed(**turns):
    angles = torch.zeros(1, 24, 3, dtype=torch.float64)
    for name, turn in turns.items():
        angles[0, SMPL_JOINTS.index(name)] = torch.tensor(turn, dtype=torch.float64)
    return axis_angle_to_matrix(angles)


def test_hinges_do_not_bend_backwards(limits):
    forwards = posed(left_knee=[1.5, 0, 0], right_knee=[0.1, 0, 0], left_elbow=[0, -2.0, 0], right_elbow=[0, 2.0, 0])
    assert limits.excess(forwards).abs().max() == 0
    for name, turn in {"left_knee": [-0.3, 0, 0], "left_elbow": [0, 0.3, 0], "right_elbow": [0, -0.3, 0]}.items():
        excess = limits.excess(posed(**{name: turn}))
        assert torch.allclose(excess[0, SMPL_JOINTS.index(name) - 1], torch.tensor(turn).double())
        assert limits.excess(limits.clamp(posed(**{name: turn}))).abs().max() < 1e-9


def test_limits_derivative_and_clamp(limits):
    rotmat = axis_angle_to_matrix(0.8 * torch.randn(4, 24, 3, generator=torch.Generator().manual_seed(0)).double())
    excess, by_turn = limits.linearized(rotmat)
    assert (excess != 0).any()

    def of_turns(turns):
        return limits.excess(axis_angle_to_matrix(turns) @ rotmat)

    auto = torch.autograd.functional.jacobian(of_turns, torch.zeros(4, 24, 3).double())
    for frame in range(4):
        for joint in range(23):
            assert torch.allclose(auto[frame, joint, :, frame, joint + 1], by_turn[frame, joint], atol=1e-7)
    clamped = limits.clamp(rotmat)
    assert limits.excess(clamped).abs().max() < 1e-6
    assert torch.equal(clamped[:, 0], rotmat[:, 0])


def test_limbs_in_one_another(body):
    term = SelfIntersection(body)
    ends = term.ends.to(torch.float64)
    betas, transl = torch.zeros(1, 10).double(), torch.zeros(1, 3).double()

    def depths(rotmat):
        return term.depths(ends.posed(betas, rotmat, transl))[0]

    straight, folded = posed(), posed(left_shoulder=[0, 0, -1.5], right_shoulder=[0, 0, 1.5])
    crossed = posed(left_hip=[0, 0, -0.5], right_hip=[0, 0, 0.5])  # each leg swung through the other
    assert depths(straight).max() == 0
    assert depths(folded).max() < 0.03  # arms hang down and touch
    assert depths(crossed).max() > 0.05

    points, jacobian, _ = ends.linearized(betas, crossed, transl)
    value, hessian, gradient = (each.double() for each in term.linearized(points, jacobian))
    turns = torch.zeros(1, 24, 3).double().requires_grad_()
    energy = 0.5 * depths(axis_angle_to_matrix(turns) @ crossed).square().sum()
    (auto,) = torch.autograd.grad(energy, turns)
    assert value.item() == pytest.approx(energy.item())
    assert torch.allclose(auto.flatten(1), gradient[:, :72], atol=1e-9)
    assert (torch.linalg.eigvalsh(hessian) > -1e-9).all()
