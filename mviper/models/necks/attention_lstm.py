"""The paper's recurrence: attention over the low-level map and an LSTM cell (eq. 11-17)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mviper.models.repeated_linear import repeated
from mviper.registry import MODELS


class AttentionLSTMState(NamedTuple):
    """State of the recurrence: ``hidden`` and ``cell``, both (B, H)."""

    hidden: Tensor
    cell: Tensor


class PreparedStep(NamedTuple):
    """The part of a step that depends only on its picture: ``gates`` (B, 4H) and ``keys`` (B, L, A)."""

    gates: Tensor
    keys: Tensor


class PreparedTrainingStep(NamedTuple):
    """The same in training, with the two linear layers that each step repeats (:func:`repeated`)."""

    gates: Tensor
    keys: Tensor
    of_context: Callable[[Tensor], Tensor]
    of_hidden: Callable[[Tensor], Tensor]


@MODELS.register_module()
class AttentionLSTM(BaseModule):
    """``h_t = Omega(E(I_t) (+) z_t (+) phi_{t-1})`` with z_t attended from the map (eq. 11-17).

    - eq. 16: ``e_i = w . tanh(W_a a_i + W_h h_{t-1})``, a one-hidden-layer MLP on the concatenation of map vector and
      state; eq. 11 leaves out ``W_h``.
    - eq. 12-13: ``alpha = softmax_i(e)``, ``z = sum_i alpha_i a_i``.
    - eq. 14-15: an LSTM cell of width H, in the paper that of E(I). The head sees h_t instead of the frame model's
      E(I); h_t of another width goes through a linear layer first.
    - ``(c_0, h_0) = I(E(I_1))``, I an MLP with two hidden ReLU layers.

    The cell's product with the concatenation is computed as the sum of its parts' products: that of E(I_t), like the
    map's part of the attention, does not depend on earlier steps and is computed for all steps at once
    (:meth:`prepare`).

    Args:
        feature_dim: D.
        hidden: Width H of state and cell; None for D.
        map_dim: Width of the map's vectors; None for D.
        residual: The head sees ``E(I_t) + W h_t``, W initialised to zero, so that the second stage starts with the
            frame model's predictions; the paper's head sees h_t alone, to which it must first adapt.
        norm_map: Normalise each vector of the map to mean 0 and variance 1, for encoders with large map values.
        phi_dim: Width of phi.
        attention_hidden: Width A of the attention's hidden layer.
        attention: Whether to attend at all; without, z_t is the map's mean.
        condition_on_state: Whether the attention sees h_{t-1} (eq. 16, the paper's choice) or not (eq. 11).
        init_hidden: Width of I's hidden layers; None for H.
        init_cfg: mmengine's.
    """

    recurrent = True

    def __init__(
        self,
        feature_dim: int = 2048,
        phi_dim: int = 157,
        attention_hidden: int = 512,
        attention: bool = True,
        condition_on_state: bool = True,
        init_hidden: int | None = None,
        hidden: int | None = None,
        map_dim: int | None = None,
        residual: bool = False,
        norm_map: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        width, map_dim = hidden or feature_dim, map_dim or feature_dim
        init_hidden = init_hidden or width
        conditioned = attention and condition_on_state
        self.attention_map: nn.Module = nn.Linear(map_dim, attention_hidden) if attention else nn.Identity()
        self.attention_state = nn.Linear(width, attention_hidden, bias=False) if conditioned else None
        self.attention_score = nn.Linear(attention_hidden, 1) if attention else None
        # Gates in torch's order: input, forget, cell, output.
        self.gates_feature = nn.Linear(feature_dim, 4 * width)
        self.gates_context = nn.Linear(map_dim + phi_dim, 4 * width, bias=False)
        self.gates_hidden = nn.Linear(width, 4 * width, bias=False)
        self.initial = nn.Sequential(
            nn.Linear(feature_dim, init_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(init_hidden, init_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(init_hidden, 2 * width),
        )
        self.norm_map = nn.LayerNorm(map_dim) if norm_map else nn.Identity()
        self.residual = residual
        self.output: nn.Module = nn.Identity()
        if residual or width != feature_dim:
            self.output = output = nn.Linear(width, feature_dim)
            if residual:
                nn.init.zeros_(output.weight)
                nn.init.zeros_(output.bias)
        for gates in (self.gates_feature, self.gates_context, self.gates_hidden):
            for parameter in gates.parameters():
                nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)  # as torch initialises an LSTM

    def init_state(self, feature: Tensor) -> AttentionLSTMState:
        """``(c_0, h_0) = I(E(I_1))``.

        Args:
            feature: (B, D), the first frame's.
        """
        start = self.initial(feature)
        start = start.to(torch.promote_types(start.dtype, torch.float32))  # full precision even under autocast
        cell, hidden = start.chunk(2, -1)
        return AttentionLSTMState(hidden, cell)

    def prepare(self, features: Tensor, maps: Tensor) -> list[PreparedStep | PreparedTrainingStep]:
        """Computes for all steps at once what depends only on the pictures.

        Args:
            features: (B, T, D).
            maps: (B, T, L, D_map).

        Returns:
            T items for :meth:`step`.
        """
        parts = zip(self.gates_feature(features).unbind(1), self.attention_map(self.norm_map(maps)).unbind(1))
        if not self.training:
            return [PreparedStep(*part) for part in parts]
        products = repeated(self.gates_context), repeated(self.gates_hidden)
        return [PreparedTrainingStep(*part, *products) for part in parts]

    def attend(self, map_: Tensor, keys: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 11-13, 16.

        Args:
            map_: (B, L, D_map), a_t.
            keys: (B, L, A), the map's part of the hidden layer.
            hidden: (B, H), h_{t-1}.

        Returns:
            z_t (B, D_map) and alpha_t (B, L).
        """
        if self.attention_score is None:
            return map_.mean(1), map_.new_full(map_.shape[:2], 1 / map_.shape[1])
        if self.attention_state is not None:
            keys = keys + self.attention_state(hidden)[:, None]
        alpha = self.attention_score(torch.tanh(keys)).squeeze(-1).softmax(-1)
        return torch.einsum("bl,bld->bd", alpha.to(map_.dtype), map_), alpha

    def step(
        self,
        feature: Tensor,
        map_: Tensor,
        phi_previous: Tensor,
        state: AttentionLSTMState,
        prepared: PreparedStep | PreparedTrainingStep | None = None,
    ) -> tuple[Tensor, AttentionLSTMState]:
        """One frame.

        Args:
            feature: (B, D), E(I_t).
            map_: (B, L, D_map), E(I_t)_low.
            phi_previous: (B, 157), phi_{t-1}.
            state: (h, c) of t-1.
            prepared: This step's item of :meth:`prepare`; None computes it.

        Returns:
            h_t for the head (B, D), and the state of t.
        """
        map_ = self.norm_map(map_)
        if prepared is None:
            prepared = PreparedStep(self.gates_feature(feature), self.attention_map(map_))
        context, _ = self.attend(map_, prepared.keys, state.hidden)
        context = torch.cat([context, phi_previous.to(context.dtype)], -1)
        of_context = getattr(prepared, "of_context", self.gates_context)
        of_hidden = getattr(prepared, "of_hidden", self.gates_hidden)
        gates = prepared.gates + of_context(context) + of_hidden(state.hidden)
        # The cell accumulates over time: keep the state's precision under autocast.
        enter, forget, candidate, leave = gates.to(state.cell.dtype).chunk(4, -1)
        cell = forget.sigmoid() * state.cell + enter.sigmoid() * candidate.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        seen = self.output(hidden)
        return feature + seen if self.residual else seen, AttentionLSTMState(hidden, cell)
