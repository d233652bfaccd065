"""Networks for other runtimes: one graph from pictures to phi, written as ONNX or OpenVINO IR and run from there.

A video model's graph walks a clip of any length with ONNX' ``Scan`` and has its memory as inputs and outputs, so that a
video goes clip by clip:

========================  ===================  ==========================================================
input                     shape                meaning
========================  ===================  ==========================================================
``images``                (B, T, 3, S, S)      uint8 RGB crops; normalised inside
``fresh``                 (B, 1)               bool: this person's first clip; its memory is not looked at
``hidden``, ``cell``      (B, D)               the neck's state before the clip, by the names of its fields
``phi``                   (B, 157)             of the frame before the clip
========================  ===================  ==========================================================

Outputs are ``phi_sequence`` (T, B, 157) and the memory after the clip, ``next_<name>`` for each of its inputs. A model
without recurrence has ``images`` alone and gives ``phi_sequence`` (B, T, 157).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.extras import import_extra, quiet
from mviper.files import atomic_path
from mviper.inference.fast import check_precision

#: Endings of exported models.
EXPORTED_SUFFIXES = (".onnx", ".xml")
#: ONNX' operator set; both runtimes know it.
_OPSET = 17


def export_model(model: nn.Module, path: str | Path, image_size: int) -> Path:
    """Writes an estimator's network (not its body model) for another runtime.

    Args:
        model: The estimator with its weights, in evaluation mode.
        path: Ends in ``.onnx``, or in ``.xml`` for OpenVINO, which puts the weights beside it as ``.bin``.
        image_size: S, side of the crops [px].

    Returns:
        The path.

    Raises:
        ConfigError: Another ending, or a neck that is not recurrent.
        MissingDependencyError: ``onnx``, or for ``.xml`` ``openvino``, is not installed.
    """
    path = Path(path)
    if path.suffix not in EXPORTED_SUFFIXES:
        raise ConfigError(f"{path}: an exported model ends in {' or '.join(EXPORTED_SUFFIXES)}")
    openvino = import_extra("openvino") if path.suffix == ".xml" else None
    graph = to_onnx(model, image_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    if openvino is None:
        with atomic_path(path) as temporary:
            Path(temporary).write_bytes(graph)
    else:
        openvino.save_model(openvino.Core().read_model(graph), path, compress_to_fp16=False)
    return path


@torch.no_grad()
def to_onnx(model: nn.Module, image_size: int) -> bytes:
    """An estimator's network as an ONNX model; arguments as of :func:`export_model`."""
    onnx = import_extra("onnx")
    images = torch.zeros(2, 3, 3, image_size, image_size, dtype=torch.uint8)
    if not hasattr(model, "neck"):
        return _traced(onnx, model, lambda images: _frame_by_frame(model, images), {"images": images},
                       ["phi_sequence"]).SerializeToString()  # fmt: skip
    if not model.neck.recurrent:
        raise ConfigError(f"{type(model.neck).__name__}: only recurrent necks can be exported, and models without one")

    # What depends on the pictures alone, for the whole clip at once; then one step of the recurrence, scanned.
    neck, head = model.neck, model.head
    features, maps = _encoded(model, images)
    state, prepared = neck.init_state(features[:, 0]), _prepared(neck, features, maps, images)
    names = getattr(state, "_fields", tuple(f"state_{index}" for index in range(len(state))))
    memory = dict(zip(names, state)) | {"phi": head.mean_phi.expand(2, -1).clone()}
    items = {"features": features.transpose(0, 1), "maps": maps.transpose(0, 1)}
    items |= {f"prepared_{index}": part for index, part in enumerate(prepared or ())}

    def before(images: Tensor, fresh: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        features, maps = _encoded(model, images)
        start = (*neck.init_state(features[:, 0]), head.mean_phi[None])
        memory = tuple(torch.where(fresh, new, old) for new, old in zip(start, memory))
        items = features.transpose(0, 1), maps.transpose(0, 1), *(_prepared(neck, features, maps, images) or ())
        return *memory, *items

    def step(*inputs: Tensor) -> tuple[Tensor, ...]:
        *old, phi = inputs[: len(memory)]
        feature, map_, *parts = inputs[len(memory) :]
        options = {"prepared": type(prepared)(*parts)} if parts else {}
        hidden, new = neck.step(feature, map_, phi, type(state)(*old), **options)
        phi = head(hidden, phi if model.ief_start == "previous" else head.mean_phi.expand(hidden.shape[0], -1))
        return *new, phi, phi

    first = [f"first_{name}" for name in memory]
    fresh = torch.ones(2, 1, dtype=torch.bool)
    graph = _traced(onnx, model, before, {"images": images, "fresh": fresh, **memory}, [*first, *items])
    inputs = {f"step_{name}": value for name, value in memory.items()}
    inputs |= {f"step_{name}": value[0] for name, value in items.items()}
    outputs = [f"stepped_{name}" for name in (*memory, "output")]
    traced = _traced(onnx, model, step, inputs, outputs)
    used = {item.name for item in traced.graph.input}  # a neck that prepares need not look at its feature again
    scanned = [name for name in items if f"step_{name}" in used]
    body = onnx.compose.add_prefix(traced, "scan_").graph
    after = {f"next_{name}": ["B", value.shape[1]] for name, value in memory.items()}
    after["phi_sequence"] = ["T", "B", head.phi_dim]
    graph.graph.node.append(
        onnx.helper.make_node(
            "Scan", [*first, *scanned], list(after), name="walk", body=body, num_scan_inputs=len(scanned)
        )
    )
    del graph.graph.output[:]
    for name, shape in after.items():
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def _encoded(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The estimator's ``encode``; B and T are read one by one, or tracing would take them for constants."""
    features, maps = model.backbone(model.data_preprocessor.normalise(images.flatten(0, 1)))
    lead = images.shape[0], images.shape[1]
    return features.unflatten(0, lead), maps.unflatten(0, lead)


def _frame_by_frame(model: nn.Module, images: Tensor) -> Tensor:
    features, _ = model.backbone(model.data_preprocessor.normalise(images.flatten(0, 1)))
    phi = model.head(features, model.head.mean_phi.expand(features.shape[0], -1))
    return phi.unflatten(0, (images.shape[0], images.shape[1]))


def _prepared(neck: nn.Module, features: Tensor, maps: Tensor, images: Tensor) -> tuple[Tensor, ...] | None:
    """What a neck prepares for each step, (T, B, ...) each: that of one step of B T people, whatever T is."""
    if not hasattr(neck, "prepare"):
        return None
    (item,) = neck.prepare(features.flatten(0, 1)[:, None], maps.flatten(0, 1)[:, None])
    lead = images.shape[0], images.shape[1]
    return type(item)(*(part.unflatten(0, lead).transpose(0, 1) for part in item))


class _Traceable(nn.Module):
    """A function of a model's parts as a module, which is what torch exports."""

    def __init__(self, model: nn.Module, function: Callable) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.function(*inputs)


def _traced(onnx: ModuleType, model: nn.Module, function: Callable, inputs: dict[str, Tensor], outputs: list[str]):
    """A function of tensors as an ONNX model; of pictures B and T may vary, of anything else the first dimension."""
    clips = [name for name in (*inputs, *outputs) if name in ("images", "phi_sequence")]
    axes = {name: {0: "B"} for name in inputs} | {name: {0: "B", 1: "T"} for name in clips}
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shapes that do not vary are traced as numbers, as they should be
        torch.onnx.export(
            _Traceable(model, function).eval(), tuple(inputs.values()), content, input_names=list(inputs),
            output_names=outputs, dynamic_axes=axes, opset_version=_OPSET, dynamo=False,
        )  # fmt: skip
    return onnx.load_from_string(content.getvalue())


class ExportedModel:
    """An exported network with the body and camera of the estimator that it was made of.

    Args:
        path: The file.
        model: The estimator as its config builds it; only its body, camera and rotations are used, no weights.
        precision: One of :data:`mviper.inference.fast.PRECISIONS`; onnxruntime computes in float32 only.

    Attributes:
        image_size: Side of the crops [px].

    Raises:
        MissingDataError: No such file.
        ConfigError: Unknown precision, or one that the runtime does not compute in.
        FileFormatError: It is not an exported model of this kind of estimator.
        MissingDependencyError: Its runtime is not installed.
    """

    def __init__(self, path: str | Path, model: nn.Module, precision: str = "float32") -> None:
        path = Path(path)
        check_precision(precision)
        if not path.is_file():
            raise MissingDataError(f"{path}: no such exported model; tools/export_model.py makes one")
        self.decode, self.body_model = model.decode, model.body_model
        if path.suffix == ".xml":
            self._runtime = _OpenVINO(path, precision)
        elif precision == "float32":
            self._runtime = _ONNXRuntime(path)
        else:
            raise ConfigError(f"{path}: onnxruntime computes in float32; for {precision} export the model as .xml")
        shapes = self._runtime.inputs
        fits = {"images", "fresh", "phi"} <= set(shapes) if hasattr(model, "neck") else set(shapes) == {"images"}
        width = shapes.get("phi", [model.head.phi_dim])[-1]
        if not fits or len(shapes["images"]) != 5 or width != model.head.phi_dim:
            raise FileFormatError(
                path,
                f"not an exported {type(model).__name__} of this config: its inputs are {', '.join(shapes)}",
                hint="Export it anew: tools/export_model.py CONFIG CHECKPOINT --out FILE",
            )
        self.image_size = int(shapes["images"][-1])
        self._memory = [name for name in shapes if name not in ("images", "fresh")]

    def walk(self, clips: Tensor, memory: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        """Walks clips of equally many frames.

        Args:
            clips: (B, T, 3, S, S) uint8.
            memory: What an earlier call returned for the frames before; None starts anew.

        Returns:
            Phi (B, T, 157), and the memory after the last frame (None without recurrence).
        """
        feed = {"images": np.ascontiguousarray(clips.numpy())}
        if not self._memory:
            return torch.from_numpy(self._runtime(feed)["phi_sequence"]), None
        feed["fresh"] = np.full((len(clips), 1), memory is None)
        for index, name in enumerate(self._memory):
            empty = np.zeros((len(clips), self._runtime.inputs[name][-1]), np.float32)
            feed[name] = empty if memory is None else memory[index].numpy()
        result = self._runtime(feed)
        phi = torch.from_numpy(result["phi_sequence"]).transpose(0, 1)
        return phi, tuple(torch.from_numpy(result[f"next_{name}"]) for name in self._memory)


class _ONNXRuntime:
    """A graph run by onnxruntime, on as many threads as torch."""

    def __init__(self, path: Path) -> None:
        runtime = import_extra("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own classes, which share no base
            raise FileFormatError(path, f"not a readable ONNX model: {error}") from error
        self.inputs = {item.name: item.shape for item in self._session.get_inputs()}
        self._outputs = [item.name for item in self._session.get_outputs()]

    def __call__(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(self._outputs, feed)))


class _OpenVINO:
    """A graph run by OpenVINO, on as many threads as torch; in bfloat16 with a recurrence whose weights are int8."""

    def __init__(self, path: Path, precision: str) -> None:
        openvino = import_extra("openvino")
        options = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",  # activations stay as they are: exacter, and faster for few people
        }
        try:
            with quiet(2):  # what it says of files that are none of its kinds
                core = openvino.Core()
                graph = core.read_model(path)
                if precision == "bfloat16":
                    _shrink_recurrence(graph)
                self._compiled = core.compile_model(graph, "CPU", options)
        except RuntimeError as error:
            raise FileFormatError(path, f"not a readable OpenVINO model: {error}") from error
        self.inputs = {
            item.any_name: [side.get_length() if side.is_static else None for side in item.partial_shape]
            for item in self._compiled.inputs
        }
        self._outputs = [item.any_name for item in self._compiled.outputs]

    def __call__(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        result = self._compiled(feed)
        return {name: result[name] for name in self._outputs}


def _shrink_recurrence(graph: Any) -> None:
    """Rounds the matrices that each step of a recurrence reads to int8, with a scale for each output.

    A step multiplies them by one vector a person: it takes as long as they take to come from memory. It costs less
    accuracy than bfloat16 does in the encoder (``docs/recover.md``), whose weights stay: they are read once a clip.

    Args:
        graph: An ``openvino.Model``; changed in place.
    """
    operations = import_extra("openvino.opset13")
    for loop in graph.get_ops():
        if loop.get_type_name() != "TensorIterator":
            continue
        rounded: dict[str, Any] = {}  # the regressor's layers are used in each of its iterations
        for product in loop.get_function().get_ops():
            weights = product.input_value(1).get_node() if product.get_type_name() == "MatMul" else None
            if weights is None or weights.get_type_name() != "Constant":
                continue
            if weights.get_friendly_name() not in rounded:
                values = weights.get_data()
                inner = -1 if product.get_attributes()["transpose_b"] else -2
                scale = (np.abs(values).max(inner, keepdims=True) / 127).clip(min=np.finfo(np.float32).tiny)
                integers = operations.constant((values / scale).round().astype(np.int8))
                scaled = operations.multiply(operations.convert(integers, "f32"), operations.constant(scale))
                rounded[weights.get_friendly_name()] = scaled.output(0)
            product.input(1).replace_source_output(rounded[weights.get_friendly_name()])


@torch.no_grad()
def compare(exported: ExportedModel, model: nn.Module, image_size: int) -> float:
    """Walks two clips of two people with both.

    Args:
        exported: The exported network.
        model: The estimator that it was made of.
        image_size: S, side of the crops [px].

    Returns:
        The largest difference between their phi.
    """
    clips = torch.randint(0, 256, (2, 2, 5, 3, image_size, image_size), generator=torch.Generator().manual_seed(0))
    largest, memory, wanted_memory = 0.0, None, None
    for clip in clips.to(torch.uint8):
        phi, memory = exported.walk(clip, memory)
        if hasattr(model, "neck"):
            wanted, wanted_memory = model.unroll(*model.encode(clip), wanted_memory)
        else:
            wanted = model.regress(clip)
        largest = max(largest, float((phi - wanted).abs().max()))
    return largest
