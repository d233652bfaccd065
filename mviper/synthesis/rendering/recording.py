"""What becomes of a rendered picture on its way into a file: what the lens, the sensor and the encoder do to it.

It is the same for every renderer, since it needs the pictures, the meshes and the cameras alone. Annotation stays
exact: the shutter is open for as long before a frame's moment as after it, and nothing else moves anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np

from mviper.errors import ConfigError
from mviper.registry import RECORDINGS
from mviper.structures import Camera
from mviper.synthesis.scene import Scene


@RECORDINGS.register_module()
class CleanRecording:
    """Pictures as they are rendered, encoded without visible loss."""

    def draw(self, rng: np.random.Generator, count: int) -> list[dict]:
        """Nothing is left to chance.

        Args:
            rng: Not needed.
            count: How many views.

        Returns:
            For each view ``dict(crf`` of :class:`VideoWriter`, any further effects``)``.
        """
        return [dict(crf=18) for _ in range(count)]

    def __call__(
        self,
        pictures: Iterator[tuple[int, int, np.ndarray]],
        scene: Scene,
        cameras: Sequence[Camera],
        drawn: list[dict],
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Records.

        Args:
            pictures: What a renderer yields.
            scene: What was rendered.
            cameras: From where.
            drawn: Of :meth:`draw`, one a camera.

        Yields:
            The same frame numbers and camera indices, with the recorded pictures.
        """
        yield from pictures


@RECORDINGS.register_module()
class PhoneRecording(CleanRecording):
    """Pictures as a phone records them; each view is recorded by another.

    An effect is switched off by a range of zeros, that of ``crf`` by (18, 18). Exposure time, defocus, brightness and
    white balance are drawn evenly in their range, then shrunk by an even factor: most videos are about right.

    Args:
        exposure: Range of the time for which the shutter is open, in frames: motion is smeared over so much of its way.
        defocus: Range of the blur's standard deviation, in pictures.
        brightness: Range of the error of the exposure [stops].
        white_balance: Range of how much too much red there is, and too little blue [stops]; half of that of green.
        noise: Range of the noise's standard deviation where a white surface would be, in linear light; it falls with
            the square root of light.
        crf: Range of the encoder's quality, as :class:`VideoWriter` has it.
    """

    def __init__(
        self, exposure: tuple[float, float] = (0.0, 0.8), defocus: tuple[float, float] = (0.0, 0.008),
        brightness: tuple[float, float] = (-1.0, 0.7), white_balance: tuple[float, float] = (-0.35, 0.35),
        noise: tuple[float, float] = (0.004, 0.04), crf: tuple[int, int] = (18, 34),
    ) -> None:  # fmt: skip
        ranges = dict(
            exposure=exposure, defocus=defocus, brightness=brightness, white_balance=white_balance, noise=noise, crf=crf
        )
        for name, pair in ranges.items():
            if len(pair) != 2 or pair[0] > pair[1] or (name not in ("brightness", "white_balance") and pair[0] < 0):
                raise ConfigError(f"PhoneRecording: {name} is (least, most), got {pair!r}")
        if exposure[1] > 1 or crf[1] > 51:
            raise ConfigError(f"PhoneRecording: exposure <= 1, crf <= 51, got exposure={exposure}, crf={crf}")
        self.exposure, self.defocus, self.brightness = exposure, defocus, brightness
        self.white_balance, self.noise, self.crf = white_balance, noise, crf

    def draw(self, rng: np.random.Generator, count: int) -> list[dict]:
        """Draws the phones.

        Returns:
            For each view ``dict(exposure`` [frames]``, defocus`` [pictures]``, gains`` of red, green and blue``,
            noise, crf, seed)``.
        """
        return [self._draw_one(rng) for _ in range(count)]

    def _draw_one(self, rng: np.random.Generator) -> dict:
        def mostly_small(low: float, high: float) -> float:
            return float(rng.uniform(low, high) * rng.uniform())

        stops, red, green = (mostly_small(*pair) for pair in (self.brightness, self.white_balance, self.white_balance))
        low, high = self.noise
        return dict(
            exposure=mostly_small(*self.exposure),
            defocus=mostly_small(*self.defocus),
            gains=[float(2**power) for power in (stops + red, stops + green / 2, stops - red)],
            noise=float(low * (high / low) ** rng.uniform()) if low > 0 else mostly_small(low, high),
            crf=int(rng.integers(self.crf[0], self.crf[1] + 1)),
            seed=int(rng.integers(2**31)),
        )

    def __call__(
        self,
        pictures: Iterator[tuple[int, int, np.ndarray]],
        scene: Scene,
        cameras: Sequence[Camera],
        drawn: list[dict],
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Records; see :meth:`CleanRecording.__call__`."""
        # Who records nothing loads no compiler.
        from mviper.synthesis.rendering.sensor import Phone

        phones = [Phone(scene, camera, one) for camera, one in zip(cameras, drawn)]
        with closing(pictures):
            for frame, view, picture in pictures:
                yield frame, view, phones[view].record(frame, picture)
