"""A GRU over the frames' features, as in VIBE (Kocabas et al., CVPR 2020)."""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional

from mviper.registry import MODELS


@MODELS.register_module()
class TemporalGRU(BaseModule):
    """``h_t = W relu(GRU(E(I_1), ..., E(I_t))) + E(I_t)``.

    Unlike MVIPER's neck, it uses neither the low-level map nor phi_{t-1}.

    The unidirectional form, VIBE's choice, is recurrent: its state (B, layers, hidden) starts at zero and is carried
    over frames like MVIPER's. The bidirectional form processes one window at a time.

    Args:
        feature_dim: D.
        phi_dim: Width of phi; not used.
        map_dim: Width of the maps' vectors; not used.
        hidden: Width of the GRU.
        layers: Number of layers.
        bidirectional: Adds a pass from the window's end to its beginning.
        residual: Adds E(I_t).
        init_cfg: See mmengine.
    """

    def __init__(
        self,
        feature_dim: int = 2048,
        phi_dim: int = 157,
        hidden: int = 1024,
        layers: int = 2,
        bidirectional: bool = False,
        residual: bool = True,
        map_dim: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.recurrent, self.residual = not bidirectional, residual
        self.gru = nn.GRU(feature_dim, hidden, layers, batch_first=True, bidirectional=bidirectional)
        self.linear = nn.Linear(hidden * (2 if bidirectional else 1), feature_dim)

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        """Processes a window.

        Args:
            features: (B, T, D).
            maps: (B, T, L, D); not used.

        Returns:
            (B, T, D).
        """
        features = features.to(self.linear.weight.dtype)
        return self._out(features, self.gru(features)[0])

    def init_state(self, feature: Tensor) -> Tensor:
        """Zeros.

        Args:
            feature: (B, D), the first frame's.
        """
        return self.linear.weight.new_zeros(feature.shape[0], self.gru.num_layers, self.gru.hidden_size)

    def step(self, feature: Tensor, map_: Tensor, phi_previous: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Processes one frame.

        Args:
            feature: (B, D).
            map_: (B, L, D); not used.
            phi_previous: (B, 157); not used.
            state: (B, layers, hidden).

        Returns:
            h_t (B, D), and the state at t.
        """
        feature = feature[:, None].to(self.linear.weight.dtype)  # full precision even under autocast
        hidden, state = self.gru(feature, state.transpose(0, 1).contiguous())
        return self._out(feature, hidden)[:, 0], state.transpose(0, 1)

    def _out(self, features: Tensor, hidden: Tensor) -> Tensor:
        out = self.linear(functional.relu(hidden))
        return out + features if self.residual else out
