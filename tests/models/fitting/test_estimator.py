"""SMPLify in place of a network."""

import pytest
import torch

from mviper.errors import ConfigError
from mviper.models.parameters import project
from mviper.registry import MODELS

MODEL = {"type": "SMPLifyEstimator", "body_model": {"type": "SMPL"}}


@pytest.mark.parametrize("temporal", [False, True])
def test_predicts_what_networks_predict(make_sample, temporal):
    sample = make_sample(frames=4)
    sample.set_metainfo({"crop": torch.tensor([[120.0, 90.0, 200.0]]).repeat(4, 1).numpy()})
    model = MODELS.build({**MODEL, "temporal": temporal})
    assert not list(model.parameters()) and not model.state_dict()
    (found,) = model(None, [sample], mode="predict")
    shapes = {"rotmat": (4, 24, 3, 3), "betas": (4, 10), "camera": (4, 3), "keypoints3d": (4, 44, 3),
              "keypoints2d": (4, 44, 2)}  # fmt: skip
    assert {name: tuple(found.get(f"pred_{name}").shape) for name in shapes} == shapes
    # The camera is eq. 6's.
    assert torch.allclose(project(found.pred_keypoints3d, found.pred_camera), found.pred_keypoints2d, atol=1e-3)
    error = (found.pred_keypoints2d - sample.keypoints2d[..., :2]).norm(dim=-1)
    assert error.median() < 0.03
    if temporal:
        assert torch.equal(found.pred_betas[0], found.pred_betas[3])


def test_other_keypoints(make_sample):
    sample = make_sample(frames=2)
    sample.set_field(sample.keypoints2d.clone(), "detected")
    sample.keypoints2d[..., 2] = 0
    (found,) = MODELS.build({**MODEL, "keypoints": "detected"})(None, [sample], mode="predict")
    assert (found.pred_keypoints2d - sample.detected[..., :2]).norm(dim=-1).median() < 0.03


def test_invalid_inputs_are_refused(make_sample):
    with pytest.raises(ConfigError, match=r"unknown settings \['poseweight'\]; known: .*pose_weight"):
        MODELS.build({**MODEL, "settings": {"poseweight": 1.0}})
    with pytest.raises(ConfigError, match="no field 'detected'"):
        MODELS.build({**MODEL, "keypoints": "detected"})(None, [make_sample()], mode="predict")
    with pytest.raises(ConfigError, match="nothing to train"):
        MODELS.build(MODEL)(None, [make_sample()], mode="loss")
    with pytest.raises(ConfigError, match="needs data_samples"):
        MODELS.build(MODEL)(torch.zeros(1, 4, 3, 8, 8), mode="predict")
