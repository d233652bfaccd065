"""HMR's adversarial prior: which parameters its terms affect, that it discriminates, and that it trains normally."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from mviper.body.rotations import axis_angle_to_matrix
from mviper.engine import JointOptimWrapperDict
from mviper.errors import ConfigError, MissingDataError
from mviper.models import AdversarialLoss, SMPLDiscriminator

LOSSES = {
    "proj": {"type": "ProjectionLoss"},
    "joint3d": {"type": "Joint3DLoss"},
    "smpl": {"type": "SMPLParameterLoss"},
}
OPTIM_WRAPPER = dict(
    constructor="mviper.SeparateOptimizers",
    generator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4), clip_grad=dict(max_norm=1.0)),
    discriminator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3)),
)


def bodies(count: int, spread: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    poses = spread * torch.randn(count, 23, 3, generator=generator)
    return axis_angle_to_matrix(poses), spread * torch.randn(count, 10, generator=generator)


def make_hmr(build):
    return build("Image", losses={**LOSSES, "adversarial": {"type": "AdversarialLoss", "loss_weight": 0.5}})


def with_real(batch: dict) -> dict:
    for sample in batch["data_sample"]:
        rotmat, betas = bodies(len(sample.betas), 0.2)
        sample.set_field(rotmat, "real_rotmat")
        sample.set_field(betas, "real_betas")
    return batch


def test_scores_are_those_of_k_plus_2_discriminators():
    discriminator = SMPLDiscriminator()
    rotmat, betas = bodies(5, 0.3)
    scores = discriminator(rotmat, betas)
    assert scores.shape == (5, 25)
    other = rotmat.clone()
    other[:, 4] = torch.eye(3)
    changed = (discriminator(other, betas) - scores).abs().max(0).values > 0
    assert changed.nonzero().flatten().tolist() == [4, 23]  # joint 4's own and that of the whole pose
    assert (discriminator(rotmat, betas + 1) - scores).abs().max(0).values.nonzero().flatten().tolist() == [24]
    first, second = discriminator.shared[0], discriminator.shared[2]
    features = second(torch.relu(first(rotmat[:, 7].flatten(1))))  # the layers shared by all joints
    torch.testing.assert_close(scores[:, 7], features @ discriminator.joint_weight[7] + discriminator.joint_bias[7])


def test_each_term_reaches_its_own_side_alone():
    loss = AdversarialLoss(loss_weight=0.5)
    fake, betas = bodies(6, 0.5)
    full = torch.cat([torch.eye(3).expand(6, 1, 3, 3), fake], 1)
    prediction = {
        "pred_rotmat": full.unflatten(0, (2, 3)).requires_grad_(),
        "pred_betas": betas.unflatten(0, (2, 3)).requires_grad_(),
    }
    real = bodies(6, 0.2, seed=1)
    target = {name: part.unflatten(0, (2, 3)) for name, part in zip(("real_rotmat", "real_betas"), real)}
    terms = loss(prediction, target)
    weights = list(loss.parameters())
    reached = torch.autograd.grad(terms["adversarial"], [*prediction.values(), *weights], allow_unused=True)
    assert all(part.abs().sum() > 0 for part in reached[:2]) and all(part is None for part in reached[2:])
    assert not reached[0][:, :, 0].any()  # the root's rotation is not discriminated
    reached = torch.autograd.grad(terms["discriminator"], [*prediction.values(), *weights], allow_unused=True)
    assert all(part is None for part in reached[:2]) and all(part.abs().sum() > 0 for part in reached[2:])
    # Least squares, summed over the discriminators, mean over frames.
    of_fake, of_real = (loss.discriminator(*pair).detach() for pair in ((fake, betas), real))
    torch.testing.assert_close(terms["adversarial"].detach(), 0.5 * (of_fake - 1).square().sum() / 6)
    torch.testing.assert_close(
        terms["discriminator"].detach(), ((of_real - 1).square().sum() + of_fake.square().sum()) / 6
    )


def test_it_learns_which_bodies_are_real():
    loss = AdversarialLoss({"type": "SMPLDiscriminator", "pose_hidden": 64})
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    eye = torch.eye(3).expand(64, 1, 3, 3)
    for step in range(120):
        (fake, fake_betas), (real, real_betas) = bodies(64, 0.8, 2 * step), bodies(64, 0.2, 2 * step + 1)
        prediction = {"pred_rotmat": torch.cat([eye, fake], 1)[None], "pred_betas": fake_betas[None]}
        terms = loss(prediction, {"real_rotmat": real[None], "real_betas": real_betas[None]})
        optimizer.zero_grad()
        terms["discriminator"].backward()
        optimizer.step()
    of_real, of_fake = loss.discriminator(*bodies(200, 0.2, 7)), loss.discriminator(*bodies(200, 0.8, 8))
    assert of_real[:, 23].mean() > 0.9 and of_fake[:, 23].mean() < 0.1  # the whole pose
    assert ((of_real.mean(0) - of_fake.mean(0)) > 0.2).all()  # every joint and also the shape


def test_one_backward_pass_serves_both_optimisers(build, make_batch):
    model = make_hmr(build).train()
    wrapper = build_optim_wrapper(model, copy.deepcopy(OPTIM_WRAPPER))
    assert isinstance(wrapper, JointOptimWrapperDict) and list(wrapper.keys()) == ["generator", "discriminator"]
    own = {id(p) for p in model.losses.adversarial.parameters()}
    of = {name: {id(p) for group in part.param_groups for p in group["params"]} for name, part in wrapper.items()}
    assert of["discriminator"] == own and not of["generator"] & own
    assert of["generator"] | own == {id(parameter) for parameter in model.parameters()}

    # The gradient of the sum equals the gradients of the two separately.
    batch = with_real(make_batch())
    data = model.data_preprocessor(batch, True)
    terms = model(**data, mode="loss")
    assert {"loss_adversarial", "loss_discriminator"} < set(terms)
    head, judge = model.head.out.weight, model.losses.adversarial.discriminator.joint_weight
    supervised = sum(value for name, value in terms.items() if name != "loss_discriminator")
    expected = torch.autograd.grad(supervised, head, retain_graph=True)[0]
    expected_judge = torch.autograd.grad(terms["loss_discriminator"], judge)[0]
    sum(model(**data, mode="loss").values()).backward()
    torch.testing.assert_close(head.grad, expected)
    torch.testing.assert_close(judge.grad, expected_judge)
    model.zero_grad()

    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    log = model.train_step(batch, wrapper)
    assert torch.isfinite(log["loss"]) and log["loss_discriminator"] > 0
    assert not [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert all(parameter.grad is None for parameter in model.parameters())
    state = wrapper.state_dict()
    other = build_optim_wrapper(model, copy.deepcopy(OPTIM_WRAPPER))
    other.load_state_dict(state)
    assert list(other.state_dict()["discriminator"]["state"]) == list(state["discriminator"]["state"]) != []


def test_without_real_bodies_or_without_a_prior(build, make_batch):
    model = make_hmr(build).train()
    with pytest.raises(MissingDataError, match="AdversarialDataset"):
        model(**model.data_preprocessor(make_batch(), True), mode="loss")
    model = build("Image", losses={**LOSSES, "adversarial": None}).train()
    wrapper = build_optim_wrapper(model, copy.deepcopy(OPTIM_WRAPPER))
    assert list(wrapper.keys()) == ["generator"]  # --cfg-options model.losses.adversarial=None is enough
    assert torch.isfinite(model.train_step(with_real(make_batch()), wrapper)["loss"])


def test_a_wrong_config_of_optimisers_says_what_is_expected(build):
    model = make_hmr(build)
    with pytest.raises(ConfigError, match="name=dict"):
        build_optim_wrapper(model, dict(constructor="mviper.SeparateOptimizers", type="OptimWrapper"))
    uneven = copy.deepcopy(OPTIM_WRAPPER)
    uneven["discriminator"]["accumulative_counts"] = 2
    with pytest.raises(ConfigError, match="accumulative_counts"):
        build_optim_wrapper(model, uneven)
