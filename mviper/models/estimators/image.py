"""The paper's frame model."""

from __future__ import annotations

import torch
from torch import Tensor

from mviper.models.estimators.base import BodyModelEstimator, _chunk_length
from mviper.registry import MODELS


@MODELS.register_module()
class ImageBodyModelEstimator(BodyModelEstimator):
    """Encoder and regressor on single frames (EQUATIONS, frame model; eq. 6-10).

    Clips are taken frame by frame, so it trains and tests on the same samples as the video model.

    Args:
        **kwargs: See ``BodyModelEstimator``. ``test_cfg``: ``chunk``, the number of frames that are encoded at once
            when predicting.
    """

    def regress(self, inputs: Tensor) -> Tensor:
        """See the base class."""
        features, _ = self.encode(inputs)
        return self.head(features.flatten(0, 1)).unflatten(0, inputs.shape[:2])

    def regress_sequences(self, inputs: Tensor) -> Tensor:
        """See the base class."""
        chunk = _chunk_length(self.test_cfg["chunk"], len(inputs))
        return torch.cat([self.regress(part) for part in inputs.split(chunk, 1)], 1)
