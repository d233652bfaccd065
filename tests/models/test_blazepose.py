"""BlazePose's network in torch compared with the original interpreter; trainable stages, storage, refused input."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import mediapipe
import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from mediapipe.python import packet_creator, packet_getter
from mediapipe.python._framework_bindings import resource_util

from mviper.body import FITTED
from mviper.engine.checkpoints import load_state_dict
from mviper.errors import ConfigError, FileFormatError, MissingDataError, MissingDependencyError
from mviper.export import export_model
from mviper.graphics.video import read_video
from mviper.inference.exported import ExportedModel
from mviper.models.encoders import BlazePoseEncoder, landmark_vectors
from mviper.models.encoders.tflite import read_tflite

WHEEL = Path(mediapipe.__file__).parent
FULL = WHEEL / "modules/pose_landmark/pose_landmark_full.tflite"
#: MediaPipe's own calculators around its interpreter: image in, outputs 0 (landmarks) and 4 (3D) out.
GRAPH = """
input_stream: "image" output_stream: "points" output_stream: "world"
node { calculator: "TensorConverterCalculator" input_stream: "IMAGE:image" output_stream: "TENSORS:tensors" options {
  [mediapipe.TensorConverterCalculatorOptions.ext] { output_tensor_float_range { min: 0.0 max: 1.0 } } } }
node { calculator: "InferenceCalculator" input_stream: "TENSORS:tensors" output_stream: "TENSORS:results" options {
  [mediapipe.InferenceCalculatorOptions.ext] {
    model_path: "mediapipe/modules/pose_landmark/pose_landmark_full.tflite" delegate { xnnpack {} } } } }
node { calculator: "SplitTensorVectorCalculator" input_stream: "results" output_stream: "first" output_stream: "last"
  options { [mediapipe.SplitVectorCalculatorOptions.ext] { ranges { begin: 0 end: 1 } ranges { begin: 4 end: 5 } } } }
node { calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:first" output_stream: "FLOATS:points" }
node { calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:last" output_stream: "FLOATS:world" }
"""


@pytest.fixture(scope="module")
def pictures(repository):
    """Square crops of the example video and of matplotlib's photograph of a person, (N, 256, 256, 3) uint8."""
    frames = read_video(repository / "mviper" / "app" / "example.mp4")
    with get_sample_data("grace_hopper.jpg") as file:
        photograph = plt.imread(file)
    squares = []
    for image in (photograph, frames[0], frames[len(frames) // 2]):
        side = min(image.shape[:2])
        squares.append(cv2.resize(image[:side, -side:], (256, 256), interpolation=cv2.INTER_AREA))
    return np.stack(squares)


def scaled(pictures):
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def images(pictures):
    return scaled(pictures[:1])


@torch.no_grad()
def features(encoder, images):
    return encoder(images)[0]


def interpreted(pictures):
    """Outputs of MediaPipe's interpreter for images: (N, 39, 5) and (N, 39, 3)."""
    resource_util.set_resource_dir(str(WHEEL.parent))
    graph, found = mediapipe.CalculatorGraph(graph_config=GRAPH), {"points": [], "world": []}
    for name in found:
        graph.observe_output_stream(name, lambda name, packet: found[name].append(packet_getter.get_float_list(packet)))
    graph.start_run()
    for time, picture in enumerate(pictures):
        packet = packet_creator.create_image_frame(
            np.ascontiguousarray(picture), image_format=mediapipe.ImageFormat.SRGB
        )
        graph.add_packet_to_input_stream("image", packet.at(time))
    graph.close_all_packet_sources()
    graph.wait_until_done()
    return np.reshape(found["points"], (-1, 39, 5)), np.reshape(found["world"], (-1, 39, 3))


def test_landmarks_are_the_interpreters(pictures):
    encoder = BlazePoseEncoder()
    with torch.no_grad():
        points, world = (part.numpy() for part in encoder.detect(scaled(pictures)))
    true_points, true_world = interpreted(pictures)
    off = np.abs(points - true_points).max(), np.abs(world - true_world).max()
    print(f"off by {off[0]:.1e} px and {off[1]:.1e} m")
    assert off[0] < 1e-2 and off[1] < 1e-4
    assert np.ptp(true_points[:, :33, :2], axis=0).max() > 20  # the pictures differ


@pytest.mark.parametrize(
    ("maps", "cells", "width"), [("backbone_16", 256, 88), ("backbone_8", 64, 144), ("tower_8", 64, 288)]
)
def test_features_and_maps(images, maps, cells, width):
    encoder = BlazePoseEncoder(maps=maps)
    with torch.no_grad():
        found, map_ = encoder(images)
        points, _ = encoder.detect(images)
        reads = encoder.layers["321"]  # the convolution that reads the landmarks
        again = torch.nn.functional.conv2d(found.unflatten(1, (288, 2, 2)), reads.weight, reads.bias)
    assert (encoder.feature_dim, encoder.map_dim, encoder.num_stages, encoder.image_size) == (1152, width, 7, 256)
    assert found.shape == (1, 1152) and map_.shape == (1, cells, width)
    torch.testing.assert_close(again.reshape(1, 39, 5), points, atol=1e-3, rtol=1e-4)
    pooled = BlazePoseEncoder(maps=maps, map_size=4)
    side = int(cells**0.5)
    wanted = map_.reshape(1, 4, side // 4, 4, side // 4, width).mean((2, 4)).reshape(1, 16, width)
    torch.testing.assert_close(pooled(images)[1], wanted, atol=1e-5, rtol=1e-4)


def test_landmarks_can_be_features(images):
    encoder = BlazePoseEncoder(features="all")
    with torch.no_grad():
        found = encoder(images)[0]
        points, world = encoder.detect(images)
    assert encoder.feature_dim == found.shape[1] == 1464
    found = found[:, 1152:].reshape(1, 39, 8)
    torch.testing.assert_close((found[..., :2] + 1) * 128, points[..., :2])
    torch.testing.assert_close(found[..., 2] * 128, points[..., 2])
    torch.testing.assert_close(found[..., 3:5], points[..., 3:].sigmoid())
    torch.testing.assert_close(found[..., 5:], world)


def test_landmarks_alone_can_be_features_and_map(images):
    encoder = BlazePoseEncoder(features="landmarks", maps="landmarks", frozen_stages=7)
    with torch.no_grad():
        found, map_ = encoder(images)
        points, _ = encoder.detect(images)
    assert (encoder.feature_dim, encoder.map_dim) == (found.shape[1], map_.shape[2]) == (87, 3)
    torch.testing.assert_close(found, map_.flatten(1))
    torch.testing.assert_close((map_[..., :2] + 1) * 128, points[:, FITTED, :2])
    torch.testing.assert_close(map_[..., 2], points[:, FITTED, 3].sigmoid())
    torch.testing.assert_close(landmark_vectors(map_[..., :2], map_[..., 2]), map_)
    assert encoder.identity == BlazePoseEncoder(features="landmarks", maps="landmarks", frozen_stages=7).identity
    assert encoder.identity is not None and BlazePoseEncoder(features="all").identity is None


@pytest.mark.parametrize(("frozen", "stored"), [(-1, range(1, 8)), (0, range(1, 8)), (5, (6, 7)), (7, ())])
def test_unfrozen_layers_learn_and_are_stored(images, frozen, stored):
    encoder = BlazePoseEncoder(frozen_stages=frozen).train()
    before = {name: parameter.clone() for name, parameter in encoder.named_parameters()}
    found, maps = encoder(images)
    assert found.requires_grad == (frozen < 7)
    if found.requires_grad:
        (found.square().mean() + maps.square().mean()).backward()
        torch.optim.SGD(encoder.parameters(), lr=0.1).step()
    changed = {name for name, parameter in encoder.named_parameters() if not torch.equal(parameter, before[name])}
    stages = {encoder._stage_of[name.split(".")[1]] for name in changed}
    assert stages == set(stored)
    learning = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert set(encoder.state_dict()) == learning | {"source"}
    stem = {"layers.3.weight", "layers.3.bias"}
    assert (stem <= learning) == (frozen == -1) and changed <= learning and len(changed) >= 0.9 * len(learning)


def tuned(images):
    """An encoder whose last two stages were modified, and its features."""
    encoder = BlazePoseEncoder(frozen_stages=5)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1)
    return encoder, features(encoder, images)


def test_tuned_stages_are_stored_wherever_they_go(images, tmp_path):
    encoder, wanted = tuned(images)
    wheels = features(BlazePoseEncoder(), images)
    assert (wanted - wheels).abs().max() > 0.1
    path = tmp_path / "tuned.pth"
    torch.save(encoder.state_dict(), path)
    state = torch.load(path, weights_only=True)
    frozen = BlazePoseEncoder(frozen_stages=7)
    frozen.load_state_dict(state)
    assert set(frozen.state_dict()) == set(state)  # frozen later, but not the wheel's
    holder = torch.nn.ModuleDict({"backbone": BlazePoseEncoder(frozen_stages=7)})
    in_model = {f"backbone.{name}": value for name, value in frozen.state_dict().items()}
    assert load_state_dict(holder, in_model, path, strict=True) == []
    for model in (frozen, copy.deepcopy(frozen), holder["backbone"]):
        torch.testing.assert_close(features(model, images), wanted)
    # And back: if the file lacks the stages, the model's are reset to the wheel's.
    encoder.load_state_dict(BlazePoseEncoder(frozen_stages=7).state_dict())
    torch.testing.assert_close(features(encoder, images), wheels)
    # A wrong shape, or a name that is not a layer's, is refused.
    for name, value in (("layers.317.bias", torch.zeros(3)), ("layers.999.bias", torch.zeros(3))):
        with pytest.raises(ConfigError, match=name):
            load_state_dict(holder, {**in_model, f"backbone.{name}": value}, path, strict=True)


def test_weights_of_another_file_are_refused():
    encoder = BlazePoseEncoder(frozen_stages=7)
    state = encoder.state_dict()
    state["source"] = state["source"].roll(1)
    with pytest.raises(ConfigError, match=r"another file than .*pose_landmark_full\.tflite"):
        encoder.load_state_dict(state)
    with pytest.raises(RuntimeError, match="source"):
        encoder.load_state_dict({})


def test_a_file_of_the_users_own(tmp_path):
    path = tmp_path / "mine.tflite"
    path.write_bytes(FULL.read_bytes())
    encoder = BlazePoseEncoder("heavy", path)
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), BlazePoseEncoder().parameters(), strict=True))


def test_files_that_are_no_landmark_network_are_refused(tmp_path):
    whole = FULL.read_bytes()
    for name, content in (
        ("noise", np.random.default_rng(0).bytes(4096)),
        ("empty", b""),
        *((f"cut{size}", whole[:size]) for size in (16, 5000, 400_000, len(whole) // 2, len(whole) - 40_000)),
    ):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=f"{name}.tflite"):
            BlazePoseEncoder(path=path)
    for other in ("pose_detection/pose_detection", "face_landmark/face_landmark", "hand_landmark/hand_landmark_full"):
        with pytest.raises(FileFormatError, match=rf"{other}\.tflite"):
            BlazePoseEncoder(path=WHEEL / f"modules/{other}.tflite")
    with pytest.raises(MissingDataError, match=r"absent\.tflite"):
        read_tflite(tmp_path / "absent.tflite")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "lite"}, "variant='lite'"),
        ({"variant": "heavy"}, r"pose_landmark_heavy\.tflite.*npm pack @mediapipe/pose"),
        ({"maps": "tower_16"}, "maps='tower_16'.*tower_8"),
        ({"map_size": 3}, "map_size=3, expected a divisor of 8"),
        ({"frozen_stages": 8}, "frozen_stages=8, expected -1 to 7"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        BlazePoseEncoder(**options)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ConfigError, match=r"224 x 224 px.*256 x 256.*alignment='torso'"):
        BlazePoseEncoder()(torch.zeros(1, 3, 224, 224))


def test_without_mediapipe_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*requirements/inference\.txt"):
        BlazePoseEncoder()


ENCODER = {"type": "BlazePoseEncoder", "maps": "backbone_16", "map_size": 4, "frozen_stages": 7}


def test_estimator_takes_normalisation_and_widths_from_the_encoder(build, pictures, images):
    model = build("Video", backbone=ENCODER, neck={"type": "AttentionLSTM", "attention_hidden": 16, "hidden": 48})
    uint8 = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    torch.testing.assert_close(model.data_preprocessor.normalise(uint8[:1]), images)
    assert model.neck.attention_map.in_features == 88 and model.head.fc1.in_features == 1152 + 157
    with torch.no_grad():
        phi, memory = model.unroll(*model.encode(uint8[None]))
    assert phi.shape == (1, 3, 157) and memory.state.hidden.shape == (1, 48)
    stated = build("Image", backbone=ENCODER, data_preprocessor={"type": "BodyDataPreprocessor", "mean": [1.0] * 3})
    assert stated.data_preprocessor.mean.flatten().tolist() == [1, 1, 1]


@pytest.mark.parametrize(("kind", "suffix"), [("Image", ".onnx"), ("Video", ".xml")])
def test_exported_networks_give_what_torch_gives(build, pictures, tmp_path, kind, suffix):
    options = {"neck": {"type": "AttentionLSTM", "attention_hidden": 16, "hidden": 48}} if kind == "Video" else {}
    model = build(kind, backbone={**ENCODER, "features": "all"}, **options).eval()
    path = export_model(model, tmp_path / f"model{suffix}", 256)
    clips = torch.from_numpy(pictures).permute(0, 3, 1, 2)[None]
    with torch.no_grad():
        wanted = model.regress(clips)
    found, _ = ExportedModel(path, model).walk(clips)
    assert (found - wanted).abs().max() < 1e-4
