"""Each frame's feature in the light of the frames around it."""

from __future__ import annotations

import math

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mviper.registry import MODELS


@MODELS.register_module()
class WindowMLP(BaseModule):
    """Residual MLP over the features of a window of frames centred on each frame.

    At a clip's ends the first and the last frame are repeated. For small features, such as a detector's landmarks: all
    of a window's are concatenated. An estimator's ``context``, before the neck or head.

    Args:
        feature_dim: D of a frame.
        window: Number of frames, odd.
        hidden: Width of the blocks and of the result.
        blocks: Number of residual blocks of two layers.
        frequencies: The centre frame's features are also given as sine and cosine of ``pi 2^k`` times them, for k below
            this (Mildenhall et al., "NeRF", ECCV 2020): depth changes fast with a short limb's length in the picture.
        dropout: Probability between the layers of a block.
        init_cfg: mmengine's.

    Attributes:
        out_dim: Width of the result.
        reach: Number of frames before and after the centre.
    """

    def __init__(
        self, feature_dim: int, window: int = 9, hidden: int = 1024, blocks: int = 3, frequencies: int = 3,
        dropout: float = 0.1, init_cfg: dict | None = None,
    ) -> None:  # fmt: skip
        super().__init__(init_cfg)
        self.out_dim, self.reach = hidden, window // 2
        self.frequencies = math.pi * 2.0 ** torch.arange(frequencies)
        self.enter = nn.Linear((window + 2 * frequencies) * feature_dim, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(hidden),
                nn.Linear(hidden, hidden),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, hidden),
            )
            for _ in range(blocks)
        )
        self.leave = nn.LayerNorm(hidden)

    def forward(self, features: Tensor, maps: Tensor | None = None) -> Tensor:
        """Features with context.

        Args:
            features: (B, T, D), or (B, T + 2 reach, D) with frames around the clip, of which ``maps`` has none.
            maps: (B, T, ...); only its length is used. None: features are the clip's alone.

        Returns:
            (B, T, ``out_dim``).
        """
        if maps is None or features.shape[1] == maps.shape[1]:
            first, last = features[:, :1], features[:, -1:]
            features = torch.cat([first.expand(-1, self.reach, -1), features, last.expand(-1, self.reach, -1)], 1)
        frames = features.shape[1] - 2 * self.reach
        # As unfold would, which ONNX lacks: (B, T, D, window).
        window = torch.stack([features[:, at : at + frames] for at in range(2 * self.reach + 1)], -1)
        waves = window[..., self.reach, None] * self.frequencies.to(window)
        hidden = self.enter(torch.cat([part.flatten(2) for part in (window, waves.sin(), waves.cos())], -1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.leave(hidden)
