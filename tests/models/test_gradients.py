"""Analytic gradients against finite differences, in float64."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from mviper.body import SMPL
from mviper.body.rotations import axis_angle_to_matrix
from mviper.models.heads import IEFHead
from mviper.models.losses import Joint3DLoss, ProjectionLoss, ShapeSmoothnessLoss, SMPLParameterLoss
from mviper.models.necks import AttentionLSTM, AttentionLSTMState
from mviper.models.parameters import default_phi, project, split_phi
from mviper.models.repeated_linear import repeated
from mviper.structures import KEYPOINTS

B, T, J = 2, 3, len(KEYPOINTS)


@pytest.fixture
def target():
    def rand(*shape):
        return torch.randn(*shape, dtype=torch.float64)

    return {
        "keypoints2d": torch.cat([rand(B, T, J, 2), torch.ones(B, T, J, 1).double()], -1),
        "keypoints3d": torch.cat([rand(B, T, J, 3), torch.ones(B, T, J, 1).double()], -1),
        "smpl_rotmat": axis_angle_to_matrix(rand(B, T, 2, 3)),
        "betas": rand(B, T, 10),
        "has_keypoints3d": torch.tensor([1.0, 1.0]).double(),
        "has_smpl": torch.tensor([1.0, 0.0]).double(),
        "has_betas": torch.tensor([0.0, 1.0]).double(),
    }


def _variable(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_projection_loss(target):
    loss = ProjectionLoss()
    assert gradcheck(lambda x: loss({"pred_keypoints2d": x}, target), _variable(B, T, J, 2))


@pytest.mark.parametrize("frame", ["camera", "body"])
def test_joint_loss(target, frame):
    loss = Joint3DLoss(frame=frame)
    target["keypoints3d"][1, :, 0, 3] = 0  # no pelvis: relative to the hips

    def of(joints, axis_angle):
        return loss({"pred_keypoints3d": joints, "pred_rotmat": axis_angle_to_matrix(axis_angle)}, target)

    assert gradcheck(of, (_variable(B, T, J, 3), _variable(B, T, 1, 3)))


@pytest.mark.parametrize("rotation", ["matrix", "axis_angle"])
def test_parameter_loss(target, rotation):
    loss = SMPLParameterLoss(rotation=rotation)

    def of(axis_angle, betas):
        return loss({"pred_rotmat": axis_angle_to_matrix(axis_angle), "pred_betas": betas}, target)

    assert gradcheck(of, (_variable(B, T, 2, 3), _variable(B, T, 10)))


def test_shape_smoothness_loss():
    loss = ShapeSmoothnessLoss()
    assert gradcheck(lambda x: loss({"pred_betas": x}, {}), _variable(B, T, 10))


@pytest.mark.parametrize(
    "options", [{}, {"condition_on_state": False}, {"attention": False}, {"residual": True, "norm_map": True}]
)
def test_attention_lstm(options):
    neck = AttentionLSTM(feature_dim=3, phi_dim=5, attention_hidden=4, **options).double()
    if neck.residual:
        torch.nn.init.normal_(neck.output.weight)

    def two_steps(features, maps, phi):
        state, prepared = neck.init_state(features[:, 0]), neck.prepare(features, maps)
        for t in range(2):
            hidden, state = neck.step(features[:, t], maps[:, t], phi, state, prepared[t])
        return hidden, state.cell

    assert gradcheck(two_steps, (_variable(B, 2, 3), _variable(B, 2, 4, 3), _variable(B, 5)))
    feature, map_, phi = _variable(B, 3), _variable(B, 4, 3), _variable(B, 5)

    def one_step(hidden, cell, *parameters):
        return neck.step(feature, map_, phi, AttentionLSTMState(hidden, cell))[0]

    assert gradcheck(one_step, (_variable(B, 3), _variable(B, 3), *neck.parameters()))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 0.05)])
def test_repeated_layer_learns_what_the_layer_itself_would(dtype, tolerance):
    """Also in bfloat16, after a backward pass without the weight, and with an output that does not contribute."""
    layer = torch.nn.Linear(5, 3, dtype=dtype)
    inputs = torch.randn(4, 2, 5, dtype=dtype, requires_grad=True)

    def gradients(layer_for):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
            apply = layer_for(layer)
            steps = [apply(x) for x in inputs]
            steps[1] = apply(steps[0][:, :1].expand(2, 5))
        loss = sum(step.to(dtype).square().sum() for step in steps[:3])
        (alone,) = torch.autograd.grad(loss, inputs, retain_graph=True)
        return alone, *torch.autograd.grad(loss, [inputs, layer.weight, layer.bias])

    for found, wanted in zip(gradients(repeated), gradients(lambda layer: layer)):
        assert found.dtype == dtype and wanted.abs().max() > 0.3
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)
    assert repeated(layer.eval()) is layer
    with torch.no_grad():
        assert repeated(layer.train()) is layer


def test_ief_head():
    head = IEFHead(feature_dim=3, hidden=4, dropout=0.0).double()
    assert gradcheck(head, (_variable(B, 3), _variable(B, 157)), fast_mode=True)


def test_phi_to_image():
    """From phi through the 6D rotations, the body and eq. 6 to 2D joints."""
    body = SMPL().double()
    phi = (default_phi().double() + 0.1 * torch.randn(1, 157).double()).requires_grad_()

    def image(phi):
        rotmat, betas, camera = split_phi(phi)
        joints = body(betas, rotmat, return_vertices=False).joints
        return project(joints - joints[:, :1], camera)

    assert gradcheck(image, phi, fast_mode=True, atol=1e-4)
