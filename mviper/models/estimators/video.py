"""The paper's video model, MVIPER."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mviper.errors import ConfigError
from mviper.models.estimators.base import BodyModelEstimator, batch_of, split_frames
from mviper.models.estimators.walking import Memory
from mviper.registry import MODELS
from mviper.sample import EncodedClip


@MODELS.register_module()
class VideoBodyModelEstimator(BodyModelEstimator):
    """Encoder, temporal neck and regressor over the frames of a clip (eq. 11-19).

    Training starts from the frame model: the config's ``load_from`` names its checkpoint, whose encoder and regressor
    (mean phi included) have the same names here.

    Args:
        backbone: Encoder.
        neck: Temporal neck; takes ``feature_dim``, ``phi_dim`` and, if the encoder has one, ``map_dim``, unless it sets
            its own.
        head: Regressor.
        body_model: Body.
        losses: Losses by name.
        ief_start: Where the feedback of step t starts: ``'mean'`` phi, or ``'previous'``, phi_{t-1}.
        frame_weight: lambda of eq. 19: factor of all losses except ``temporal`` ones (L_shape).
        **kwargs: See ``BodyModelEstimator``. ``test_cfg``: ``state='carry'`` carries the state through a sequence,
            ``'reset'`` resets it every ``clip_length`` frames; ``chunk``: frames encoded at once in prediction. A neck
            that is not recurrent sees ``clip_length`` frames (``'reset'``) or ``chunk`` frames (``'carry'``) at a time.
    """

    test_options = {**BodyModelEstimator.test_options, "state": "carry", "clip_length": None}

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        body_model: dict,
        losses: dict[str, dict] | None = None,
        ief_start: str = "mean",
        frame_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, head, body_model, losses, **kwargs)
        if ief_start not in ("mean", "previous"):
            raise ConfigError(f"VideoBodyModelEstimator: ief_start={ief_start!r}, expected 'mean' or 'previous'")
        if self.test_cfg["state"] not in ("carry", "reset"):
            raise ConfigError(f"test_cfg: state={self.test_cfg['state']!r}, expected 'carry' or 'reset'")
        if self.test_cfg["state"] == "reset" and not self.test_cfg["clip_length"]:
            raise ConfigError("test_cfg: state='reset' needs clip_length, the frames after which the state is reset")
        widths = {"feature_dim": self.feature_dim, "phi_dim": self.head.phi_dim}
        if hasattr(self.backbone, "map_dim"):
            widths["map_dim"] = self.backbone.map_dim
        self.neck = MODELS.build({**widths, **neck})
        self.ief_start, self.frame_weight = ief_start, frame_weight

    def weight_of(self, loss: nn.Module) -> float:
        """Lambda of eq. 19."""
        return 1.0 if getattr(loss, "temporal", False) else self.frame_weight

    @property
    def recurrent(self) -> bool:
        """See the base class."""
        return self.neck.recurrent

    def walk(self, clips: Tensor | EncodedClip, memory: Any = None) -> tuple[Tensor, Any]:
        """See the base class; with a ``context`` the memory is a tuple of its past and the recurrence's."""
        features, maps = self.encode(clips)
        if self.context is None:
            return self.unroll(features, maps, memory)
        past, memory = memory or (None, None)
        features, past = self.in_context(features, maps, past)
        phi, memory = self.unroll(features, maps, memory)
        return phi, (past, memory)

    def unroll(self, features: Tensor, maps: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory | None]:
        """Runs the recurrence over encoded frames (eq. 17).

        Args:
            features: In their context, (B, T, D).
            maps: (B, T, L, D_map).
            memory: Returned by the call for the preceding frames; None for :meth:`start`.

        Returns:
            Phi (B, T, 157), and the memory after the last frame (None for a neck that is not recurrent).
        """
        if not self.neck.recurrent:
            hidden = self.neck(features, maps)
            return self.head(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2]), None
        memory, steps = memory or self.start(features[:, 0]), []
        prepare = getattr(self.neck, "prepare", None)
        prepared = prepare(features, maps) if prepare else [None] * features.shape[1]
        # Unbind once: the gradient of indexing one frame is as large as the whole clip's.
        for feature, map_, item in zip(features.unbind(1), maps.unbind(1), prepared):
            memory = self.step(feature, map_, memory, item)
            steps.append(memory.phi)
        return torch.stack(steps, 1), memory

    def start(self, feature: Tensor) -> Memory:
        """The memory before a video: ``I(E(I_1))`` and phi_0.

        Args:
            feature: (B, D), the first frame's.
        """
        return Memory(self.neck.init_state(feature), self.head.mean_phi.expand(feature.shape[0], -1))

    def step(self, feature: Tensor, map_: Tensor, memory: Memory, prepared: Any = None) -> Memory:
        """One frame of the recurrence (eq. 11-17).

        Args:
            feature: (B, D).
            map_: (B, L, D_map).
            memory: Of the previous frame.
            prepared: This step's item of the neck's ``prepare``, if it has one.

        Returns:
            This frame's memory, its phi included.
        """
        options = {} if prepared is None else {"prepared": prepared}
        hidden, state = self.neck.step(feature, map_, memory.phi, memory.state, **options)
        return Memory(state, self.head(hidden, memory.phi if self.ief_start == "previous" else None))

    def regress_sequences(self, inputs: Tensor | EncodedClip) -> Tensor:
        """See the base class."""
        if self.test_cfg["state"] == "reset":
            return self._regress_windows(inputs, self.test_cfg["clip_length"], self._chunk(batch_of(inputs)))
        return super().regress_sequences(inputs)

    def _regress_windows(self, inputs: Tensor | EncodedClip, length: int, chunk: int) -> Tensor:
        """Windows of ``length`` frames are independent, so they run as a batch."""
        batch, steps = batch_of(inputs), []
        for part in split_frames(inputs, max(chunk // length, 1) * length):
            for windows in _windows(part, length):
                steps.append(self.regress(windows).unflatten(0, (batch, -1)).flatten(1, 2))
        return torch.cat(steps, 1)


def _windows(inputs: Tensor | EncodedClip, length: int) -> Iterator[Tensor | EncodedClip]:
    """Clips (B, T, ...) as (B n, length, ...), then their remainders as (B, rest, ...)."""
    if isinstance(inputs, EncodedClip):
        parts = zip(_windows_of(inputs.features, length), _windows_of(inputs.maps, length))
        yield from (EncodedClip(features, maps, inputs.encoder) for features, maps in parts)
    else:
        yield from _windows_of(inputs, length)


def _windows_of(values: Tensor, length: int) -> Iterator[Tensor]:
    whole = values.shape[1] // length * length
    for windows, size in ((values[:, :whole], length), (values[:, whole:], values.shape[1] - whole)):
        if windows.shape[1]:
            yield windows.unflatten(1, (-1, size)).flatten(0, 1)
