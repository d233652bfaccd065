"""Networks for other runtimes: one graph from pictures to phi, written as ONNX or OpenVINO IR.

A video model's graph runs over a clip of any length with ONNX' ``Scan`` and has its memory as inputs and outputs, so
that a video is processed clip by clip:

========================  ===================  ==========================================================
input                     shape                meaning
========================  ===================  ==========================================================
``images``                (B, T, 3, S, S)      uint8 RGB crops; normalised inside
``fresh``                 (B, 1)               bool: this person's first clip; its state is ignored
``hidden``, ``cell``      (B, D)               the neck's state before the clip, by the names of its fields
``phi``                   (B, 157)             of the frame before the clip
``past``                  (B, R, D)            with a ``context`` only: the encoder's features of the R frames before
========================  ===================  ==========================================================

Outputs are ``phi_sequence`` (T, B, 157) and the memory after the clip, ``next_<name>`` for each of its inputs. A model
without recurrence has only ``images`` and returns ``phi_sequence`` (B, T, 157).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from mviper.errors import ConfigError
from mviper.extras import import_extra
from mviper.files import atomic_path
from mviper.models.estimators import ClipNetwork, map_tensors

#: Endings of exported networks.
NETWORK_SUFFIXES = (".onnx", ".xml")
#: ONNX' operator set, supported by both runtimes.
_OPSET = 17


def export_model(model: nn.Module, path: str | Path, image_size: int) -> Path:
    """Writes an estimator's network (not its body model) for another runtime.

    Args:
        model: The estimator with its weights, in evaluation mode.
        path: Ends in ``.onnx``, or in ``.xml`` for OpenVINO, whose weights are written next to it as ``.bin``.
        image_size: S, side of the crops [px].

    Returns:
        The path.

    Raises:
        ConfigError: Unsupported ending, a neck that is not recurrent, or a context without a recurrent neck.
        MissingDependencyError: ``onnx``, or for ``.xml`` ``openvino``, is not installed.
    """
    path = Path(path)
    if path.suffix not in NETWORK_SUFFIXES:
        raise ConfigError(f"{path}: the name of an exported model must end in {' or '.join(NETWORK_SUFFIXES)}")
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
    """An estimator's network as an ONNX model; arguments as for :func:`export_model`."""
    onnx = import_extra("onnx")
    images = torch.zeros(2, 3, 3, image_size, image_size, dtype=torch.uint8)
    if not model.recurrent:
        if hasattr(model, "neck") or model.context:
            raise ConfigError(
                f"{type(getattr(model, 'neck', model.context)).__name__}: only models with a recurrent neck, or with "
                "neither neck nor context, can be exported"
            )
        return _traced(onnx, model, lambda images: model.walk(images)[0], {"images": images},
                       ["phi_sequence"]).SerializeToString()  # fmt: skip

    # First what depends only on the pictures, for the whole clip at once; then a scan over the recurrence.
    features, maps = model.encode(images)
    past = {"past": features[:, :1].repeat(1, model.context.reach, 1)} if model.context else {}
    features, _ = model.in_context(features, maps)
    start, prepared = model.start(features[:, 0]), _prepared(model.neck, features, maps)
    memory = {name: value.clone() for name, value in zip(_names(start.state), _flat(start))}
    items = {"features": features.transpose(0, 1), "maps": maps.transpose(0, 1)}
    items |= {f"prepared_{index}": part for index, part in enumerate(_flat(prepared))}

    def before(images: Tensor, fresh: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        memory, old_past = inputs[: len(inputs) - len(past)], inputs[len(inputs) - len(past) :]
        features, maps = model.encode(images)
        for seen in old_past:  # at a video's start the first frame stands for those before it
            seen = torch.where(fresh[..., None], features[:, :1].expand_as(seen), seen)
            features, *new_past = model.in_context(features, maps, seen)
        news = _flat(model.start(features[:, 0]))
        # fresh is (B, 1); a state may have more dimensions.
        memory = [torch.where(fresh[(..., *[None] * (old.dim() - 2))], new, old) for new, old in zip(news, memory)]
        parts = _flat(_prepared(model.neck, features, maps))
        return *memory, features.transpose(0, 1), maps.transpose(0, 1), *parts, *(new_past if past else ())

    def step(*inputs: Tensor) -> tuple[Tensor, ...]:
        old, (feature, map_, *parts) = inputs[: len(memory)], inputs[len(memory) :]
        item = _like(prepared, parts) if parts else None
        after = model.step(feature, map_, _like(start, old), item)
        return *_flat(after), after.phi

    first = [f"first_{name}" for name in memory]
    fresh = torch.ones(2, 1, dtype=torch.bool)
    news = [f"next_{name}" for name in past]
    inputs = {"images": images, "fresh": fresh, **memory, **past}
    graph = _traced(onnx, model, before, inputs, [*first, *items, *news])
    inputs = {f"step_{name}": value for name, value in memory.items()}
    inputs |= {f"step_{name}": value[0] for name, value in items.items()}
    outputs = [f"stepped_{name}" for name in (*memory, "output")]
    traced = _traced(onnx, model, step, inputs, outputs)
    # Tracing drops a step's unused inputs: the feature of a neck that prepares, the phi of one that ignores it.
    used = {item.name for item in traced.graph.input}
    scanned = [name for name in items if f"step_{name}" in used]
    for place, (name, value) in enumerate(memory.items()):
        if f"step_{name}" not in used:
            shape = ["B", *value.shape[1:]]
            unused = onnx.helper.make_tensor_value_info(f"step_{name}", onnx.TensorProto.FLOAT, shape)
            traced.graph.input.insert(place, unused)
    body = onnx.compose.add_prefix(traced, "scan_").graph
    after = {f"next_{name}": ["B", *value.shape[1:]] for name, value in memory.items()}
    past_after = {name: ["B", *value.shape[1:]] for name, value in zip(news, past.values())}
    after["phi_sequence"] = ["T", "B", start.phi.shape[1]]
    graph.graph.node.append(
        onnx.helper.make_node(
            "Scan", [*first, *scanned], list(after), name="walk", body=body, num_scan_inputs=len(scanned)
        )
    )
    del graph.graph.output[:]
    for name, shape in {**after, **past_after}.items():
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def _prepared(neck: nn.Module, features: Tensor, maps: Tensor) -> Any:
    """A neck's prepared steps, (T, B, ...) each, computed as one step of B T people for any T."""
    if not hasattr(neck, "prepare"):
        return ()
    (item,) = neck.prepare(features.flatten(0, 1)[:, None], maps.flatten(0, 1)[:, None])
    lead = features.shape[0], features.shape[1]
    return map_tensors(lambda part: part.reshape(*lead, *part.shape[1:]).transpose(0, 1), item)


def _names(state: Any) -> list[str]:
    """Names of a memory's tensors: the state's field names, if all have one, and phi."""
    count = len(_flat(state))
    names = getattr(state, "_fields", ())
    return [*(names if len(names) == count else [f"state_{index}" for index in range(count)]), "phi"]


def _flat(tree: Any) -> list[Tensor]:
    tensors: list[Tensor] = []
    map_tensors(tensors.append, tree)
    return tensors


def _like(tree: Any, tensors: Iterable[Tensor]) -> Any:
    """The inverse of :func:`_flat`."""
    remaining = iter(tensors)
    return map_tensors(lambda _: next(remaining), tree)


class _Traceable(nn.Module):
    """Wraps a function of a model's parts as a module, as torch's exporter needs."""

    def __init__(self, model: nn.Module, function: Callable) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.function(*inputs)


def _traced(onnx: ModuleType, model: nn.Module, function: Callable, inputs: dict[str, Tensor], outputs: list[str]):
    """A function of tensors as an ONNX model; dynamic are B and T of pictures, otherwise the first dimension."""
    clips = [name for name in (*inputs, *outputs) if name in ("images", "phi_sequence")]
    axes = {name: {0: "B"} for name in inputs} | {name: {0: "B", 1: "T"} for name in clips}
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fixed shapes are traced as constants, as intended
        torch.onnx.export(
            _Traceable(model, function).eval(), tuple(inputs.values()), content, input_names=list(inputs),
            output_names=outputs, dynamic_axes=axes, opset_version=_OPSET, dynamo=False,
        )  # fmt: skip
    return onnx.load_from_string(content.getvalue())


@torch.no_grad()
def largest_difference(one: ClipNetwork, other: ClipNetwork, image_size: int) -> float:
    """Runs two networks on two clips of three people.

    Args:
        one: A network.
        other: A network that should be equivalent.
        image_size: S, side of the crops [px].

    Returns:
        The largest difference between their phi.
    """
    # Numbers of people and frames differ from those traced.
    clips = torch.randint(0, 256, (2, 3, 5, 3, image_size, image_size), generator=torch.Generator().manual_seed(0))
    largest, memory, other_memory = 0.0, None, None
    for clip in clips.to(torch.uint8):
        phi, memory = one.walk(clip, memory)
        other_phi, other_memory = other.walk(clip, other_memory)
        largest = max(largest, float((phi.cpu() - other_phi.cpu()).abs().max()))
    return largest
