"""From collated clips to an estimator's input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mviper.errors import ConfigError
from mviper.registry import MODELS
from mviper.sample import EncodedClip


@MODELS.register_module()
class BodyDataPreprocessor(BaseDataPreprocessor):
    """Stacks clips, moves them to the device and normalises their pictures.

    Training batches become float32. Test batches stay uint8: a test sample can be a whole sequence, which the
    estimator normalises chunk by chunk (:meth:`normalise`) so that memory does not grow with its length.

    Args:
        mean: Per channel (RGB), in 0..255. ImageNet's as torchvision's networks expect it; for
            ``EfficientNetLiteEncoder`` 127.
        std: Per channel, in 0..255; for ``EfficientNetLiteEncoder`` 128.
        channels_last: Use the channels-last memory format for pictures (and, in the estimator, for the encoder);
            convolutions are faster with it on CPU and on tensor cores.
        non_blocking: Copies to the device without waiting.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        channels_last: bool = True,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        self.channels_last = channels_last
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1), persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Subtracts the mean and divides by the standard deviation.

        Args:
            images: (..., 3, S, S) uint8, RGB.

        Returns:
            (..., 3, S, S) float32; channels last in memory if that option is set.
        """
        lead = images.shape[:-3]
        images = images.reshape(-1, *images.shape[-3:])
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)  # uint8: a quarter of the bytes to move
        images = (images.to(self.mean.dtype) - self.mean) / self.std
        return images if len(lead) == 1 else images.unflatten(0, lead)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Stacks, moves and, in training, normalises.

        Args:
            data: ``inputs``: list of (T, 3, S, S) uint8 tensors, one (B, T, 3, S, S) tensor, or a collated
                ``EncodedClip`` of stored features; ``data_sample`` (or
                ``data_samples``): list of ``BodySample``, absent for unannotated pictures.
            training: Whether the batch is for a training step.

        Returns:
            ``dict(inputs, data_samples)`` for the estimator. ``inputs`` is (B, T, 3, S, S), a list for test sequences
            of unequal length, or, for stored features, an ``EncodedClip`` of (B, T, ...) in float32.

        Raises:
            ValueError: Clips of one training batch differ in shape.
        """
        data = self.cast_data(data)
        inputs, samples = data["inputs"], data.get("data_sample", data.get("data_samples"))
        if isinstance(inputs, EncodedClip):
            return {"inputs": _stacked(inputs), "data_samples": samples}
        if not isinstance(inputs, Tensor):
            shapes = {tuple(clip.shape) for clip in inputs}
            if len(shapes) == 1:
                inputs = torch.stack(list(inputs))
            elif training:
                raise ValueError(f"clips of one training batch must have one shape (T, 3, S, S), found {shapes}")
        return {"inputs": self.normalise(inputs) if training else inputs, "data_samples": samples}


def _stacked(clips: EncodedClip) -> EncodedClip:
    """Clips from the collate function (lists, or already a batch) as one batch in float32."""
    encoders = {clips.encoder} if isinstance(clips.encoder, str) else set(clips.encoder)
    if len(encoders) > 1:
        raise ConfigError("the batch mixes stored features of several encoders; each model has one")
    features, maps = (part if isinstance(part, Tensor) else torch.stack(list(part)) for part in clips[:2])
    return EncodedClip(features.float(), maps.float(), encoders.pop())
