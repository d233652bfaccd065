"""An encoder trained on people: the landmark network of MediaPipe's BlazePose."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mviper.body import FITTED
from mviper.errors import ConfigError, FileFormatError
from mviper.extras import import_extra
from mviper.models.encoders.tflite import Graph, Operation, read_tflite, run
from mviper.registry import MODELS

#: Landmarks that the network predicts: 33 of the body, 2 that align the next frame's crop, 4 more.
NUM_LANDMARKS = 39
#: Downsampling steps in the backbone; the others are in the landmark tower.
_BACKBONE_STAGES = 5
#: x, y, visibility.
LANDMARK_WIDTH = 3
_MAPS = ("backbone_16", "backbone_8", "tower_8", "landmarks")
_FEATURES = ("tower", "all", "landmarks")


@MODELS.register_module()
class BlazePoseEncoder(nn.Module):
    """BlazePose's landmark network (Bazarevsky et al., CVPRW 2020), read from its ``.tflite`` (Apache-2.0).

    The feature is the 2 x 2 x 288 tensor from which the network predicts its landmarks, or the landmarks. The graph and
    its weights are read from the file when the encoder is built. Frozen stages are left out of checkpoints as long as
    they are identical to the file; tuned weights are stored, even if they are frozen later.

    Pictures are RGB in [0, 1], 256 x 256, cropped as in the network's training: ``CropClip(size=256,
    alignment='torso')``. An estimator's data preprocessor takes its mean and standard deviation from here unless the
    config sets them.

    Args:
        variant: ``'full'`` is in MediaPipe's wheel; ``'heavy'``, four times as large, must be provided by the user.
        path: The ``.tflite``; None: the wheel's.
        maps: The low-level map: ``'backbone_16'`` (16 x 16) or ``'backbone_8'`` (8 x 8), the backbone's last map of
            that resolution, or ``'tower_8'`` (8 x 8 x 288), the last map of that resolution before the landmarks; or
            ``'landmarks'``, a vector of :func:`landmark_vectors` for each landmark (29 x 3).
        map_size: Average-pools the map to this many cells a side; None: as it is.
        features: ``'tower'``: the tensor before the landmarks (1152 numbers). ``'all'``: this and the network's own 2D
            and 3D landmarks (312 numbers). ``'landmarks'``: only :func:`landmark_vectors` (87 numbers), which can
            also be simulated (``SimulatedLandmarks``) or taken from a detector.
        frozen_stages: Freezes the stem and this many stages; 0 freezes the stem alone, -1 nothing. A stage begins where
            a convolution halves the resolution: 7 in ``'full'``, 10 in ``'heavy'``.

    Attributes:
        feature_dim: D = 1152, 1464 or 87.
        map_dim: Width of the map.
        num_stages: Number of stages.
        image_size: Side of the pictures [px].

    Raises:
        MissingDependencyError: MediaPipe is not installed.
        MissingDataError: No such file.
        FileFormatError: It is not BlazePose's landmark network.
    """

    source: Tensor
    pixel_mean, pixel_std = (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)

    def __init__(
        self,
        variant: str = "full",
        path: str | Path | None = None,
        maps: str = "tower_8",
        map_size: int | None = None,
        features: str = "tower",
        frozen_stages: int = -1,
    ) -> None:
        super().__init__()
        if variant not in ("full", "heavy"):
            raise ConfigError(f"BlazePoseEncoder: variant={variant!r}, expected 'full' or 'heavy'")
        if path is None and variant == "heavy":
            raise ConfigError(
                "BlazePoseEncoder: variant='heavy' needs path, the file pose_landmark_heavy.tflite (27.7 MB); it is in "
                "the npm package @mediapipe/pose: npm pack @mediapipe/pose"
            )
        for name, value, choices in (("maps", maps, _MAPS), ("features", features, _FEATURES)):
            if value not in choices:
                raise ConfigError(f"BlazePoseEncoder: {name}={value!r}, expected one of {', '.join(choices)}")
        self.path = _wheel_file() if path is None else Path(path).expanduser()
        graph = read_tflite(self.path)
        self.maps, self.features = maps, features
        self._connect(graph, maps, map_size)
        if not -1 <= frozen_stages <= self.num_stages:
            raise ConfigError(f"BlazePoseEncoder: frozen_stages={frozen_stages}, expected -1 to {self.num_stages}")
        self._freeze(frozen_stages)
        self.register_buffer("source", torch.frombuffer(bytearray(graph.digest), dtype=torch.uint8))
        self.register_state_dict_post_hook(_leave_out_the_files)
        self.register_load_state_dict_pre_hook(_fill_in_the_files)

    def _connect(self, graph: Graph, maps: str, map_size: int | None) -> None:
        """Finds the output tensors and keeps the operations that lead to them."""
        by_shape = {operation.shape: operation for operation in graph.operations}
        shapes = [(1, 1, 1, NUM_LANDMARKS * width) for width in (5, 3)]
        heads = [by_shape[shape] for shape in shapes if shape in by_shape]
        source = next((op for op in graph.operations if graph.source in op.inputs), None)
        if len(heads) < 2 or source is None or heads[0].inputs != heads[1].inputs:
            raise FileFormatError(self.path, "not BlazePose's landmark network: it does not give 39 landmarks")
        self._input, self._features = graph.source, heads[0].inputs[0]
        self._heads = [head.output for head in heads]
        operations = graph.leading_to([self._features])
        stages, stage = {}, 0
        for operation in operations:
            stage += operation.kind.endswith("CONV_2D") and operation.stride > 1
            stages[operation.output] = stage
        self.num_stages = stage
        self.image_size = 2 * next(op.shape[1] for op in operations if op.stride == 2)
        self.map_size, self._map, self.map_dim = map_size or 1, self._features, LANDMARK_WIDTH
        if maps != "landmarks":
            self._map = _find_map(operations, stages, maps)
            _, side, _, self.map_dim = next(op.shape for op in operations if op.output == self._map)
            self.map_size = map_size or side
            if self.map_size < 1 or side % self.map_size:
                raise ConfigError(
                    f"BlazePoseEncoder: map_size={self.map_size}, expected a divisor of {side} for {maps}"
                )
        elif map_size is not None:
            raise ConfigError("BlazePoseEncoder: map_size is of maps of pictures, not of maps='landmarks'")
        tower = math.prod(next(op.shape for op in operations if op.output == self._features))
        self.feature_dim = {
            "tower": tower, "all": tower + 8 * NUM_LANDMARKS, "landmarks": len(FITTED) * LANDMARK_WIDTH
        }[self.features]  # fmt: skip
        self._operations = graph.leading_to([self._features, *self._heads])
        self.layers = nn.ModuleDict({str(op.number): op.module for op in self._operations})
        self._stage_of = {str(op.number): stages.get(op.output, self.num_stages) for op in self._operations}
        self._head_layers = {str(head.number) for head in heads}

    def _freeze(self, frozen_stages: int) -> None:
        stem = next(name for name, stage in self._stage_of.items() if stage == 1)
        #: Frozen parameters that are identical to the file.
        self._files: set[str] = set()
        for name, layer in self.layers.items():
            frozen = self._stage_of[name] <= frozen_stages or (frozen_stages == 0 and name == stem)
            if frozen or (name in self._head_layers and not self._wants_heads):  # unused: gets no gradient
                layer.requires_grad_(False)
                self._files |= {f"layers.{name}.{parameter}" for parameter, _ in layer.named_parameters()}

    @property
    def _wants_heads(self) -> bool:
        return self.features != "tower" or self.maps == "landmarks"

    def extra_repr(self) -> str:
        """Describes the encoder."""
        return f"{self.maps}, map_size={self.map_size}, features={self.features}"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes pictures.

        Args:
            images: (N, 3, 256, 256), RGB in [0, 1].

        Returns:
            Features (N, D) and maps (N, L, D_map).
        """
        wanted = self._heads if self._wants_heads else []
        features, maps, *heads = self._run(images, [self._features, self._map, *wanted])
        features = features.flatten(1)
        if heads:
            points, world = (head.flatten(1).unflatten(1, (NUM_LANDMARKS, -1)) for head in heads)
            half = self.image_size / 2
            places, seen = points[..., :2] / half - 1, points[..., 3:].sigmoid()
            vectors = landmark_vectors(places[:, FITTED], seen[:, FITTED, 0])
            if self.features == "all":
                parts = places, points[..., 2:3] / half, seen, world
                features = torch.cat([features, torch.cat(parts, -1).flatten(1)], 1)
            elif self.features == "landmarks":
                features = vectors.flatten(1)
            if self.maps == "landmarks":
                return features, vectors
        if self.map_size != maps.shape[-1]:
            maps = functional.avg_pool2d(maps, maps.shape[-1] // self.map_size)
        return features, maps.permute(0, 2, 3, 1).flatten(1, 2)

    @property
    def identity(self) -> str | None:
        """What stored features belong to, where that does not depend on weights: landmarks of the file's network."""
        landmarks_alone = self.features == self.maps == "landmarks" and self._files
        return f"landmarks of BlazePose {_hex(self.source)}" if landmarks_alone else None

    def detect(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The network's own landmarks.

        Args:
            images: (N, 3, 256, 256), RGB in [0, 1].

        Returns:
            x, y, z [px of the picture] with the logits of visibility and presence, (N, 39, 5); and x, y, z [m] relative
            to the middle of the hips, (N, 39, 3).
        """
        points, world = self._run(images, self._heads)
        return points.reshape(-1, NUM_LANDMARKS, 5), world.reshape(-1, NUM_LANDMARKS, 3)

    def _run(self, images: Tensor, wanted: list[int]) -> list[Tensor]:
        if images.shape[-2:] != (self.image_size, self.image_size):
            raise ConfigError(
                f"BlazePoseEncoder: pictures of {images.shape[-1]} x {images.shape[-2]} px; the network takes "
                f"{self.image_size} x {self.image_size}: CropClip(size={self.image_size}, alignment='torso')"
            )
        # Looked up by name, since a copy of this module has its own layers.
        operations = [operation._replace(module=self.layers[str(operation.number)]) for operation in self._operations]
        return run(operations, self._input, images, wanted)


def landmark_vectors(places: Tensor, visibility: Tensor) -> Tensor:
    """Landmarks as a network's input: their places in the picture alone, which can be simulated.

    Args:
        places: x, y in the crop, -1 to 1, of the landmarks in :data:`mviper.body.FITTED`, shape (..., K, 2).
        visibility: 0 to 1, shape (..., K).

    Returns:
        Shape (..., K, 3).
    """
    return torch.cat([places, visibility[..., None]], -1)


def _find_map(operations: list[Operation], stages: dict[int, int], maps: str) -> int:
    """The tensor that a name in ``_MAPS`` stands for."""
    part, side = maps.split("_")
    found = [operation for operation in operations if operation.shape[1:3] == (int(side), int(side))]
    if part == "backbone":
        stage = _BACKBONE_STAGES - (int(side) == 16)
        found = [operation for operation in found if operation.kind == "ADD" and stages[operation.output] == stage]
    return found[-1].output


def _wheel_file() -> Path:
    """The landmark network in MediaPipe's wheel."""
    return Path(import_extra("mediapipe").__path__[0]) / "modules/pose_landmark/pose_landmark_full.tflite"


def _leave_out_the_files(module: BlazePoseEncoder, state: dict, prefix: str, _: dict) -> None:
    """Leaves the file's weights out of a checkpoint."""
    for name in module._files:
        del state[prefix + name]


@torch.no_grad()
def _fill_in_the_files(module: BlazePoseEncoder, state: dict, prefix: str, *_: object) -> None:
    """Takes weights that a checkpoint leaves out from the file; those that it holds are stored from now on."""
    source = state.get(f"{prefix}source")
    if source is None:
        return  # another encoder's weights, or none: missing keys are reported
    if not torch.equal(source.to(module.source.device), module.source):
        raise ConfigError(
            f"the weights were trained from another file than {module.path} (SHA-256 {_hex(source)}, this one's is "
            f"{_hex(module.source)}): another variant of BlazePose, or another version of MediaPipe"
        )
    weights = None
    for name, parameter in module.named_parameters():
        if prefix + name in state:
            module._files.discard(name)
        elif name in module._files:
            state[prefix + name] = parameter
        else:
            weights = weights or _weights_of(read_tflite(module.path))
            state[prefix + name] = weights[name]


def _weights_of(graph: Graph) -> dict[str, Tensor]:
    return {
        f"layers.{operation.number}.{name}": parameter
        for operation in graph.operations
        for name, parameter in operation.module.named_parameters()
    }


def _hex(digest: Tensor) -> str:
    return bytes(digest.tolist()).hex()[:12]
