"""The regressor R: iterative error feedback."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional

from mviper.models.parameters import default_phi, phi_dim
from mviper.registry import MODELS


@MODELS.register_module()
class IEFHead(BaseModule):
    """``phi_{i+1} = phi_i + MLP(feature, phi_i)``, from the mean phi of the data set (EQUATIONS, frame model).

    The MLP has two hidden ReLU layers with dropout; its output starts near zero, so that an untrained head returns
    about the phi that it starts from.

    Args:
        feature_dim: D.
        hidden: Width of the hidden layers.
        iterations: Steps of error feedback.
        dropout: Probability after each hidden layer.
        num_betas: Shape coefficients in phi.
        init_cfg: mmengine's.

    Attributes:
        mean_phi: (157,) buffer; the upright rest pose until :meth:`set_mean_phi` (a hook calls it when training
            starts) or a checkpoint fills it.
        phi_dim: Width of phi.
    """

    def __init__(
        self,
        feature_dim: int = 2048,
        hidden: int = 1024,
        iterations: int = 3,
        dropout: float = 0.5,
        num_betas: int = 10,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.iterations = iterations
        self.phi_dim = phi_dim(num_betas)
        self.fc1 = nn.Linear(feature_dim + self.phi_dim, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, self.phi_dim)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.out.weight, gain=0.01)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("mean_phi", default_phi(num_betas))

    def set_mean_phi(self, phi: Tensor) -> None:
        """Sets phi_0.

        Args:
            phi: (157,), see ``mviper.models.heads.mean_phi``.
        """
        if phi.shape != self.mean_phi.shape or not torch.isfinite(phi).all():
            raise ValueError(f"mean phi: expected {tuple(self.mean_phi.shape)} finite numbers, got {tuple(phi.shape)}")
        self.mean_phi.copy_(phi)

    def forward(self, features: Tensor, initial: Tensor | None = None) -> Tensor:
        """Regresses phi.

        Args:
            features: (N, D).
            initial: (N, 157), where the feedback starts; None for the mean.

        Returns:
            (N, 157); float32 under autocast too, for it is a sum of small steps.
        """
        phi = self.mean_phi.expand(len(features), -1) if initial is None else initial
        for _ in range(self.iterations):
            hidden = self.dropout(functional.relu(self.fc1(torch.cat([features, phi.to(features.dtype)], -1))))
            hidden = self.dropout(functional.relu(self.fc2(hidden)))
            phi = phi + self.out(hidden).to(phi.dtype)
        return phi
