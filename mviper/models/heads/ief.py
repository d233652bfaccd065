"""The regressor R: iterative error feedback."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional

from mviper.errors import ConfigError
from mviper.models.parameters import ROTATION_LAYOUTS, BodyParameters, default_phi, join_phi, phi_dim, split_phi
from mviper.models.repeated_linear import repeated
from mviper.registry import MODELS


@MODELS.register_module()
class IEFHead(BaseModule):
    """``phi_{i+1} = phi_i + MLP(feature, phi_i)``, from the mean phi of the data set (docs/equations.md).

    The MLP has two hidden layers with ReLU and dropout; its output is initialised near zero, so that an untrained head
    returns about its initial phi.

    Args:
        feature_dim: D.
        hidden: Width of the hidden layers.
        iterations: Steps of error feedback.
        dropout: Probability after each hidden layer.
        rotation_layout: Layout of phi's rotations, one of ``ROTATION_LAYOUTS``.
        activation: ``'relu'`` after each hidden layer, or ``'none'``, for weights of SPIN and MMHuman3D.
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
        rotation_layout: str = "interleaved",
        activation: str = "relu",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if activation not in ("relu", "none"):
            raise ConfigError(f"IEFHead: activation={activation!r}, expected 'relu' or 'none'")
        if rotation_layout not in ROTATION_LAYOUTS:
            raise ConfigError(f"IEFHead: rotation_layout={rotation_layout!r}, expected one of {ROTATION_LAYOUTS}")
        self.iterations, self.rotation_layout = iterations, rotation_layout
        self.activation = functional.relu if activation == "relu" else nn.Identity()
        self.phi_dim = phi_dim(num_betas)
        self.fc1 = nn.Linear(feature_dim + self.phi_dim, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, self.phi_dim)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.out.weight, gain=0.01)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("mean_phi", self._written(default_phi(num_betas)))

    def set_mean_phi(self, phi: Tensor) -> None:
        """Sets phi_0.

        Args:
            phi: (157,), columns interleaved, see ``mviper.models.heads.mean_phi``.
        """
        if phi.shape != self.mean_phi.shape or not torch.isfinite(phi).all():
            raise ValueError(f"mean phi: expected {tuple(self.mean_phi.shape)} finite numbers, got {tuple(phi.shape)}")
        self.mean_phi.copy_(self._written(phi))

    def parameters_of(self, phi: Tensor) -> BodyParameters:
        """Phi, taken apart.

        Args:
            phi: (..., 157), from :meth:`forward`.
        """
        return split_phi(phi, self.rotation_layout)

    def _written(self, phi: Tensor) -> Tensor:
        """Converts phi from interleaved columns to the head's layout."""
        return phi if self.rotation_layout == "interleaved" else join_phi(*split_phi(phi), self.rotation_layout)

    def forward(self, features: Tensor, initial: Tensor | None = None) -> Tensor:
        """Regresses phi.

        Args:
            features: (N, D).
            initial: (N, 157), start of the feedback; None for the mean.

        Returns:
            (N, 157); float32 even under autocast, since it is a sum of small steps.
        """
        phi = self.mean_phi.expand(features.shape[0], -1) if initial is None else initial
        fc1, fc2, out = repeated(self.fc1), repeated(self.fc2), repeated(self.out)
        for _ in range(self.iterations):
            hidden = self.dropout(self.activation(fc1(torch.cat([features, phi.to(features.dtype)], -1))))
            hidden = self.dropout(self.activation(fc2(hidden)))
            phi = phi + out(hidden).to(phi.dtype)
        return phi
