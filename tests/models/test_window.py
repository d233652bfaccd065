"""Features in the context of a window of frames, and estimators that use it."""

from __future__ import annotations

import pytest
import torch

from mviper.models.losses import Joint3DLoss, JointVelocityLoss
from mviper.models.necks import WindowMLP
from mviper.registry import MODELS
from mviper.sample import EncodedClip


def close(*values):
    torch.testing.assert_close(*values, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def window():
    torch.manual_seed(0)
    return WindowMLP(feature_dim=4, window=5, hidden=16, blocks=1).eval()


def test_a_frame_sees_two_neighbours_to_either_side(window):
    features = torch.randn(1, 12, 4, requires_grad=True)
    window(features)[0, 6, 0].backward()
    assert features.grad[0].abs().sum(1).nonzero().flatten().tolist() == [4, 5, 6, 7, 8]


def test_the_ends_are_repeated(window):
    features = torch.randn(2, 6, 4)
    longer = torch.cat([features[:, :1].expand(-1, 2, -1), features, features[:, -1:].expand(-1, 2, -1)], 1)
    close(window(features), window(longer)[:, 2:-2])


@pytest.fixture(scope="module", params=["ImageBodyModelEstimator", "VideoBodyModelEstimator"])
def model(request):
    torch.manual_seed(0)
    neck = dict(neck=dict(type="AttentionLSTM", hidden=8, attention_hidden=8, residual=True))
    model = MODELS.build(
        dict(
            type=request.param,
            backbone=dict(type="BlazePoseEncoder", maps="landmarks", features="landmarks", frozen_stages=7),
            context=dict(type="WindowMLP", window=5, hidden=16, blocks=1),
            head=dict(type="IEFHead", hidden=16, dropout=0.0),
            body_model=dict(type="SMPL"),
            **(neck if request.param == "VideoBodyModelEstimator" else {}),
        )
    ).eval()
    torch.nn.init.normal_(model.head.out.weight, std=0.05)
    return model


def clip(model, frames, seed=0):
    vectors = torch.randn(2, frames, 29, 3, generator=torch.Generator().manual_seed(seed))
    return EncodedClip(vectors.flatten(2), vectors, model.encoder_id)


def part(encoded, frames):
    return EncodedClip(encoded.features[:, frames], encoded.maps[:, frames], encoded.encoder)


@torch.no_grad()
def test_clips_of_a_video_see_the_frames_before_them(model):
    video = clip(model, 12)
    features, maps = model.encode(video)
    whole, past, parts = model.in_context(features, maps)[0], None, []
    for frames in (slice(0, 1), slice(1, 6), slice(6, 12)):
        result, past = model.in_context(features[:, frames], maps[:, frames], past)
        parts.append(result)
    pieces = torch.cat(parts, 1)
    known = [1, 2, 3, 6, 7, 8, 9, 10, 11]  # the others' later frames are in the next clip
    close(pieces[:, known], whole[:, known])
    assert (pieces[:, [0, 4, 5]] - whole[:, [0, 4, 5]]).abs().amax((0, 2)).min() > 1e-3
    phi, memory = model.walk(part(video, slice(0, 4)))
    assert model.walk(part(video, slice(4, 12)), memory)[0].shape == (2, 8, phi.shape[-1])


@torch.no_grad()
def test_clips_may_bring_the_frames_around_them(model):
    video = clip(model, 12)
    inner = EncodedClip(video.features, video.maps[:, 2:-2], video.encoder)
    features, maps = model.encode(video)
    close(model.in_context(features, maps)[0][:, 2:-2], model.in_context(*model.encode(inner))[0])
    assert model.regress(inner).shape[1] == 8


@torch.no_grad()
def test_prediction_of_a_sequence_does_not_depend_on_chunks(model):
    video = clip(model, 20)
    whole = model.regress(video)
    chunk, model.test_cfg["chunk"] = model.test_cfg["chunk"], 6
    try:
        close(model.regress_sequences(video), whole)
    finally:
        model.test_cfg["chunk"] = chunk
    assert model.context.reach == 2 and model.head.fc1.in_features == 16 + model.head.phi_dim


def test_its_gradients_reach_the_context(model):
    model.regress(clip(model, 4)).square().sum().backward()
    assert model.context.enter.weight.grad.abs().sum() > 0


def test_distances_instead_of_their_squares():
    generator = torch.Generator().manual_seed(0)
    joints, truth = (torch.randn(2, 3, 44, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    prediction = {"pred_keypoints3d": joints.requires_grad_()}
    target = {"keypoints3d": torch.cat([truth, torch.ones(2, 3, 44, 1)], -1), "has_keypoints3d": torch.ones(2)}
    loss = Joint3DLoss(squared=False, loss_weight=2.0)(prediction, target)
    close(loss, 2 * (joints - truth).norm(dim=-1).sum(-1).mean())
    same = {"pred_keypoints3d": truth.clone().requires_grad_()}
    Joint3DLoss(squared=False)(same, target).backward()
    assert same["pred_keypoints3d"].grad.isfinite().all()


def test_velocity_loss_measures_steps_between_annotated_frames():
    generator = torch.Generator().manual_seed(0)
    joints, truth = (torch.randn(2, 3, 44, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    valid = torch.ones(2, 3, 44, 1)
    valid[0, 1, 5] = 0  # one joint of a middle frame: neither step of it counts
    target = {"keypoints3d": torch.cat([truth, valid], -1), "has_keypoints3d": torch.tensor([1.0, 0.0])}
    prediction = {"pred_keypoints3d": joints.requires_grad_()}
    steps = (joints.diff(dim=1) - truth.diff(dim=1)).norm(dim=-1)[0]
    steps = steps[:, torch.arange(44) != 5]
    left_out = 2 * 2 * 44 - steps.numel()  # 1e-4 each, which makes the root differentiable at 0
    close(JointVelocityLoss(loss_weight=2.0)(prediction, target), 2 * (steps.sum() + 1e-4 * left_out) / 6)
    # A body that is off by the same vector in each frame moves rightly.
    shifted = {"pred_keypoints3d": (truth + 0.3).requires_grad_()}
    loss = JointVelocityLoss()(shifted, target)
    assert loss < 0.01
    loss.backward()
    assert shifted["pred_keypoints3d"].grad.isfinite().all()
