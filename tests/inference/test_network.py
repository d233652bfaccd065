"""Running any kind of network over videos: its state, several people, and export."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mviper.errors import ConfigError
from mviper.export import export_model, largest_difference
from mviper.inference import ClipRunner, ExportedModel
from mviper.models.estimators import ClipNetwork
from mviper.registry import MODELS


class Means(nn.Module):
    """A trivial encoder: features from the mean colours of 32 x 32 pixels."""

    feature_dim = 24

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, self.feature_dim)

    def forward(self, images):
        maps = self.linear(nn.functional.avg_pool2d(images, 32).flatten(2).transpose(1, 2))
        return maps.mean(1), maps


class SumNeck(nn.Module):
    """Sums the features over time; ``kind`` is the form of its state."""

    recurrent = True

    def __init__(self, kind: str, feature_dim: int, phi_dim: int) -> None:
        super().__init__()
        self.kind = kind

    def init_state(self, feature):
        zero = torch.zeros_like(feature)
        return {"tensor": zero, "tuple": (zero, (zero[:, :1],)), "people last": zero.T[:5]}[self.kind]

    def step(self, feature, map_, phi_previous, state):
        if self.kind == "people last":
            return feature, state
        total, count = state if self.kind == "tuple" else (state, None)
        total = 0.5 * total + feature
        return total, total if count is None else (total, (count[0] + 1,))


@pytest.fixture
def build():
    torch.manual_seed(0)
    for module in (Means, SumNeck):
        MODELS.register_module(module=module, force=True)

    def build(neck: dict | None = None, context: dict | None = None):
        kind = "Image" if neck is None else "Video"
        config = {"type": f"{kind}BodyModelEstimator", "backbone": {"type": "Means"}}
        config |= {"head": {"type": "IEFHead", "hidden": 16}, "body_model": {"type": "SMPL"}}
        config |= {"context": context} if context else {}
        model = MODELS.build({**config, **({"neck": neck} if neck else {})}).eval()
        nn.init.normal_(model.head.out.weight, std=0.1)
        return model

    yield build
    for module in (Means, SumNeck):
        MODELS.module_dict.pop(module.__name__)


@pytest.mark.parametrize(
    "neck",
    [
        None,
        {"type": "AttentionLSTM", "attention_hidden": 16},
        {"type": "SumNeck", "kind": "tensor"},
        {"type": "SumNeck", "kind": "tuple"},
    ],
)
@torch.no_grad()
def test_clip_by_clip_in_torch_and_exported_is_one_long_clip(build, neck, tmp_path):
    pytest.importorskip("onnxruntime")
    model = build(neck)
    exported = ExportedModel(export_model(model, tmp_path / "model.onnx", 64), model)
    assert largest_difference(model, exported, 64) < 1e-4
    clips = torch.randint(0, 256, (3, 6, 3, 64, 64), dtype=torch.uint8)
    wanted = model.regress(clips)
    for network in (model, exported):
        assert isinstance(network, ClipNetwork)
        first, memory = network.walk(clips[:, :4])
        assert (memory is None) == (neck is None)
        torch.testing.assert_close(
            torch.cat([first, network.walk(clips[:, 4:], memory)[0]], 1), wanted, atol=1e-4, rtol=0
        )
        # Each person separately, the third a clip later.
        runner, parts = ClipRunner(network), {0: [], 1: [], 2: []}
        for frames in ({0: (0, 4), 1: (0, 4)}, {0: (4, 6), 1: (4, 6), 2: (0, 2)}, {2: (2, 6)}):
            for person, phi in runner({person: clips[person, a:b] for person, (a, b) in frames.items()}).items():
                parts[person].append(phi)
        together = torch.stack([torch.cat(parts[person]) for person in parts])
        torch.testing.assert_close(together, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("ending", ["onnx", "xml"])
@torch.no_grad()
def test_frames_before_a_clip_are_an_exported_networks_memory_too(build, ending, tmp_path):
    pytest.importorskip({"onnx": "onnxruntime", "xml": "openvino"}[ending])
    context = dict(type="WindowMLP", window=5, hidden=16, blocks=1)
    model = build({"type": "AttentionLSTM", "attention_hidden": 16, "map_dim": 24}, context)
    exported = ExportedModel(export_model(model, tmp_path / f"model.{ending}", 64), model)
    assert largest_difference(model, exported, 64) < 1e-4
    clips, (memory, other) = torch.randint(0, 256, (4, 2, 1, 3, 64, 64), dtype=torch.uint8), (None, None)
    for clip in clips:  # shorter than the window
        phi, memory = model.walk(clip, memory)
        other_phi, other = exported.walk(clip, other)
        torch.testing.assert_close(other_phi, phi, atol=1e-4, rtol=0)
    with pytest.raises(ConfigError, match="WindowMLP: only models with a recurrent neck"):
        export_model(build(context=context), tmp_path / f"frame.{ending}", 64)


def test_a_state_with_the_people_last_is_refused(build):
    model = build({"type": "SumNeck", "kind": "people last"})
    with pytest.raises(ConfigError, match=r"state for 2 people has a tensor of shape \(5, 2\)"):
        ClipRunner(model)({person: torch.zeros(1, 3, 64, 64, dtype=torch.uint8) for person in (1, 2)})
