"""Joint limits, intersecting limbs, feet on the ground, and outlines."""

import numpy as np
import pytest
import torch

from mviper.body import BodyShape, take_step
from mviper.body.pose_prior import PosePrior
from mviper.body.rotations import axis_angle_to_matrix
from mviper.graphics import fill_triangles
from mviper.models.fitting import Masks, Outline, Projection, SMPLify, Support
from mviper.models.fitting.terms import JointLimits, SelfIntersection, Standing
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
    crossed = posed(left_hip=[0, 0, -0.5], right_hip=[0, 0, 0.5])  # each leg swings through the other
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


def test_feet_on_a_support(body):
    """The gradient matches the energy, and a fit moves resting feet to their positions."""
    standing = Standing(body)
    pose = 0.2 * torch.randn(2, 24, 3, generator=torch.Generator().manual_seed(0))
    rotmat, betas, transl = axis_angle_to_matrix(pose), torch.zeros(2, 10), torch.zeros(2, 3)
    anchors = torch.full((2, 4, 3), float("nan"))
    joints = body(betas, rotmat, transl).joints
    anchors[0, :2] = joints[0, list(Standing.FEET)[:2]] + torch.tensor([0.03, 0.02, -0.04])
    lowest = joints[1, list(Standing.FEET), 1].min()
    support = Support(anchors, torch.tensor([[0.0, 1.0, 0.0]]).expand(2, 3), torch.stack([lowest - 0.5, lowest + 0.05]))
    energy, hessian, gradient = standing.linearized(support, betas, rotmat, transl)
    assert (energy > 0).all()
    step = 1e-3 * torch.randn(2, 75, generator=torch.Generator().manual_seed(1))
    moved = [
        standing.linearized(support, betas, *take_step((rotmat, transl), sign * step))[0].double() for sign in (1, -1)
    ]
    torch.testing.assert_close((moved[0] - moved[1]) / 2, (gradient * step).sum(1).double(), rtol=0.02, atol=1e-3)
    pose = rotmat, transl
    for _ in range(4):
        _, hessian, gradient = standing.linearized(support, betas, *pose)
        pose = take_step(pose, -torch.linalg.solve(hessian + 10 * torch.eye(75), gradient))
    assert (standing.linearized(support, betas, *pose)[0] < 1e-3 * energy).all()


def test_an_outline_tells_girths(body):
    """Masks of a broad body with inaccurate joints: from the joints alone, the shape is too slim."""
    fitter = SMPLify(body, outline=Outline(body))
    true = torch.zeros(1, 10)
    true[0, 1:4] = torch.tensor([1.5, -1.0, 1.0])
    count = 4
    turn = axis_angle_to_matrix(torch.linspace(0, 1.5, count)[:, None] * torch.tensor([0.0, 1.0, 0.0]))
    rotmat = torch.cat(
        [(torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ turn)[:, None], fitter.mean_pose.expand(count, 23, 3, 3)], 1
    )
    betas, transl = true.expand(count, 10), torch.tensor([0.0, 0.2, 4.0]).expand(count, 3)
    projection = Projection.of_picture(count, 400, 400, 500.0)
    posed = body(betas, rotmat, transl)
    square, pictures = np.array([200.0, 200.0, 300.0]), []
    for vertices in posed.vertices:
        pixels = (vertices[:, :2] / vertices[:, 2:] * 500 + 199.5).double().numpy()
        cells = (pixels - (square[:2] - 150)) * 96 / 300 - 0.5
        face_of = np.full((96, 96), -1, np.int32)
        fill_triangles(cells, 1 / vertices[:, 2].double().numpy(), np.ascontiguousarray(body.faces, dtype=np.int64),
                       False, face_of, np.full((96, 96), -np.inf, np.float32))  # fmt: skip
        pictures.append(face_of >= 0)
    masks = Masks.of_probabilities(range(count), np.stack(pictures).astype(float), np.tile(square, (count, 1)))
    seen = torch.cat([projection.project(posed.joints, transl), torch.ones(count, 44, 1)], 2)
    seen[..., :2] += 3 * torch.randn(1, 44, 2, generator=torch.Generator().manual_seed(0))  # 2 cm, in every frame
    seen[:, 24:] = 0  # points on the skin would also determine girths
    girths = []
    for known in (None, masks):
        found = fitter.fit(seen, projection, tracks=[count], masks=known).bodies.betas[0].numpy()
        measured, wanted = (BodyShape.from_body(body, each).measurements() for each in (found, true[0].numpy()))
        girths.append(np.mean([
            abs(measured[name] / measured["height"] * wanted["height"] / wanted[name] - 1)
            for name in ("bust", "waist", "hip")
        ]))  # fmt: skip
    assert girths[1] < 0.6 * girths[0] and girths[1] < 0.05
