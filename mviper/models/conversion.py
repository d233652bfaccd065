"""Conversion of MMHuman3D's checkpoints of HMR and SPIN."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mviper.errors import FileFormatError
from mviper.models.parameters import CAMERA_DIM, ROTATION_DIM
from mviper.models.weights import some

#: Parts of phi in our order, with their linear layer and their mean in MMHuman3D's ``HMRHead``.
_PARTS = {"decpose": "init_pose", "decshape": "init_shape", "deccam": "init_cam"}


def from_mmhuman3d(weights: Mapping[str, Tensor], source: str | Path) -> dict[str, Tensor]:
    """Converts weights of MMHuman3D's ``ImageBodyModelEstimator`` (HMR, SPIN) to ours.

    Its ResNet uses the same names. Its head becomes our ``IEFHead(activation="none")``, with the three last layers and
    the three means concatenated in the order of phi; its camera is our ``Perspective``: see
    ``configs/hmr_mmhuman3d_r50.py``. Discriminator and body models (``disc.*``, ``body_model_*``) are left out; the
    betas are those of the licensed SMPL.

    Args:
        weights: ``backbone.*`` and ``head.*``.
        source: Where they come from, for error messages.

    Returns:
        The state dict of ``ImageBodyModelEstimator`` with a ``ResNetEncoder`` and an ``IEFHead``.

    Raises:
        FileFormatError: They are not of that model; names what is missing or has another shape.
    """
    wanted = [f"head.{layer}.{kind}" for layer in ("fc1", "fc2", *_PARTS) for kind in ("weight", "bias")]
    wanted += [f"head.{mean}" for mean in _PARTS.values()] + ["backbone.conv1.weight"]
    missing = [name for name in wanted if name not in weights]
    if missing:
        raise FileFormatError(source, f"not an HMR checkpoint of MMHuman3D: it lacks {some(missing)}")
    head = {name.removeprefix("head."): value for name, value in weights.items() if name.startswith("head.")}
    widths = [head[mean].numel() for mean in _PARTS.values()]
    if widths[0] != ROTATION_DIM or widths[2] != CAMERA_DIM:
        raise FileFormatError(
            source, f"its means have {widths} numbers, expected [{ROTATION_DIM}, betas, {CAMERA_DIM}]: not an SMPL body"
        )
    converted = {name: value.clone() for name, value in weights.items() if name.startswith("backbone.")}
    for layer in ("fc1", "fc2"):
        for kind in ("weight", "bias"):
            converted[f"head.{layer}.{kind}"] = head[f"{layer}.{kind}"].clone()
    for kind in ("weight", "bias"):
        converted[f"head.out.{kind}"] = torch.cat([head[f"{layer}.{kind}"] for layer in _PARTS])
    converted["head.mean_phi"] = torch.cat([head[mean].flatten().float() for mean in _PARTS.values()])
    return converted
