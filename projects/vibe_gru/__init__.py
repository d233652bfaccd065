"""VIBE's temporal encoder as a neck from outside the package: importing this registers it."""

from projects.vibe_gru.temporal_gru import TemporalGRU

__all__ = ["TemporalGRU"]
