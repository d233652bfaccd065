"""The paper's encoder: ResNet-50."""

from __future__ import annotations

from mmcv.cnn import ResNet
from torch import Tensor

from mviper.errors import ConfigError
from mviper.models.weights import load_pretrained, pretrained_source
from mviper.registry import MODELS


@MODELS.register_module()
class ResNetEncoder(ResNet):
    """ResNet v1.5 without its classifier, ``E(I)`` and ``E(I)_low`` of the paper.

    Parameters carry torchvision's names. The feature is stage 4 averaged over the picture, the low-level map is
    stage 4 itself.

    Args:
        depth: 18, 34, 50, 101 or 152.
        init_cfg: ImageNet weights with torchvision's keys (the classifier ``fc.*`` is left out), in mmengine's form
            ``dict(type='Pretrained', checkpoint='torchvision://resnet50')``: a torchvision name, a path or a URL, and
            ``prefix='backbone.'`` if the keys have one. Loaded by ``init_weights``, that is, when training starts.
            None: from scratch.
        norm_eval: Freeze BatchNorm's running statistics in training, for small batches of similar frames.
        frozen_stages: Freezes the stem and this many of the 4 stages; 0 freezes the stem alone, -1 nothing.

    Attributes:
        feature_dim: D, 2048 for depth 50.
    """

    def __init__(
        self,
        depth: int = 50,
        init_cfg: str | dict | None = None,
        norm_eval: bool = False,
        frozen_stages: int = -1,
    ) -> None:
        if depth not in self.arch_settings:
            raise ConfigError(f"ResNetEncoder: depth={depth!r}, expected one of {sorted(self.arch_settings)}")
        if not -1 <= frozen_stages <= 4:
            raise ConfigError(f"ResNetEncoder: frozen_stages={frozen_stages}, expected -1 to 4")
        super().__init__(depth, out_indices=(3,), bn_eval=norm_eval, frozen_stages=frozen_stages)
        self.train()  # freeze now, not at the first step: DDP registers trainable parameters when it wraps the model
        pretrained_source(type(self).__name__, init_cfg)  # a wrong one fails at once
        self.init_cfg = init_cfg
        self.feature_dim = self.feat_dim

    def init_weights(self) -> None:
        """Loads ``init_cfg``, or draws weights (He initialisation).

        Raises:
            MissingDataError: The weights are missing or cannot be downloaded.
            FileFormatError: They are not this network's.
        """
        super().init_weights()
        load_pretrained(self, self.init_cfg, "fc.")

    def train(self, mode: bool = True) -> ResNetEncoder:
        """Sets the mode; mmcv's returns None, which breaks ``model.eval()`` chains."""
        super().train(mode)
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes pictures.

        Args:
            images: (N, 3, H, W), normalised RGB.

        Returns:
            Features (N, D) and maps (N, L, D) with L = (H / 32) (W / 32).
        """
        maps = super().forward(images)
        maps = maps.permute(0, 2, 3, 1).flatten(1, 2)  # channels last: a view
        return maps.mean(1), maps
