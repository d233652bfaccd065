"""A linear layer in a loop over time that computes its weight's gradient over all steps in one product.

Backpropagation through T steps computes T gradients of the weight and adds them up; for a weight of 8192 x 2048 and 16
people each is an outer product that costs as much as writing 67 MB. The total gradient is one product, ``sum_t g_t^T
x_t = [g_1; ...; g_T]^T [x_1; ...; x_T]``, written once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class _Weight(torch.autograd.Function):
    """The weight, cast to the precision of its uses; its backward runs last and returns their summed gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, dtype: torch.dtype, uses: dict) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.dtype, ctx.uses = weight.dtype, uses
        return weight.view_as(weight) if dtype == weight.dtype else weight.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: None) -> tuple[Tensor, None, None]:
        inputs, gradients = zip(*ctx.uses.pop(torch._C._current_graph_task_id()))
        # In the weight's own precision: more exact, and cheaper than writing the gradient twice.
        return torch.cat(gradients).to(ctx.dtype).mT @ torch.cat(inputs).to(ctx.dtype), None, None


class _Use(torch.autograd.Function):
    """One product; its backward records its part of the weight's gradient, which :class:`_Weight` adds up.

    Records are kept per backward pass, so that a pass that does not reach the weight leaves nothing for a later one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, uses: dict) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.uses = uses
        return functional.linear(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, weight = ctx.saved_tensors
        notes = ctx.uses.setdefault(torch._C._current_graph_task_id(), [])
        notes.append((x.flatten(0, -2), gradient.flatten(0, -2)))
        return gradient @ weight, None, None


def repeated(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    """A linear layer for the steps of one loop, in the precision of the current autocast context.

    Outside training this is the layer itself.

    Args:
        layer: The layer.

    Returns:
        A callable with the layer's output and gradients, but differentiable only once.
    """
    weight, bias = layer.weight, layer.bias
    if not (layer.training and torch.is_grad_enabled() and weight.requires_grad):
        return layer
    kind = weight.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    uses: dict = {}
    weight = _Weight.apply(weight, dtype, uses)

    def apply(x: Tensor) -> Tensor:
        with torch.autocast(kind, enabled=False):
            product = _Use.apply(x.to(dtype), weight, uses)
            return product if bias is None else product + bias.to(dtype)

    return apply
