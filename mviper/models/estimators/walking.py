"""The interface for running a network through a video: recurrent or not, in torch or another runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from mviper.body import SMPL


class Memory(NamedTuple):
    """State of the recurrence between frames: the neck's ``state``, and ``phi`` (B, 157) of the last frame."""

    state: Any
    phi: Tensor


@runtime_checkable
class ClipNetwork(Protocol):
    """A network from pictures to phi that processes videos clip by clip.

    The estimators do so, and :class:`mviper.inference.ExportedModel`. The result does not depend on how a video is cut
    into clips, as long as each call gets the memory of the call before.

    Attributes:
        body_model: The body that phi poses.
    """

    body_model: SMPL

    def walk(self, clips: Tensor, memory: Any = None) -> tuple[Tensor, Any]:
        """Processes the next frames of B people.

        Args:
            clips: (B, T, 3, S, S) uint8 RGB, on any device.
            memory: Returned by the call for the preceding frames; None starts a video.

        Returns:
            Phi (B, T, 157), and the memory after the last frame: tensors (B, ...) in tuples, or None if nothing depends
            on earlier clips.
        """

    def decode(self, phi: Tensor) -> dict[str, Tensor]:
        """Phi (B, T, 157) as ``pred_*`` by name, see :meth:`BodyModelEstimator.decode`."""


def map_tensors(function: Callable[..., Any], *trees: Any) -> Any:
    """Maps a function over the tensors of nested tuples, as memories and prepared steps of necks are.

    Args:
        function: Takes one tensor of each tree.
        *trees: All of one structure.

    Returns:
        The results in the same structure, named tuples included.
    """
    first = trees[0]
    if isinstance(first, Tensor):
        return function(*trees)
    parts = [map_tensors(function, *items) for items in zip(*trees, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
