"""Nothing assumes the open body's 6890 vertices: a body with another count, from a .pkl, works in all parts."""

import json

import numpy as np
import pytest
from open_body.assembly import thinner_body, write_pkl

from mviper.body.smpl import OPEN_BODY, SMPL, load_body_arrays
from mviper.body.surface import BodyShape
from mviper.config import load_config
from mviper.registry import MODELS
from mviper.structures.human_data import HumanData
from mviper.synthesis import Factory, complete_config, list_jobs


@pytest.fixture(scope="module")
def body_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("body") / "SECOND.pkl"
    write_pkl(path, thinner_body(load_body_arrays(OPEN_BODY), 5000, "second"))
    return path


@pytest.fixture(scope="module")
def sequence(body_file, tmp_path_factory):
    config = load_config(
        "configs/demo/data.py",
        {
            "body_model.model_path": str(body_file),
            "source.names": ["*walk"], "max_frames": 4, "min_seconds": 0.1, "lead_in": dict(frames=8, still=2),
            "cameras.resolution": 120,
        },
    ).to_dict()  # fmt: skip
    config = complete_config(config)
    return Factory(config).make(list_jobs(config)[0], tmp_path_factory.mktemp("data"))


def test_measured(body_file):
    second, shipped = SMPL(str(body_file)), SMPL()
    assert second.num_vertices != shipped.num_vertices and second.body_model_id != shipped.body_model_id
    ours, theirs = (BodyShape.from_body(body, np.zeros(10)).measurements() for body in (second, shipped))
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=0.05), name


def test_dressed_and_rendered(sequence, body_file):
    manifest = json.loads((sequence / "manifest.json").read_text())
    assert manifest["body_model"] == SMPL(str(body_file)).body_model_id
    assert {garment["name"] for garment in manifest["garments"]} == {"trousers", "t_shirt"}
    annotation = HumanData.load(sequence / "south.npz")
    assert len(annotation.keypoints2d) == 4 and (annotation.keypoints2d[..., :2] > 0).all()


def test_one_training_step(sequence, body_file):
    import torch
    from mmengine.optim import OptimWrapper

    from mviper.datasets import SyntheticHumanVideo

    body = dict(type="SMPL", model_path=str(body_file))
    crop = [dict(type="CropClip", size=96), dict(type="PackBodySample")]
    dataset = SyntheticHumanVideo(sequence.parents[1], body_model=body, pipeline=crop)
    config = load_config("configs/demo/mviper.py", {"model.body_model": body, "model.backbone.pretrained": False})
    model = MODELS.build(config.model).train()
    items = [dataset[index] for index in range(2)]
    batch = {key: [item[key] for item in items] for key in items[0]}
    assert all(sample.has_betas == 1 for sample in batch["data_sample"])
    before = [parameter.clone() for parameter in model.parameters()]
    losses = model.train_step(batch, OptimWrapper(torch.optim.Adam(model.parameters(), lr=1e-3)))
    assert all(torch.isfinite(value).all() for value in losses.values())
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters()))
