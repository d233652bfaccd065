"""A linear layer inside a loop over time, whose weight learns from all steps in one product.

Backpropagation through T steps makes T gradients of the weight and adds them up; for a weight of 8192 x 2048 and 16
people each of them is an outer product that costs what it costs to write 67 MB. The gradient of the sum is one product,
``sum_t g_t^T x_t = [g_1; ...; g_T]^T [x_1; ...; x_T]``, written once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class _Weight(torch.autograd.Function):
    """The weight in the precision of its uses; backward, after all of them, gives it their common gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, dtype: torch.dtype, uses: dict) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.dtype, ctx.uses = weight.dtype, uses
        return weight.view_as(weight) if dtype == weight.dtype else weight.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: None) -> tuple[Tensor, None, None]:
        inputs, gradients = zip(*ctx.uses.pop(torch._C._current_graph_task_id()))
        # In the weight's own precision: exacter, and cheaper than to write the gradient twice.
        return torch.cat(gradients).to(ctx.dtype).mT @ torch.cat(inputs).to(ctx.dtype), None, None


class _Use(torch.autograd.Function):
    """One product; backward notes its part of the weight's gradient, which :class:`_Weight` adds up.

    Notes are kept by backward pass, so that a pass that does not reach the weight leaves nothing to a later one.
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
    """A linear layer for the steps of one loop, in the precision of the autocast context where this is called.

    Outside training it is the layer itself.

    Args:
        layer: The layer.

    Returns:
        What computes the same as the layer, with the same gradients, but differentiable once only.
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
