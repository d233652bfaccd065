"""Pixel augmentation of a clip after the crop, the same for all its frames."""

from __future__ import annotations

import cv2
import numpy as np

from mviper.registry import TRANSFORMS

#: Rec. 601 luma of RGB.
_LUMA = np.array([0.299, 0.587, 0.114])


@TRANSFORMS.register_module()
class JitterClip:
    """Random brightness, contrast, saturation and channel gains, and an occluding rectangle.

    The whole colour change is one affine map of RGB. Joints under the rectangle are no longer visible: their chi
    becomes 0 (their 3D positions stay supervised).

    Args:
        brightness: Added to all channels, at most this share of white either way.
        contrast: Factor about mid-grey in [1 - contrast, 1 + contrast].
        saturation: Factor about each pixel's luma in [1 - saturation, 1 + saturation].
        channel: Each channel's own factor in [1 - channel, 1 + channel].
        hide: Probability of the rectangle.
        hide_size: Range of its sides as shares of the crop's.
        enabled: False leaves every clip as it is.
    """

    def __init__(
        self,
        brightness: float = 0.1,
        contrast: float = 0.2,
        saturation: float = 0.3,
        channel: float = 0.1,
        hide: float = 0.3,
        hide_size: tuple[float, float] = (0.1, 0.35),
        enabled: bool = True,
    ) -> None:
        self.enabled = enabled
        self.brightness, self.contrast, self.saturation, self.channel = brightness, contrast, saturation, channel
        self.hide, self.hide_size = hide, hide_size

    def __call__(self, results: dict) -> dict:
        """Changes ``frames`` and chi."""
        if not self.enabled:
            return results
        rng, frames = results["rng"], results["frames"]
        count, size = frames.shape[:2]
        matrix = self.colour_matrix(rng)
        rows = frames.reshape(count * size, size, 3)
        # In place: allocating memory would cost more than the arithmetic.
        frames = cv2.transform(rows, matrix, dst=rows).reshape(frames.shape)
        if rng.random() < self.hide:
            sides = rng.uniform(*self.hide_size, 2) * size
            low = np.round(rng.uniform(0, size - sides)).astype(int)  # x, y of the first hidden pixel
            high = np.round(low + sides).astype(int)
            frames[:, low[1] : high[1], low[0] : high[0]] = rng.integers(0, 256, 3)
            pixels = ((results["keypoints2d"][..., :2] + 1) * size - 1) / 2
            hidden = ((pixels > low - 0.5) & (pixels < high - 0.5)).all(axis=-1)
            results["keypoints2d"][..., 2] *= ~hidden
        results["frames"] = frames
        return results

    def colour_matrix(self, rng: np.random.Generator) -> np.ndarray:
        """Affine map of RGB in 0..255, shape (3, 4)."""
        saturation = 1 + self.saturation * rng.uniform(-1, 1)
        contrast = 1 + self.contrast * rng.uniform(-1, 1)
        gains = 1 + self.channel * rng.uniform(-1, 1, 3)
        linear = saturation * np.eye(3) + (1 - saturation) * _LUMA
        linear = contrast * gains[:, None] * linear
        offset = 127.5 * (1 - contrast) + 255 * self.brightness * rng.uniform(-1, 1)
        return np.hstack([linear, np.full((3, 1), offset)])
