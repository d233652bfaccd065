"""How networks are walked through videos, whatever they are: recurrent or not, in torch or another runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from mviper.body import SMPL


class Memory(NamedTuple):
    """What a recurrence carries from frame to frame: the neck's ``state``, and ``phi`` (B, 157) of the last frame."""

    state: Any
    phi: Tensor


@runtime_checkable
class Walker(Protocol):
    """A network from pictures to phi that goes through videos clip by clip.

    The estimators are walkers, and so is :class:`mviper.inference.ExportedModel`. Clips of any length give what one
    clip of all their frames gives, as long as each call is handed the memory of the one before.

    Attributes:
        body_model: The body that phi poses.
    """

    body_model: SMPL

    def walk(self, clips: Tensor, memory: Any = None) -> tuple[Tensor, Any]:
        """Goes on with the next frames of B people.

        Args:
            clips: (B, T, 3, S, S) uint8 RGB, on any device.
            memory: What the call for the frames before returned; None starts anew.

        Returns:
            Phi (B, T, 157), and the memory after the last frame: tensors (B, ...) in tuples, or None where nothing
            depends on the clips before.
        """

    def decode(self, phi: Tensor) -> dict[str, Tensor]:
        """Phi (B, T, 157) as ``pred_*`` by name, see :meth:`BodyModelEstimator.decode`."""


def map_tensors(function: Callable[..., Any], *trees: Any) -> Any:
    """Applies a function to the tensors of tuples of tuples; such are memories and what necks prepare for a step.

    Args:
        function: Takes one tensor of each tree.
        *trees: All of one structure.

    Returns:
        The same structure, named tuples included, of what the function gives.
    """
    first = trees[0]
    if isinstance(first, Tensor):
        return function(*trees)
    parts = [map_tensors(function, *items) for items in zip(*trees, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
