"""Reads TensorFlow Lite's convolutional networks (``.tflite``) as torch modules, operation by operation."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mviper.errors import FileFormatError, MissingDataError
from mviper.extras import import_extra

#: Supported ``TensorType`` of constants.
_DTYPES = {0: np.float32, 1: np.float16, 2: np.int32}
#: ``ActivationFunctionType`` of operations with a fused activation.
_ACTIVATIONS: dict[int, Callable[[Tensor], Tensor]] = {
    0: lambda x: x,
    1: functional.relu_,
    3: partial(functional.relu6, inplace=True),
}


class Operation(NamedTuple):
    """One node of the graph.

    Attributes:
        number: Its index in the file.
        kind: TensorFlow Lite's name, e.g. ``"CONV_2D"``.
        inputs: Its input tensors, without constants.
        output: Its output tensor.
        shape: The output's shape, (N, H, W, C) as in TensorFlow.
        stride: Of a convolution or pooling, otherwise 1.
        module: The torch module that computes it.
    """

    number: int
    kind: str
    inputs: tuple[int, ...]
    output: int
    shape: tuple[int, ...]
    stride: int
    module: nn.Module


class Graph(NamedTuple):
    """A network, as read from its file.

    Attributes:
        operations: In order of execution.
        source: The input tensor (pictures).
        digest: SHA-256 of the file.
    """

    operations: list[Operation]
    source: int
    digest: bytes

    def leading_to(self, tensors: Iterable[int]) -> list[Operation]:
        """The operations that the given tensors depend on, in order."""
        wanted, kept = set(tensors), []
        for operation in reversed(self.operations):
            if operation.output in wanted:
                kept.append(operation)
                wanted.update(operation.inputs)
        return kept[::-1]


def run(operations: Iterable[Operation], source: int, images: Tensor, wanted: Iterable[int]) -> list[Tensor]:
    """Runs operations on pictures.

    Args:
        operations: In order; see :meth:`Graph.leading_to`.
        source: The graph's input.
        images: (N, C, H, W).
        wanted: Tensors to return.

    Returns:
        (N, C, H, W) each.
    """
    operations, wanted = list(operations), list(wanted)
    last_use = {tensor: index for index, operation in enumerate(operations) for tensor in operation.inputs}
    tensors = {source: images}
    for index, operation in enumerate(operations):
        tensors[operation.output] = operation.module(*(tensors[tensor] for tensor in operation.inputs))
        for tensor in set(operation.inputs):
            if last_use[tensor] == index and tensor not in wanted:
                del tensors[tensor]
    return [tensors[tensor] for tensor in wanted]


class _Convolution(nn.Module):
    """A convolution (depthwise with ``groups``) with TensorFlow's padding, and its activation."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        stride: int,
        padding: tuple[int, ...],
        groups: int,
        activation: int,
    ) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.stride, self.padding, self.groups, self.activation = stride, padding, groups, activation

    def forward(self, images: Tensor) -> Tensor:
        left, right, top, bottom = self.padding
        if (left, top) != (right, bottom):
            images, left, top = functional.pad(images, self.padding), 0, 0
        images = functional.conv2d(images, self.weight, self.bias, self.stride, (top, left), groups=self.groups)
        return _ACTIVATIONS[self.activation](images)


class _Sum(nn.Module):
    """Of two tensors, with its activation."""

    def __init__(self, activation: int) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return _ACTIVATIONS[self.activation](first + second)


def read_tflite(path: str | Path) -> Graph:
    """Reads a network of convolutions, sums, poolings, paddings and bilinear upsampling.

    Args:
        path: The ``.tflite``; weights in float32 or float16.

    Returns:
        The graph, without operations of other kinds and all that depends on them.

    Raises:
        MissingDependencyError: MediaPipe, whose wheel holds the format's schema, is not installed.
        MissingDataError: No such file.
        FileFormatError: It is not such a network, or damaged.
    """
    schema = import_extra("mediapipe.tasks.metadata.schema_py_generated")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise MissingDataError(f"{path}: cannot be read: {error.strerror}") from error
    if content[4:8] != b"TFL3":
        raise FileFormatError(path, "not a TensorFlow Lite model (its bytes 4 to 8 are not 'TFL3')")
    try:
        reader = _Reader(schema, content)
        operations = [operation for operation in map(reader.operation, range(reader.count)) if operation is not None]
        known = {reader.source}
        whole = []
        for operation in operations:
            if known.issuperset(operation.inputs):
                whole.append(operation)
                known.add(operation.output)
        return Graph(whole, reader.source, hashlib.sha256(content).digest())
    except (struct.error, IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FileFormatError(path, f"damaged, or not a convolutional network: {error!r}") from error


class _Reader:
    """Operations of the first subgraph of a flatbuffer."""

    def __init__(self, schema: ModuleType, content: bytes) -> None:
        self.schema = schema
        self.model = schema.Model.GetRootAs(content, 0)
        self.graph = self.model.Subgraphs(0)
        self.names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
        self.count = self.graph.OperatorsLength()
        self.source = int(self.graph.Inputs(0))
        self.halves: dict[int, np.ndarray] = {}  # float16 constants that the graph converts to float32
        self.borders: dict[int, tuple[int, tuple[int, ...]]] = {}  # of padded tensors: source, left, right, top, bottom

    def shape(self, tensor: int) -> tuple[int, ...]:
        described = self.graph.Tensors(tensor)
        return tuple(int(side) for side in described.ShapeAsNumpy()) if described.ShapeLength() else ()

    def constant(self, tensor: int) -> np.ndarray:
        if tensor in self.halves:
            return self.halves[tensor]
        described = self.graph.Tensors(tensor)
        buffer = self.model.Buffers(described.Buffer())
        if not buffer.DataLength():
            raise ValueError(f"tensor {tensor} is computed, where weights were expected")
        content = buffer.DataAsNumpy()
        return np.frombuffer(content.tobytes(), _DTYPES[described.Type()]).reshape(self.shape(tensor))

    def options(self, operator: Any, name: str) -> Any:
        table = operator.BuiltinOptions()
        options = getattr(self.schema, name)()
        options.Init(table.Bytes, table.Pos)
        return options

    def operation(self, number: int) -> Operation | None:
        operator = self.graph.Operators(number)
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        kind = self.names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs, output = [int(tensor) for tensor in operator.InputsAsNumpy()], int(operator.Outputs(0))
        if kind == "DEQUANTIZE":
            self.halves[output] = self.constant(inputs[0]).astype(np.float32)
            return None
        make = getattr(self, f"_{kind.lower()}", None)
        if make is None:
            return None
        used, module, stride = make(operator, inputs, output)
        return Operation(number, kind, tuple(inputs[:used]), output, self.shape(output), stride, module)

    def _conv_2d(self, operator: Any, inputs: list[int], output: int) -> tuple[int, nn.Module, int]:
        weight = self.constant(inputs[1]).transpose(0, 3, 1, 2)  # from (O, H, W, I)
        return self._convolution(self.options(operator, "Conv2DOptions"), weight, 1, inputs, output)

    def _depthwise_conv_2d(self, operator: Any, inputs: list[int], output: int) -> tuple[int, nn.Module, int]:
        weight = self.constant(inputs[1]).transpose(3, 0, 1, 2)  # from (1, H, W, O)
        options = self.options(operator, "DepthwiseConv2DOptions")
        return self._convolution(options, weight, len(weight), inputs, output)

    def _convolution(
        self, options: Any, weight: np.ndarray, groups: int, inputs: list[int], output: int
    ) -> tuple[int, nn.Module, int]:
        stride, activation = options.StrideH(), options.FusedActivationFunction()
        if activation not in _ACTIVATIONS or options.StrideW() != stride or options.DilationHFactor() != 1:
            raise ValueError(f"tensor {output}: unknown kind of convolution")
        padding: tuple[int, ...] = (0, 0, 0, 0)
        if options.Padding() == self.schema.Padding.SAME:
            (_, height, width, _), (rows, columns) = self.shape(inputs[0]), weight.shape[2:]
            padding = (*_same(width, columns, stride), *_same(height, rows, stride))
        if inputs[0] in self.borders:  # fuses the padding into the convolution
            inputs[0], border = self.borders[inputs[0]]
            padding = tuple(own + more for own, more in zip(padding, border))
        kernel, bias = (torch.from_numpy(np.array(part, np.float32)) for part in (weight, self.constant(inputs[2])))
        return 1, _Convolution(kernel, bias, stride, padding, groups, activation), stride

    def _add(self, operator: Any, inputs: list[int], output: int) -> tuple[int, nn.Module, int]:
        activation = self.options(operator, "AddOptions").FusedActivationFunction()
        if activation not in _ACTIVATIONS or len(inputs) != 2:
            raise ValueError(f"tensor {output}: unknown kind of sum")
        return 2, _Sum(activation), 1

    def _max_pool_2d(self, operator: Any, inputs: list[int], output: int) -> tuple[int, nn.Module, int]:
        options = self.options(operator, "Pool2DOptions")
        size, stride, (_, height, width, _) = options.FilterHeight(), options.StrideH(), self.shape(inputs[0])
        square = options.FilterWidth() == size and options.StrideW() == stride
        if not square or any(_same(height, size, stride) + _same(width, size, stride)):
            raise ValueError(f"tensor {output}: unknown kind of pooling")
        return 1, nn.MaxPool2d(size, stride), stride

    def _pad(self, operator: Any, inputs: list[int], output: int) -> tuple[int, nn.Module, int]:
        _, rows, columns, channels = self.constant(inputs[1]).tolist()
        if not any(channels):
            self.borders[output] = inputs[0], (*columns, *rows)
        return 1, nn.ConstantPad3d((*columns, *rows, *channels), 0.0), 1

    def _resize_bilinear(self, operator: Any, inputs: list[int], output: int) -> tuple[int, nn.Module, int]:
        options = self.options(operator, "ResizeBilinearOptions")
        if options.AlignCorners() or not options.HalfPixelCenters():
            raise ValueError(f"tensor {output}: unknown kind of upsampling")
        return 1, nn.Upsample(self.constant(inputs[1]).tolist(), mode="bilinear"), 1


def _same(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding: an odd pixel goes to the end."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2
