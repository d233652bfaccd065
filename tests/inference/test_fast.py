"""Accelerated and exported networks give the results of the plain torch model (with the demo's small encoder)."""

from __future__ import annotations

import runpy
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mviper.config import load_config
from mviper.datasets.crop import crop_frame
from mviper.engine import write_checkpoint
from mviper.errors import ConfigError, FileFormatError, MissingDataError, MviperError
from mviper.export import export_model
from mviper.inference import ClipRunner, MeshRecoverer, load_model
from mviper.inference.exported import _shrink_recurrence
from mviper.inference.fast import fold_batch_norms
from mviper.registry import MODELS

CONFIG = "configs/demo/mviper.py"


@pytest.fixture(scope="module")
def crops(dancer):
    return torch.stack([torch.from_numpy(crop_frame(image, (288, 288, 560), 128)) for image in dancer]).permute(
        0, 3, 1, 2
    )


def joints_of(model, clips):
    """Joints [mm] of two people, the second of whom appears later, clip by clip."""
    runner = ClipRunner(model)
    steps = [{1: clips[:7]}, {1: clips[7:14], 2: clips[10:17]}, {2: clips[17:24]}, {1: clips[14:15]}]
    phi = torch.cat([part for step in steps for part in runner(step).values()])
    return 1e3 * model.decode(phi[None])["pred_keypoints3d"][0]


@pytest.fixture(scope="module")
def wanted(repository, checkpoint, crops):
    joints = joints_of(load_model(repository / CONFIG, checkpoint)[0], crops)
    assert joints[:14].std(0).mean() > 3  # [mm]: the body moves; otherwise the comparison would be trivial
    return joints


# The largest and the mean error given in docs/benchmarks.md [mm].
@pytest.mark.parametrize(("precision", "largest", "mean"), [("float32", 0.1, 0.01), ("bfloat16", 20, 3)])
def test_fast_is_the_plain_model(repository, checkpoint, crops, wanted, precision, largest, mean):
    error = (joints_of(load_model(repository / CONFIG, checkpoint, precision)[0], crops) - wanted).norm(dim=-1)
    assert error.max() < largest and error.mean() < mean


def test_a_convolution_that_is_used_beside_its_norm_is_not_folded(caplog):
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, images):
            maps = self.conv(images)
            return self.norm(maps) * 2, maps

    network = Beside().eval()
    nn.init.uniform_(network.norm.running_mean)
    folded = fold_batch_norms(network, torch.rand(1, 3, 8, 8))
    assert isinstance(folded.norm, nn.BatchNorm2d) and "cannot be folded" in caplog.text


def test_exported_networks_recover_what_torch_recovers(
    repository, checkpoint, crops, wanted, dancer, make_video, tmp_path, monkeypatch, capsys
):
    import openvino

    paths = [tmp_path / "mviper.onnx", tmp_path / "mviper.xml"]
    arguments = ["export_model.py", repository / CONFIG, checkpoint, "--out", *paths]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    runpy.run_path(str(repository / "tools/export_model.py"))["main"]()
    assert capsys.readouterr().out.count("of torch's") == 2
    video = make_video(dancer[:5])
    people = {}
    for path, precision, largest, mean in (
        (checkpoint, "float32", 0.1, 0.01), (paths[0], "float32", 0.1, 0.01), (paths[1], "bfloat16", 20, 3)
    ):  # fmt: skip
        recover = MeshRecoverer(repository / CONFIG, path, precision=precision, clip_length=4)
        error = (joints_of(recover.model, crops) - wanted).norm(dim=-1)
        assert error.max() < largest and error.mean() < mean
        (people[path.suffix],) = recover(video).people
    for suffix, largest in ((".onnx", 1e-4), (".xml", 0.05)):
        assert abs(people[suffix].rotmat - people[".pth"].rotmat).max() < largest
        assert abs(people[suffix].transl - people[".pth"].transl).max() < largest
    with pytest.raises(FileFormatError, match="inputs are images, fresh"):
        load_model(repository / "configs/demo/hmr.py", paths[0])

    # In bfloat16 the recurrent weights are int8, each within half a step of the exported value.
    graph = openvino.Core().read_model(paths[1])
    (loop,) = (node for node in graph.get_ops() if node.get_type_name() == "TensorIterator")
    products = [node for node in loop.get_function().get_ops() if node.get_type_name() == "MatMul"]
    exact = {node.friendly_name: node.input_value(1).get_node().get_data() for node in products}
    assert {"scan_/gates_hidden/MatMul", "scan_/head/fc1_2/Gemm/WithoutBiases"} <= exact.keys()
    _shrink_recurrence(graph)
    for product in products:
        scaled = product.input_value(1).get_node()
        integers, scale = scaled.input_value(0).get_node().input_value(0).get_node(), scaled.input_value(1).get_node()
        assert integers.get_data().dtype == np.int8
        error = abs(integers.get_data() * scale.get_data() - exact[product.friendly_name]) / scale.get_data()
        assert error.max() < 0.5001

    # A model that fails its check is not written, and an existing file is kept.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    monkeypatch.setattr(sys, "argv", [*sys.argv[:4], str(paths[0]), "--tolerance", "0"])
    with pytest.raises(MviperError, match="not written: its phi is off"):
        runpy.run_path(str(repository / "tools/export_model.py"))["main"]()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_hmrs_checkpoint_has_a_discriminator_that_is_not_loaded(repository, tmp_path, monkeypatch):
    config, path = repository / "configs/demo/hmr.py", tmp_path / "hmr.pth"
    model = MODELS.build(load_config(config).model).eval()
    assert any(name.startswith("losses.adversarial.discriminator.") for name in model.state_dict())
    nn.init.normal_(model.head.out.weight, std=0.01)
    write_checkpoint({"state_dict": model.state_dict(), "meta": {"iter": 7}, "optimizer": {}}, path)
    exported = [tmp_path / "hmr.onnx", tmp_path / "release.pth"]
    monkeypatch.setattr(sys, "argv", ["export_model.py", str(config), str(path), "--out", *map(str, exported)])
    runpy.run_path(str(repository / "tools/export_model.py"))["main"]()
    released = torch.load(exported[1], weights_only=True)
    assert released.keys() == {"state_dict", "meta"} and released["meta"] == {"iter": 7}
    assert not any(name.startswith("losses.") for name in released["state_dict"])
    assert {value.dtype for value in released["state_dict"].values()} <= {torch.float16, torch.int64, torch.uint8}
    clip = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    wanted = model.regress(clip[None])[0]
    for file in (path, *exported):
        network = MeshRecoverer(config, file, precision="float32").model
        close = 2e-2 if file == exported[1] else 1e-3  # half precision
        torch.testing.assert_close(ClipRunner(network)({1: clip})[1], wanted, atol=close, rtol=0)


def test_unsupported_exports_are_refused(repository, checkpoint, tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.onnx or \.xml"):
        export_model(nn.Identity(), tmp_path / "model.pt", 64)
    with pytest.raises(MissingDataError, match="no such exported model"):
        load_model(repository / CONFIG, tmp_path / "none.onnx")
    for name in ("bad.onnx", "bad.xml"):
        (tmp_path / name).write_text("no graph")
        with pytest.raises(FileFormatError, match="not a readable"):
            load_model(repository / CONFIG, tmp_path / name)
    with pytest.raises(ConfigError, match="onnxruntime computes in float32"):
        load_model(repository / CONFIG, tmp_path / "bad.onnx", "bfloat16")
    with pytest.raises(ConfigError, match="float32, bfloat16"):
        MeshRecoverer(repository / CONFIG, checkpoint, precision="int3")
