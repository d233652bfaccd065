"""Fast execution of a trained network: norms folded into convolutions, channels last, bfloat16.

The effect on results is measured by ``tests/inference/test_fast.py`` and given in ``docs/benchmarks.md``.
"""

from __future__ import annotations

import copy
import logging

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from mviper.errors import ConfigError

_LOGGER = logging.getLogger(__name__)

#: Supported precisions.
PRECISIONS = ("float32", "bfloat16")
#: Maximum difference between a folded encoder's features and the original's, relative to the largest feature.
_FOLDED_WITHIN = 1e-3


def accelerate(model: nn.Module, precision: str = "float32", device: str = "auto") -> nn.Module:
    """Optimises a model for prediction; it can no longer be trained.

    In any precision, sums over time and over the regressor's steps stay in float32, as do the body and its joints.

    Args:
        model: An estimator, in evaluation mode; changed in place.
        precision: ``"float32"`` or ``"bfloat16"``, which is faster on hardware that supports it (AVX512-bf16, AMX,
            CUDA) and moves joints by millimetres (``docs/benchmarks.md``).
        device: Torch device of the network; ``"auto"``: CUDA if available, else the CPU. The body stays on the CPU.

    Returns:
        The model.

    Raises:
        ConfigError: No such precision.
    """
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    check_precision(precision)
    example = torch.rand(1, 3, 96, 96) * 255 - 128
    model.backbone = fold_batch_norms(model.backbone, example)
    for part in ("backbone", "context", "neck", "head", "data_preprocessor"):
        if isinstance(getattr(model, part, None), nn.Module):
            getattr(model, part).to(device)
    model.backbone.to(memory_format=torch.channels_last)
    if precision == "bfloat16":
        if getattr(model.backbone, "identity", None) is None:  # the tracker finds the landmarks that others read
            model.backbone = _InBfloat16(model.backbone)
        for part in ("context", "neck", "head"):
            if getattr(model, part, None) is not None:
                _halve_linears(getattr(model, part))
    return model.requires_grad_(False)


def check_precision(precision: str) -> None:
    """Raises a ``ConfigError`` unless ``precision`` is one of :data:`PRECISIONS`."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision={precision!r}, expected one of {', '.join(PRECISIONS)}")


@torch.no_grad()
def fold_batch_norms(network: nn.Module, example: Tensor) -> nn.Module:
    """Folds every BatchNorm that follows a convolution into the convolution's weights.

    One run shows which norm follows which convolution, independent of module names.

    Args:
        network: In evaluation mode; not modified.
        example: An example input, e.g. (1, 3, 96, 96).

    Returns:
        A copy with the norms folded; an unfolded copy if folding would change the output (a convolution whose result is
        also used without its norm).
    """
    folded = copy.deepcopy(network)
    if not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules()):
        return folded
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # keeps the tensors alive: ids are unique only among live objects
    pairs: list[tuple[nn.Conv2d, str]] = []

    def remember(conv: nn.Conv2d, _: tuple, output: Tensor) -> None:
        made[id(output)] = conv, output

    def look_up(name: str, inputs: tuple) -> None:
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], name))

    hooks = []
    for name, module in folded.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(remember))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(lambda _, inputs, name=name: look_up(name, inputs)))
    wanted = folded(example)
    for hook in hooks:
        hook.remove()
    for conv, name in pairs:
        norm = folded.get_submodule(name)
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        parent, _, child = name.rpartition(".")
        setattr(folded.get_submodule(parent), child, nn.Identity())
    for before, after in zip(wanted, folded(example)):
        if (before - after).abs().max() > _FOLDED_WITHIN * before.abs().max():
            _LOGGER.warning("%s: its norms cannot be folded into its convolutions", type(network).__name__)
            return copy.deepcopy(network)
    return folded


class _InBfloat16(nn.Module):
    """An encoder that computes in bfloat16; inputs and outputs are float32."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.feature_dim = encoder.to(torch.bfloat16), encoder.feature_dim

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, maps = self.encoder(images.to(torch.bfloat16))
        return features.float(), maps.float()


class _HalfLinear(nn.Module):
    """A linear layer with bfloat16 weights, which halves the memory traffic per recurrent step; float32 in and out.

    ``nn.Linear`` under autocast would convert its weights at each call.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.to(torch.bfloat16), requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.float(), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        product = functional.linear(inputs.to(torch.bfloat16), self.weight).float()
        return product if self.bias is None else product + self.bias


def _halve_linears(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, _HalfLinear(child))
        else:
            _halve_linears(child)
