"""Temporal necks, and ``WindowMLP``, a context before them.

A recurrent neck (``recurrent = True``) has ``init_state(feature) -> state`` and ``step(feature, map, phi_previous,
state) -> (h, state)``; a state is a tensor (B, ...) or a tuple of tensors. If the neck also has ``prepare(features,
maps)``, its items are passed to ``step`` as ``prepared``. Any other neck (``recurrent = False``) has ``forward(features
(B, T, D), maps (B, T, L, D)) -> (B, T, D)``.
"""

from mviper.models.necks.attention_lstm import AttentionLSTM, AttentionLSTMState
from mviper.models.necks.window import WindowMLP

__all__ = ["AttentionLSTM", "AttentionLSTMState", "WindowMLP"]
