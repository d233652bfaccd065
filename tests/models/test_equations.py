"""Equations 6 to 19 of the paper against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mviper.body.rotations import axis_angle_to_matrix, matrix_to_rotation_6d
from mviper.errors import ConfigError
from mviper.models.heads import IEFHead
from mviper.models.losses import Joint3DLoss, ProjectionLoss, ShapeSmoothnessLoss, SMPLParameterLoss
from mviper.models.necks import AttentionLSTM
from mviper.models.parameters import default_phi, join_phi, project, split_phi
from mviper.structures.joints import KEYPOINTS

PI_ABOUT_X = np.diag([1.0, -1.0, -1.0])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _arrays(module):
    return {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}


def test_eq6_projection_scales_then_shifts():
    joints = torch.tensor([[0.5, -1.0, 7.0], [0.0, 0.25, -3.0]])
    camera = torch.tensor([2.0, 0.1, -0.2])
    # 2 * 0.5 + 0.1, 2 * -1 - 0.2; 2 * 0 + 0.1, 2 * 0.25 - 0.2; depth has no effect.
    expected = torch.tensor([[1.1, -2.2], [0.1, 0.3]])
    torch.testing.assert_close(project(joints, camera), expected)
    torch.testing.assert_close(project(joints.expand(3, 4, 2, 3), camera.expand(3, 4, 3))[2, 3], expected)


def test_eq6_decoded_joints_are_the_posed_body_about_its_pelvis(build, body):
    model = build("Image")
    rotmat = axis_angle_to_matrix(0.3 * torch.randn(1, 2, 24, 3))
    betas, camera = torch.randn(1, 2, 10), torch.tensor([[[0.9, 0.1, 0.2], [0.7, -0.3, 0.0]]])
    prediction = model.decode(join_phi(rotmat, betas, camera))
    joints = body(betas[0], rotmat[0]).joints.numpy()
    relative = joints - joints[:, :1]
    scale, shift = camera[0, :, :1].numpy(), camera[0, :, 1:].numpy()
    expected = scale[..., None] * relative[..., :2] + shift[:, None]
    np.testing.assert_allclose(prediction["pred_keypoints2d"][0].numpy(), expected, atol=2e-6)
    np.testing.assert_allclose(prediction["pred_keypoints3d"][0].numpy(), relative, atol=2e-6)
    # Turning the root turns the joints: R is applied once.
    turn = axis_angle_to_matrix(torch.tensor([0.0, 0.7, 0.0]))
    turned = rotmat.clone()
    turned[:, :, 0] = turn @ rotmat[:, :, 0]
    again = model.decode(join_phi(turned, betas, camera))["pred_keypoints3d"]
    torch.testing.assert_close(again, prediction["pred_keypoints3d"] @ turn.T, atol=2e-5, rtol=0)


def test_phi_is_157_numbers_with_interleaved_columns():
    rotmat = axis_angle_to_matrix(torch.randn(24, 3))
    phi = join_phi(rotmat, torch.arange(10.0), torch.tensor([0.9, 0.1, 0.2]))
    assert phi.shape == (157,)
    first = rotmat[0]
    expected = torch.stack([first[0, 0], first[0, 1], first[1, 0], first[1, 1], first[2, 0], first[2, 1]])
    torch.testing.assert_close(phi[:6], expected)
    parts = split_phi(phi)
    torch.testing.assert_close(parts.rotmat, rotmat, atol=1e-6, rtol=0)
    assert parts.betas.tolist() == list(range(10))
    torch.testing.assert_close(parts.camera, torch.tensor([0.9, 0.1, 0.2]))


def test_eq7_projection_loss():
    predicted = torch.tensor([[[[0.1, 0.2], [0.5, 0.5], [9.0, 9.0]]], [[[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]]])
    truth = torch.tensor(
        [
            [[[0.0, 0.0, 1.0], [0.6, 0.2, 1.0], [float("nan"), 0.0, 0.0]]],
            [[[0.4, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, -0.5, 1.0]]],
        ]
    )
    # Clip 1: |.1| + |.2| + |.1| + |.3|, third invisible; clip 2: .4 + .5. Mean over 2 clips of 1 frame.
    expected = ((0.1 + 0.2 + 0.1 + 0.3) + (0.4 + 0.5)) / 2
    loss = ProjectionLoss()({"pred_keypoints2d": predicted}, {"keypoints2d": truth})
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert ProjectionLoss(loss_weight=3.0)({"pred_keypoints2d": predicted}, {"keypoints2d": truth}).item() == (
        pytest.approx(3 * expected, rel=1e-6)
    )


def test_eq8_and_delta_of_eq10_joint_loss():
    predicted = torch.zeros(2, 2, len(KEYPOINTS), 3)
    truth = torch.zeros(2, 2, len(KEYPOINTS), 4)
    truth[0, 0, 0] = torch.tensor([1.0, 2.0, 2.0, 1.0])  # 9
    truth[0, 1, 1] = torch.tensor([0.0, 0.5, 0.0, 1.0])  # 0.25
    truth[0, 1, 0] = torch.tensor([5.0, 5.0, 5.0, 0.0])  # not valid
    truth[1, 0, 0] = torch.tensor([7.0, 7.0, 7.0, 1.0])  # of a clip without 3D
    loss = Joint3DLoss()(
        {"pred_keypoints3d": predicted}, {"keypoints3d": truth, "has_keypoints3d": torch.tensor([1.0, 0.0])}
    )
    assert loss.item() == pytest.approx((9 + 0.25) / (2 * 2))


def test_eq8_without_smpl_pelvis_is_relative_to_the_hips():
    """A prediction that equals the truth except for the root's position has no loss."""
    hips = [KEYPOINTS.index("left_hip_extra"), KEYPOINTS.index("right_hip_extra")]
    predicted = torch.randn(1, 2, len(KEYPOINTS), 3)
    truth = torch.cat(
        [predicted - predicted[:, :, hips].mean(2, keepdim=True), torch.ones(1, 2, len(KEYPOINTS), 1)], -1
    )
    truth[:, :, :24, 3] = 0
    target = {"keypoints3d": truth, "has_keypoints3d": torch.ones(1)}
    assert Joint3DLoss()({"pred_keypoints3d": predicted}, target).item() == pytest.approx(0, abs=1e-10)
    truth[:, :, 0, 3] = 1  # now the pelvis is labelled and serves as the root
    assert Joint3DLoss()({"pred_keypoints3d": predicted}, target).item() > 0.1


def test_eq8_in_the_body_frame_ignores_the_heading_alone():
    count = len(KEYPOINTS)
    body_joints = torch.randn(1, 2, count, 3, dtype=torch.float64)
    roots = axis_angle_to_matrix(torch.randn(2, 1, 2, 1, 3, dtype=torch.float64))
    turned = [torch.einsum("btij,btkj->btki", root[:, :, 0], body_joints) for root in roots]
    error = torch.tensor([0.3, 0.0, -0.4], dtype=torch.float64)
    truth = torch.cat([turned[1], torch.ones(1, 2, count, 1, dtype=torch.float64)], -1)
    prediction = {"pred_keypoints3d": turned[0], "pred_rotmat": roots[0].expand(1, 2, 24, 3, 3)}
    one = torch.ones(1, dtype=torch.float64)
    target = {
        "keypoints3d": truth,
        "has_keypoints3d": one,
        "has_smpl": one,
        "smpl_rotmat": roots[1].expand(1, 2, 24, 3, 3),
    }
    loss = Joint3DLoss(frame="body")
    assert loss(prediction, target).item() == pytest.approx(0, abs=1e-20)
    assert Joint3DLoss()(prediction, target).item() > 0.1
    prediction["pred_keypoints3d"] = prediction["pred_keypoints3d"] + error
    # |error|^2 = 0.25 for any rotation
    assert loss(prediction, target).item() == pytest.approx(count * 0.25)
    assert loss(prediction, {**target, "has_smpl": 0 * one}).item() == 0  # no root rotation to undo


def test_eq9_without_the_root():
    rotmat = axis_angle_to_matrix(0.3 * torch.randn(1, 2, 24, 3, generator=torch.Generator().manual_seed(0)))
    betas = torch.zeros(1, 2, 10)
    turned = rotmat.clone()
    turned[:, :, 0] = axis_angle_to_matrix(torch.tensor([0.0, 1.0, 0.0])) @ rotmat[:, :, 0]
    target = {"smpl_rotmat": rotmat, "betas": betas, "has_smpl": torch.ones(1), "has_betas": torch.ones(1)}
    prediction = {"pred_rotmat": turned, "pred_betas": betas}
    assert SMPLParameterLoss(root=False)(prediction, target) == 0 < SMPLParameterLoss()(prediction, target)
    turned[:, :, 5] = rotmat[:, :, 6]
    assert SMPLParameterLoss(root=False)(prediction, target) > 0


def test_eq9_parameter_loss_on_matrices_and_axis_angle():
    angles = np.zeros((1, 1, 24, 3))
    angles[..., 4, :] = [0.0, 0.0, 0.6]
    angles[..., 9, :] = [0.5, 0.0, 0.0]
    rotmat = axis_angle_to_matrix(torch.tensor(angles))
    identity = torch.eye(3, dtype=torch.float64).expand(1, 1, 24, 3, 3)
    betas = torch.tensor([[[1.0, -2.0] + [0.0] * 8]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    prediction = {"pred_rotmat": identity, "pred_betas": torch.zeros(1, 1, 10, dtype=torch.float64)}
    target = {"smpl_rotmat": rotmat, "betas": betas, "has_smpl": one, "has_betas": one}
    # |I - R|_F^2 = 6 - 2 tr R = 4 (1 - cos a).
    theta = 4 * (1 - np.cos(0.6)) + 4 * (1 - np.cos(0.5))
    assert SMPLParameterLoss()(prediction, target).item() == pytest.approx(theta + 5)
    weighted = SMPLParameterLoss(theta_weight=2.0, beta_weight=0.1, loss_weight=3.0)
    assert weighted(prediction, target).item() == pytest.approx(3 * (2 * theta + 0.1 * 5))
    literal = SMPLParameterLoss(rotation="axis_angle")
    assert literal(prediction, target).item() == pytest.approx(0.36 + 0.25 + 5)
    assert SMPLParameterLoss()(prediction, {**target, "has_betas": 0 * one}).item() == pytest.approx(theta)
    assert SMPLParameterLoss()(prediction, {**target, "has_smpl": 0 * one}).item() == pytest.approx(5)


def test_eq18_shape_smoothness():
    betas = torch.zeros(2, 3, 10)
    betas[0, 1, 0] = 1.0  # 0, 1, 3: steps 1 and 2
    betas[0, 2, 0] = 3.0
    betas[1, :, 4] = 5.0  # constant
    # (1 + 4 + 0) over B T = 6: eq. 19 as a whole is divided by B T.
    assert ShapeSmoothnessLoss()({"pred_betas": betas}, {}).item() == pytest.approx(5 / 6)
    assert ShapeSmoothnessLoss()({"pred_betas": betas[:, :1]}, {}).item() == 0


def test_eq10_and_19_total(build, make_batch):
    """The total is sum_t lambda (L_proj + delta (L_3D + L_smpl)) + L_shape, over B T; written out in numpy."""
    model = build("Video", frame_weight=0.5).eval()
    batch = make_batch(clips=2, frames=3)
    batch["data_sample"][1].has_smpl = torch.tensor(0.0)
    data = model.data_preprocessor(batch, True)
    losses = model(**data, mode="loss")
    total, _ = model.parse_losses(losses)
    predicted = {key: value.detach().numpy() for key, value in model(data["inputs"], mode="tensor").items()}
    expected = 0.0
    for b, sample in enumerate(batch["data_sample"]):
        for t in range(3):
            chi = sample.keypoints2d[t, :, 2:].numpy()
            projection = np.abs(
                chi * (sample.keypoints2d[t, :, :2].numpy() - predicted["pred_keypoints2d"][b, t])
            ).sum()
            joints = ((sample.keypoints3d[t, :, :3].numpy() - predicted["pred_keypoints3d"][b, t]) ** 2).sum()
            theta = ((sample.smpl_rotmat[t].numpy() - predicted["pred_rotmat"][b, t]) ** 2).sum()
            beta = ((sample.betas[t].numpy() - predicted["pred_betas"][b, t]) ** 2).sum()
            expected += 0.5 * (projection + joints + float(sample.has_smpl) * theta + beta)
        expected += (np.diff(predicted["pred_betas"][b], axis=0) ** 2).sum()
    assert total.item() == pytest.approx(expected / 6, rel=1e-5)


def test_delta_zero_gives_exact_zero_and_keeps_the_graph():
    rotmat = torch.randn(2, 3, 24, 3, 3, requires_grad=True)
    joints = torch.randn(2, 3, 44, 3, requires_grad=True)
    image = torch.randn(2, 3, 44, 2, requires_grad=True)
    betas = torch.randn(2, 3, 10, requires_grad=True)
    prediction = dict(
        zip(("pred_rotmat", "pred_keypoints3d", "pred_keypoints2d", "pred_betas"), (rotmat, joints, image, betas))
    )
    nothing = torch.full((2, 3, 44, 4), float("nan"))
    nothing[..., 3] = 1
    unseen = torch.full((2, 3, 44, 3), float("nan"))
    unseen[..., 2] = 0
    zero = torch.zeros(2)
    target = {
        "keypoints2d": unseen, "keypoints3d": nothing, "smpl_rotmat": torch.full_like(rotmat, float("nan")),
        "betas": torch.full_like(betas, float("nan")), "has_keypoints3d": zero, "has_smpl": zero, "has_betas": zero,
    }  # fmt: skip
    total = sum(loss(prediction, target) for loss in (ProjectionLoss(), Joint3DLoss(), SMPLParameterLoss()))
    assert total.item() == 0
    total.backward()
    for value in (rotmat, joints, image, betas):
        assert value.grad is not None and not value.grad.any()


def test_ief_is_three_steps_of_feedback():
    head = IEFHead(feature_dim=4, hidden=5, iterations=3, dropout=0.5).eval()
    torch.nn.init.normal_(head.out.weight)  # away from the near-zero start
    head.set_mean_phi(torch.randn(157))
    features = torch.randn(2, 4)
    w = _arrays(head)

    def feedback(phi):
        for _ in range(3):
            hidden = np.maximum(np.concatenate([features.numpy(), phi], 1) @ w["fc1.weight"].T + w["fc1.bias"], 0)
            hidden = np.maximum(hidden @ w["fc2.weight"].T + w["fc2.bias"], 0)
            phi = phi + hidden @ w["out.weight"].T + w["out.bias"]
        return phi

    mean = head.mean_phi.numpy()[None].repeat(2, 0)
    np.testing.assert_allclose(head(features).detach().numpy(), feedback(mean), rtol=1e-4, atol=1e-4)
    given = np.random.default_rng(0).normal(size=(2, 157)).astype(np.float32)
    np.testing.assert_allclose(
        head(features, torch.tensor(given)).detach().numpy(), feedback(given), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ValueError, match="mean phi"):
        head.set_mean_phi(torch.full((157,), float("nan")))


def test_head_starts_upright_before_the_camera():
    torch.testing.assert_close(split_phi(default_phi()).rotmat[0], torch.tensor(PI_ABOUT_X, dtype=torch.float32))
    phi = IEFHead(feature_dim=8)(torch.randn(3, 8))
    assert (phi - default_phi()).abs().max() < 0.2  # near-zero output layer


@pytest.mark.parametrize("conditioned", [True, False])
def test_eq11_to_17_a_clip_step_by_step(build, conditioned):
    """The recurrence over a clip of 3 frames in plain numpy, from (c_0, h_0) = I(E(I_1)) and phi_0 = the mean."""
    D, A, T = 6, 5, 3
    neck = AttentionLSTM(feature_dim=D, attention_hidden=A, condition_on_state=conditioned)
    head = IEFHead(feature_dim=D, hidden=7, dropout=0.0)
    torch.nn.init.normal_(head.out.weight, std=0.1)
    model = build("Video")
    model.neck, model.head = neck, head
    features, maps = torch.randn(2, T, D), torch.randn(2, T, 4, D)
    phi_found, memory = model.unroll(features, maps)

    w, f, a = _arrays(neck), features.numpy(), maps.numpy()
    hidden = np.maximum(f[:, 0] @ w["initial.0.weight"].T + w["initial.0.bias"], 0)
    hidden = np.maximum(hidden @ w["initial.2.weight"].T + w["initial.2.bias"], 0)
    start = hidden @ w["initial.4.weight"].T + w["initial.4.bias"]
    c, h = start[:, :D], start[:, D:]
    phi = head.mean_phi.numpy()[None].repeat(2, 0)
    for t in range(T):
        z = np.zeros((2, D))
        for b in range(2):
            e = np.zeros(4)
            for i in range(4):
                inner = w["attention_map.weight"] @ a[b, t, i] + w["attention_map.bias"]
                if conditioned:
                    inner = inner + w["attention_state.weight"] @ h[b]
                e[i] = (w["attention_score.weight"] @ np.tanh(inner) + w["attention_score.bias"]).item()
            alpha = np.exp(e) / np.exp(e).sum()
            assert alpha.sum() == pytest.approx(1)
            z[b] = sum(alpha[i] * a[b, t, i] for i in range(4))
        x = np.concatenate([f[:, t], z, phi], 1)
        weight = np.concatenate([w["gates_feature.weight"], w["gates_context.weight"]], 1)
        gates = x @ weight.T + w["gates_feature.bias"] + h @ w["gates_hidden.weight"].T
        i_gate, f_gate, g, o_gate = np.split(gates, 4, 1)
        c = _sigmoid(f_gate) * c + _sigmoid(i_gate) * np.tanh(g)
        h = _sigmoid(o_gate) * np.tanh(c)
        phi = head(torch.tensor(h, dtype=torch.float32)).detach().numpy()
        np.testing.assert_allclose(phi_found[:, t].detach().numpy(), phi, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(memory.state.hidden.detach().numpy(), h, atol=1e-5)
    np.testing.assert_allclose(memory.state.cell.detach().numpy(), c, atol=1e-5)


@pytest.mark.parametrize(("hidden", "map_dim"), [(None, None), (4, 5), (9, None)])
def test_neck_is_torchs_lstm_cell_on_the_concatenation(hidden, map_dim):
    D, P = 6, 157
    neck = AttentionLSTM(feature_dim=D, phi_dim=P, attention_hidden=3, hidden=hidden, map_dim=map_dim)
    H, M = hidden or D, map_dim or D
    cell = torch.nn.LSTMCell(D + M + P, H)
    assert any(name.startswith("output.") for name in neck.state_dict()) == (hidden is not None)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([neck.gates_feature.weight, neck.gates_context.weight], 1))
        cell.weight_hh.copy_(neck.gates_hidden.weight)
        cell.bias_ih.copy_(neck.gates_feature.bias)
        cell.bias_hh.zero_()
    feature, map_, phi = torch.randn(3, D), torch.randn(3, 4, M), torch.randn(3, P)
    state = neck.init_state(feature)
    assert state.hidden.shape == state.cell.shape == (3, H)
    context, alpha = neck.attend(map_, neck.attention_map(map_), state.hidden)
    assert alpha.shape == (3, 4)
    hidden, after = neck.step(feature, map_, phi, state)
    expected = cell(torch.cat([feature, context, phi], 1), (state.hidden, state.cell))
    torch.testing.assert_close(tuple(after), expected)
    seen = expected[0] if H == D else expected[0] @ neck.output.weight.T + neck.output.bias
    assert hidden.shape == (3, D)  # input of the frame model's head
    torch.testing.assert_close(hidden, seen)


def test_a_residual_neck_starts_as_the_frame_model_and_does_not_mind_large_maps():
    neck = AttentionLSTM(
        feature_dim=6, phi_dim=157, attention_hidden=3, hidden=4, map_dim=5, residual=True, norm_map=True
    )
    feature, map_, phi = torch.randn(3, 6), 100 * torch.randn(3, 4, 5), torch.randn(3, 157)
    state = neck.init_state(feature)
    torch.testing.assert_close(neck.step(feature, map_, phi, state)[0], feature, rtol=0, atol=0)
    torch.nn.init.normal_(neck.output.weight)
    seen, after = neck.step(feature, map_, phi, state)
    torch.testing.assert_close(seen, feature + neck.output(after.hidden))
    # Only the direction of vectors counts; preparing a whole clip gives the same.
    torch.testing.assert_close(neck.step(feature, 2 * map_ + 7, phi, state)[0], seen, rtol=0, atol=1e-4)
    (prepared,) = neck.prepare(feature[:, None], map_[:, None])
    torch.testing.assert_close(neck.step(feature, map_, phi, state, prepared)[0], seen)


def test_ief_starts_from_the_mean_or_the_previous_step(build):
    model = build("Video", ief_start="previous")
    torch.nn.init.normal_(model.head.out.weight, std=0.1)
    features, maps = torch.randn(1, 2, 512), torch.randn(1, 2, 4, 512)
    previous, _ = model.unroll(features, maps)
    neck, head = model.neck, model.head
    state = neck.init_state(features[:, 0])
    h, state = neck.step(features[:, 0], maps[:, 0], head.mean_phi[None], state)
    first = head(h)
    h, state = neck.step(features[:, 1], maps[:, 1], first, state)
    torch.testing.assert_close(previous[:, 1], head(h, first))
    model.ief_start = "mean"
    torch.testing.assert_close(model.unroll(features, maps)[0][:, 1], head(h))


@pytest.mark.parametrize(
    ("build_loss", "message"),
    [
        (lambda: Joint3DLoss(frame="world"), "frame='world'"),
        (lambda: SMPLParameterLoss(rotation="euler"), "rotation='euler'"),
    ],
)
def test_impossible_options_are_named(build_loss, message):
    with pytest.raises(ConfigError, match=message):
        build_loss()


def test_default_phi_holds_6d_of_the_turned_root():
    torch.testing.assert_close(default_phi()[:6], matrix_to_rotation_6d(torch.tensor(PI_ABOUT_X, dtype=torch.float32)))
