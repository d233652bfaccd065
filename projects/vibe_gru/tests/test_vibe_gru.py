"""VIBE's neck is plugged in by a config alone, trains, carries its state over sequences, and can be bidirectional."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mviper.config import load_config
from mviper.export import export_model
from mviper.inference import ClipRunner, ExportedModel
from mviper.registry import MODELS
from projects.vibe_gru import TemporalGRU

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIG = REPOSITORY / "projects" / "vibe_gru" / "configs" / "vibe_gru_r50.py"


@pytest.fixture
def model_config(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    config = load_config(CONFIG)
    assert config.custom_hooks[-1]["type"] == "EMAHook" and config.optim_wrapper.clip_grad == dict(max_norm=1.0)
    model = config.model
    model.backbone = dict(type="ResNetEncoder", depth=18)  # as in the config, but small
    model.neck.hidden, model.head.hidden, model.head.dropout = 32, 32, 0.0
    return model


def test_the_neck_is_the_gru_it_says():
    torch.manual_seed(0)
    neck = TemporalGRU(feature_dim=6, hidden=5, layers=2).eval()
    features = torch.randn(3, 7, 6)
    state, steps = neck.init_state(features[:, 0]), []
    for t in range(7):
        hidden, state = neck.step(features[:, t], None, None, state)
        steps.append(hidden)
    together = neck(features, None)
    torch.testing.assert_close(torch.stack(steps, 1), together)
    cells = [torch.nn.GRUCell(6, 5), torch.nn.GRUCell(5, 5)]
    for layer, cell in enumerate(cells):
        cell.load_state_dict({key: getattr(neck.gru, f"{key}_l{layer}") for key in cell.state_dict()})
    a = b = torch.zeros(3, 5)
    for t in range(7):
        a = cells[0](features[:, t], a)
        b = cells[1](a, b)
        torch.testing.assert_close(together[:, t], neck.linear(b.relu()) + features[:, t])


def test_it_trains_and_carries_its_state(model_config):
    torch.manual_seed(0)
    model = MODELS.build(model_config).eval()
    torch.nn.init.normal_(model.head.out.weight, std=0.1)
    assert model.neck.recurrent and model.test_cfg["state"] == "carry"
    clip = torch.randint(0, 256, (1, 9, 3, 64, 64), dtype=torch.uint8)
    whole = model(clip)["pred_keypoints3d"]
    model.test_cfg["chunk"] = 4  # frames encoded per batch; the state is carried across batches
    torch.testing.assert_close(model(clip, mode="predict")[0].pred_keypoints3d, whole[0].detach(), atol=1e-5, rtol=0)
    whole.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.neck.parameters())


def test_people_are_followed_together_and_it_is_exported(model_config, tmp_path):
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = MODELS.build(model_config).eval()
    torch.nn.init.normal_(model.head.out.weight, std=0.1)
    clips = {person: torch.randint(0, 256, (6, 3, 64, 64), dtype=torch.uint8) for person in (1, 2)}
    with torch.no_grad():
        wanted = {person: model.regress(clip[None])[0] for person, clip in clips.items()}
    for network in (model, ExportedModel(export_model(model, tmp_path / "vibe.onnx", 64), model)):
        runner, parts = ClipRunner(network), {1: [], 2: []}
        for frames in (slice(0, 4), slice(4, 6)):
            for person, phi in runner({person: clip[frames] for person, clip in clips.items()}).items():
                parts[person].append(phi)
        for person, phi in wanted.items():
            torch.testing.assert_close(torch.cat(parts[person]), phi, atol=1e-4, rtol=0)


def test_both_ways_see_the_whole_window(model_config):
    torch.manual_seed(0)
    model_config.neck.bidirectional = True
    model = MODELS.build(model_config).eval()
    torch.nn.init.normal_(model.head.out.weight, std=0.1)
    assert not model.neck.recurrent
    clip = torch.randint(0, 256, (1, 5, 3, 64, 64), dtype=torch.uint8)
    other = clip.clone()
    other[:, -1] = 0
    with torch.no_grad():
        difference = (model(clip)["pred_betas"] - model(other)["pred_betas"])[0].abs().amax(-1)
    assert (difference > 0).all()  # the last image also affects the first frame
