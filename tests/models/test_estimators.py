"""The complete frame model and video model, with the open body."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import load_checkpoint

from mviper.errors import ConfigError
from mviper.files import save_npz
from mviper.registry import MODELS
from mviper.sample import BodySample, turn_back
from mviper.structures import SMPL_PARENTS, SURFACE_JOINTS

PREDICTED = {
    "pred_rotmat": (24, 3, 3),
    "pred_betas": (10,),
    "pred_camera": (3,),
    "pred_keypoints3d": (44, 3),
    "pred_keypoints2d": (44, 2),
}


def _train_step(model, batch):
    optimizer = OptimWrapper(torch.optim.Adam(model.parameters(), lr=1e-4))
    return model.train_step(batch, optimizer)


def _shake(model):
    """Moves an untrained model away from its near-zero output, so that states and starts make a difference."""
    torch.nn.init.normal_(model.head.out.weight, std=0.1)
    return model.eval()


@pytest.mark.parametrize("kind", ["Image", "Video"])
@pytest.mark.parametrize("backbone", [{"type": "ResNetEncoder", "depth": 18}, {"type": "EfficientNetLiteEncoder"}])
def test_one_training_step_reaches_every_parameter(build, make_batch, kind, backbone):
    model = build(kind, backbone=backbone).train()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    log = _train_step(model, make_batch())
    names = {"loss", "loss_proj", "loss_joint3d", "loss_smpl"} | ({"loss_shape"} if kind == "Video" else set())
    assert set(log) == names and all(torch.isfinite(value) for value in log.values())
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    # The score's bias shifts all scores equally, which the softmax cancels.
    assert [n for n, p in model.named_parameters() if torch.equal(p, before[n])] in ([], ["neck.attention_score.bias"])


@pytest.mark.parametrize("kind", ["Image", "Video"])
def test_predict_fills_the_samples(build, make_batch, kind):
    model = build(kind).eval()
    samples = model.val_step(make_batch(clips=2, frames=5))
    for sample in samples:
        assert {key: tuple(sample.get(key).shape) for key in PREDICTED} == {k: (5, *s) for k, s in PREDICTED.items()}
        assert not sample.pred_betas.requires_grad and sample.sequence
        eye = torch.eye(3).expand(5, 24, 3, 3)
        torch.testing.assert_close(sample.pred_rotmat @ sample.pred_rotmat.mT, eye, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="mode='train'"):
        model(torch.zeros(1, 1, 3, 64, 64), mode="train")
    with pytest.raises(ValueError, match="'loss' needs data_samples"):
        model(torch.zeros(1, 2, 3, 64, 64), mode="loss")
    for mode in ("loss", "tensor"):
        with pytest.raises(ValueError, match=f"mode='{mode}' takes one tensor"):
            model([torch.zeros(2, 3, 64, 64), torch.zeros(3, 3, 64, 64)], [BodySample(), BodySample()], mode=mode)


def test_the_frame_model_takes_frames_one_by_one(build, make_batch):
    model = _shake(build("Image"))
    clip = make_batch(clips=1, frames=5)["inputs"][0][None]
    together = model(clip, mode="predict")[0]
    for t in range(5):
        alone = model(clip[:, t : t + 1], mode="predict")[0]
        torch.testing.assert_close(alone.pred_keypoints3d[0], together.pred_keypoints3d[t], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["Image", "Video"])
def test_a_carried_sequence_in_chunks_equals_one_go(build, make_batch, kind):
    model = _shake(build(kind, test_cfg={"chunk": 64}))
    seen = []
    model.backbone.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    clip = make_batch(clips=1, frames=11)["inputs"][0][None]
    whole = model(clip, mode="predict")[0]
    assert seen == [11]
    model.test_cfg["chunk"] = 3
    seen.clear()
    chunked = model(clip, mode="predict")[0]
    assert seen == [3, 3, 3, 2]  # memory does not grow with the sequence
    for key in PREDICTED:
        torch.testing.assert_close(chunked.get(key), whole.get(key), atol=1e-5, rtol=0)
    # The whole clip in a training-like pass is the same recurrence.
    with torch.no_grad():
        torch.testing.assert_close(model(clip)["pred_betas"][0], whole.pred_betas, atol=1e-5, rtol=0)


def test_reset_starts_each_window_anew(build, make_batch):
    model = _shake(build("Video", test_cfg={"state": "reset", "clip_length": 4, "chunk": 9}))
    clips = torch.stack(make_batch(clips=2, frames=11)["inputs"])
    reset = model(clips, mode="predict")
    for b in range(2):
        parts = [model(clips[b : b + 1, start : start + 4])["pred_betas"][0] for start in (0, 4, 8)]
        torch.testing.assert_close(reset[b].pred_betas, torch.cat(parts).detach(), atol=1e-5, rtol=0)
    model.test_cfg["state"] = "carry"
    carried = model(clips, mode="predict")
    torch.testing.assert_close(carried[0].pred_betas[:4], reset[0].pred_betas[:4], atol=1e-5, rtol=0)
    assert (carried[0].pred_betas[4:] - reset[0].pred_betas[4:]).abs().max() > 1e-3


def test_sequences_of_unequal_length_and_float_pictures(build, make_batch):
    model = _shake(build("Video"))
    clip = make_batch(clips=1, frames=6)["inputs"][0]
    uneven = model([clip, clip[:2]], mode="predict")
    assert [len(sample.pred_betas) for sample in uneven] == [6, 2]
    torch.testing.assert_close(uneven[0].pred_betas[:2], uneven[1].pred_betas, atol=1e-5, rtol=0)
    ready = model(model.data_preprocessor.normalise(clip[None]), [BodySample()], mode="predict")[0]
    torch.testing.assert_close(ready.pred_betas, uneven[0].pred_betas, atol=1e-5, rtol=0)


def test_a_neck_from_outside_that_is_not_recurrent(build, make_batch):
    class MeanNeck(torch.nn.Module):
        recurrent = False

        def __init__(self, feature_dim, phi_dim):
            super().__init__()
            self.mix = torch.nn.Linear(feature_dim, feature_dim)

        def forward(self, features, maps):
            return features + self.mix(features.mean(1, keepdim=True))

    MODELS.register_module(name="MeanNeck", module=MeanNeck, force=True)
    try:
        model = build("Video", neck={"type": "MeanNeck"})
        assert torch.isfinite(_train_step(model, make_batch())["loss"])
        assert model.eval().val_step(make_batch(clips=1, frames=6))[0].pred_betas.shape == (6, 10)
    finally:
        MODELS.module_dict.pop("MeanNeck")


def test_stage_two_takes_encoder_and_regressor_of_stage_one(build, make_batch, tmp_path):
    frame = build("Image")
    _train_step(frame, make_batch())
    frame.head.set_mean_phi(torch.randn(157))
    path = tmp_path / "frame.pth"
    torch.save({"state_dict": frame.state_dict()}, path)
    video = build("Video")
    load_checkpoint(video, str(path), logger="silent")
    for part in ("backbone", "head"):
        found, wanted = getattr(video, part).state_dict(), getattr(frame, part).state_dict()
        assert found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert not [
        key for key in frame.state_dict() if not key.startswith(("backbone.", "head."))
    ]  # no body, no constants

    weights = frame.state_dict()
    for key in ("head.mean_phi", "backbone.layer4.1.conv2.weight"):
        half = {name: value for name, value in weights.items() if name != key}
        with pytest.raises(ConfigError, match=key):
            video.load_state_dict(half, strict=False)
        torch.save({"state_dict": half}, path)
        with pytest.raises(ConfigError, match=key):
            load_checkpoint(video, str(path), logger="silent")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_cfg": {"clip": 4}}, r"unknown test_cfg \['clip'\]"),
        ({"test_cfg": {"state": "keep"}}, "state='keep'"),
        ({"test_cfg": {"state": "reset"}}, "clip_length"),
        ({"ief_start": "zero"}, "ief_start='zero'"),
    ],
)
def test_impossible_options_are_named(build, changes, message):
    with pytest.raises(ConfigError, match=message):
        build("Video", **changes)


def test_bf16_autocast_keeps_rotations_body_and_losses_in_float32(build, make_batch):
    model = build("Video").eval()
    batch = make_batch()
    data = model.data_preprocessor(batch, True)
    exact = model(**data, mode="loss")
    with torch.autocast("cpu", torch.bfloat16):
        features, _ = model.encode(data["inputs"])
        assert features.dtype == torch.bfloat16
        rough = model(**data, mode="loss")
        prediction = model(data["inputs"], mode="tensor")
    assert all(value.dtype == torch.float32 for value in prediction.values())
    assert torch.linalg.det(prediction["pred_rotmat"]).sub(1).abs().max() < 1e-5
    for name, value in exact.items():
        assert rough[name].dtype == torch.float32
        torch.testing.assert_close(rough[name], value, rtol=0.05, atol=0.05)
    sum(rough.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_clips_that_lack_one_kind_of_annotation_teach_the_rest(build, make_batch):
    model = build("Video").train()
    for flag, field in (("has_keypoints3d", "keypoints3d"), ("has_smpl", "smpl_rotmat"), ("has_betas", "betas")):
        batch = make_batch(clips=1, **{flag: 0.0})
        sample = batch["data_sample"][0]
        sample.get(field)[..., :3] = float("nan")
        log = _train_step(model, batch)
        assert log["loss_proj"] > 0 and torch.isfinite(log["loss"])
        assert (log["loss_joint3d"] == 0) == (flag == "has_keypoints3d") and log["loss_smpl"] > 0
        assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_one_clip_is_overfitted_and_carried_on(build, make_batch, body, make_sample):
    """Each loss falls to near zero and the mesh lies on the true one; over 200 frames the error does not grow."""
    steps, rate = 150, 2e-3
    model = build(
        "Video",
        backbone={"type": "EfficientNetLiteEncoder", "norm_eval": True, "frozen_stages": 5},
        head={"type": "IEFHead", "hidden": 256, "dropout": 0.0},
        data_preprocessor={"type": "BodyDataPreprocessor", "mean": [127.0] * 3, "std": [128.0] * 3},
    ).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate, fused=True)
    wrapper = OptimWrapper(optimizer)
    batch = make_batch(clips=1, frames=4)
    blocks = torch.randint(0, 256, (4, 3, 4, 4), dtype=torch.uint8)
    batch["inputs"] = [blocks.repeat_interleave(16, 2).repeat_interleave(16, 3)]
    logs = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 10, (steps - step) / (0.4 * steps))
        logs.append({name: float(value) for name, value in model.train_step(batch, wrapper).items()})
    highest = {name: max(log[name] for log in logs) for name in logs[0]}
    left = {name: logs[-1][name] / highest[name] for name in logs[0]}

    model.eval()
    truth = batch["data_sample"][0]
    found = model.val_step(batch)[0]
    with torch.no_grad():
        surfaces = [body(s[0], s[1]) for s in ((found.pred_betas, found.pred_rotmat), (truth.betas, truth.smpl_rotmat))]
    found_surface, true_surface = (surface.vertices - surface.joints[:, :1] for surface in surfaces)
    mpvpe = 1000 * (found_surface - true_surface).norm(dim=-1).mean().item()

    again = model(batch["inputs"][0].repeat(50, 1, 1, 1)[None], mode="predict")[0].pred_keypoints3d[:, :24]
    error = 1000 * (again - truth.keypoints3d[..., :3].repeat(50, 1, 1)[:, :24]).norm(dim=-1).mean(-1)
    print(f"left of the losses: {left}; MPVPE {mpvpe:.1f} mm; MPJPE over 200 frames: {error[:8]}, ..., {error[-8:]}")
    for name in ("loss_proj", "loss_joint3d", "loss_smpl"):
        assert left[name] < 0.02, left
    assert logs[-1]["loss_shape"] < 0.01
    assert mpvpe < 15
    assert error[-100:].max() < 1.5 * error[:8].max() + 5


def _small_body(path):
    """A body of 300 vertices in SMPL's file format: blobs around joints on a stick figure."""
    rng = np.random.default_rng(0)
    joints = np.zeros((24, 3))
    for joint in range(1, 24):
        joints[joint] = joints[SMPL_PARENTS[joint]] + rng.normal(0, 0.15, 3)
    owner = np.arange(300) % 24
    weights = np.eye(24)[owner]
    regressor = weights.T / weights.sum(0)[:, None]
    extra = np.zeros((len(SURFACE_JOINTS), 300))
    extra[np.arange(len(SURFACE_JOINTS)), np.arange(len(SURFACE_JOINTS))] = 1
    save_npz(
        path,
        v_template=joints[owner] + rng.normal(0, 0.02, (300, 3)),
        shapedirs=rng.normal(0, 0.01, (300, 3, 10)),
        posedirs=rng.normal(0, 1e-3, (300, 3, 207)),
        J_regressor=regressor,
        weights=weights,
        f=rng.integers(0, 300, (500, 3)),
        kintree_table=np.stack([SMPL_PARENTS, np.arange(24)]),
        extra_regressor=extra,
    )


def test_a_body_of_another_vertex_count_trains(build, make_batch, tmp_path):
    path = tmp_path / "small.npz"
    _small_body(path)
    model = build("Video", body_model={"type": "SMPL", "model_path": str(path)})
    assert model.body_model.num_vertices == 300
    assert torch.isfinite(_train_step(model, make_batch())["loss"])


def test_predictions_in_rotated_crops_are_rotated_back(build, make_batch):
    model = build("Image").eval()
    plain, turned = make_batch(clips=1, frames=3), make_batch(clips=1, frames=3)
    rotation = np.array([0.3, -2.0, 3.0])
    turned["data_sample"][0].set_metainfo({"crop_rotation": rotation})
    wanted, found = model.test_step(plain)[0], model.test_step(turned)[0]
    fields = {name: wanted.get(name) for name in wanted.keys()}
    for name, value in turn_back(fields, torch.from_numpy(rotation)).items():
        torch.testing.assert_close(found.get(name), value)
    assert (found.pred_rotmat - wanted.pred_rotmat)[:, 0].abs().amax((1, 2)).min() > 0.1
    torch.testing.assert_close(found.pred_rotmat[:, 1:], wanted.pred_rotmat[:, 1:])
    np.testing.assert_array_equal(found.picture_rotation, rotation)
    assert not found.crop_rotation.any()
