"""The paper's frame model."""

from __future__ import annotations

from torch import Tensor

from mviper.models.estimators.base import BodyModelEstimator
from mviper.registry import MODELS
from mviper.sample import EncodedClip


@MODELS.register_module()
class ImageBodyModelEstimator(BodyModelEstimator):
    """Encoder and regressor on single frames (eq. 6-10, docs/equations.md).

    Clips are taken frame by frame, so it trains and tests on the same samples as the video model.

    Args:
        **kwargs: See ``BodyModelEstimator``. ``test_cfg``: ``chunk``, the number of frames encoded at once in
            prediction.
    """

    def walk(self, clips: Tensor | EncodedClip, memory: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """See the base class; without a ``context`` frames are independent of each other."""
        features, memory = self.in_context(*self.encode(clips), memory)
        return self.head(features.flatten(0, 1)).unflatten(0, (features.shape[0], features.shape[1])), memory
