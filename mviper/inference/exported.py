"""Networks exported by :mod:`mviper.export.network`, run by onnxruntime or OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.extras import import_extra, quiet
from mviper.inference.fast import check_precision


class ExportedModel:
    """An exported network with the body and camera of its original estimator.

    Args:
        path: The file.
        model: The estimator built from the config; only its body, camera and rotations are used, not its weights.
        precision: One of :data:`mviper.inference.fast.PRECISIONS`; onnxruntime computes in float32 only.

    Attributes:
        image_size: Side of the crops [px].

    Raises:
        MissingDataError: No such file.
        ConfigError: Unknown precision, or one that the runtime does not support.
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
        fits = {"images", "fresh", "phi"} <= set(shapes) if model.recurrent else set(shapes) == {"images"}
        width = shapes.get("phi", [model.head.phi_dim])[-1]
        if not fits or len(shapes["images"]) != 5 or width != model.head.phi_dim:
            raise FileFormatError(
                path,
                f"not an exported {type(model).__name__} of this config: its inputs are {', '.join(shapes)}",
                hint="Export it again: tools/export_model.py CONFIG CHECKPOINT --out FILE",
            )
        self.image_size = int(shapes["images"][-1])
        self._memory = [name for name in shapes if name not in ("images", "fresh")]

    def walk(self, clips: Tensor, memory: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        """See :class:`~mviper.models.estimators.ClipNetwork`."""
        feed = {"images": np.ascontiguousarray(clips.cpu().numpy())}
        if not self._memory:
            return torch.from_numpy(self._runtime(feed)["phi_sequence"]), None
        feed["fresh"] = np.full((len(clips), 1), memory is None)
        for index, name in enumerate(self._memory):
            empty = np.zeros((len(clips), *self._runtime.inputs[name][1:]), np.float32)
            feed[name] = empty if memory is None else memory[index].numpy()
        result = self._runtime(feed)
        phi = torch.from_numpy(result["phi_sequence"]).transpose(0, 1)
        return phi, tuple(torch.from_numpy(result[f"next_{name}"]) for name in self._memory)


class _ONNXRuntime:
    """A graph run by onnxruntime with torch's number of threads."""

    def __init__(self, path: Path) -> None:
        runtime = import_extra("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise FileFormatError(path, f"not a readable ONNX model: {error}") from error
        self.inputs = {item.name: item.shape for item in self._session.get_inputs()}
        self._outputs = [item.name for item in self._session.get_outputs()]

    def __call__(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(self._outputs, feed)))


class _OpenVINO:
    """A graph run by OpenVINO with torch's number of threads; in bfloat16, the recurrent weights are int8."""

    def __init__(self, path: Path, precision: str) -> None:
        openvino = import_extra("openvino")
        options = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",  # no quantised activations: more exact, and faster for few people
        }
        try:
            with quiet(2):  # silences messages about files that are not models
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
    """Quantises the recurrent matrices to int8, with one scale per output.

    Each step multiplies them by one vector per person, so it is limited by memory bandwidth. This costs less accuracy
    than bfloat16 in the encoder (``docs/benchmarks.md``). The encoder's weights are not quantised: they are read once
    per clip.

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
