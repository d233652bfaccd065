"""Small real models and samples for the tests of models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mviper.body import SMPL
from mviper.body.rotations import axis_angle_to_matrix
from mviper.registry import MODELS
from mviper.sample import BodySample
from mviper.structures import KEYPOINTS

LOSSES = {
    "proj": {"type": "ProjectionLoss", "loss_weight": 1.0},
    "joint3d": {"type": "Joint3DLoss", "loss_weight": 1.0},
    "smpl": {"type": "SMPLParameterLoss", "loss_weight": 1.0},
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def body() -> SMPL:
    return SMPL()


@pytest.fixture
def build():
    """Builds an estimator; keyword arguments replace or add to the model's config."""

    def build(kind: str = "Video", **changes):
        config = {
            "type": f"{kind}BodyModelEstimator",
            "backbone": {"type": "ResNetEncoder", "depth": 18},
            "head": {"type": "IEFHead", "hidden": 64, "dropout": 0.0},
            "body_model": {"type": "SMPL"},
            "losses": dict(LOSSES),
            "data_preprocessor": {"type": "BodyDataPreprocessor"},
        }
        if kind == "Video":
            config["neck"] = {"type": "AttentionLSTM", "attention_hidden": 16}
            config["losses"]["shape"] = {"type": "ShapeSmoothnessLoss"}
        model = MODELS.build({**config, **changes})
        model.init_weights()
        return model

    return build


@pytest.fixture
def make_sample(body):
    """Makes a sample of T frames from the posed body, so that a model can reproduce it exactly."""

    def make_sample(frames: int = 4, seed: int = 0, **flags: float) -> BodySample:
        rng = np.random.default_rng(seed)
        pose = torch.tensor(rng.normal(0, 0.2, (24, 3)) + rng.normal(0, 0.03, (frames, 24, 3)), dtype=torch.float32)
        rotmat = axis_angle_to_matrix(pose)
        rotmat[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ rotmat[:, 0]  # upright before the camera
        betas = torch.tensor(rng.normal(0, 1, (1, 10)), dtype=torch.float32).repeat(frames, 1)
        joints = body(betas, rotmat).joints
        joints = joints - joints[:, :1]
        ones = torch.ones(frames, len(KEYPOINTS), 1)
        image = 0.8 * joints[..., :2] + torch.tensor([0.05, -0.1])
        deltas = {name: torch.tensor(flags.get(name, 1.0)) for name in ("has_keypoints3d", "has_smpl", "has_betas")}
        return BodySample(
            keypoints2d=torch.cat([image, ones], -1),
            keypoints3d=torch.cat([joints, ones], -1),
            smpl_rotmat=rotmat,
            betas=betas,
            **deltas,
            metainfo={"sequence": f"train/{seed}/east"},
        )

    return make_sample


@pytest.fixture
def make_batch(make_sample):
    """Makes the collate function's output for the data preprocessor."""

    def make_batch(clips: int = 2, frames: int = 4, size: int = 64, **flags: float) -> dict:
        generator = torch.Generator().manual_seed(1)
        return {
            "inputs": [
                torch.randint(0, 256, (frames, 3, size, size), dtype=torch.uint8, generator=generator)
                for _ in range(clips)
            ],
            "data_sample": [make_sample(frames, seed, **flags) for seed in range(clips)],
        }

    return make_batch
