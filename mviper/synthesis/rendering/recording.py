"""Recording of rendered pictures: the effects of lens, sensor and encoder.

It is the same for every renderer, since it needs only pictures, meshes and cameras. Annotation stays exact: the shutter
is open symmetrically about a frame's time, and no other effect shifts anything.
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
    """Pictures as rendered, encoded without visible loss."""

    def draw(self, rng: np.random.Generator, count: int) -> list[dict]:
        """Draws nothing: the settings are fixed.

        Args:
            rng: Not used.
            count: Number of views.

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
            pictures: A renderer's output.
            scene: The rendered scene.
            cameras: Its cameras.
            drawn: From :meth:`draw`, one per camera.

        Yields:
            The same frame numbers and camera indices, with the recorded pictures.
        """
        yield from pictures


@RECORDINGS.register_module()
class PhoneRecording(CleanRecording):
    """Pictures as recorded by phones, a different one for each view.

    A range of zeros switches an effect off, (18, 18) for ``crf``. Exposure time, defocus, aperture, brightness and
    white balance are drawn uniformly in their range, then multiplied by a uniform factor in [0, 1]: most videos have
    small errors.

    Args:
        exposure: Range of the exposure time, in frames, over which motion is blurred.
        defocus: Range of the blur's standard deviation, in picture sizes.
        brightness: Range of the error of the exposure [stops].
        white_balance: Range of the excess of red and lack of blue [stops]; half of that for green.
        noise: Range of the noise's standard deviation at a white surface, in linear light; it falls with the square
            root of light.
        crf: Range of the encoder's quality, see :class:`VideoWriter`.
        aperture: Range of the diameter of the lens opening [m], which blurs what is nearer or farther than the body
            (depth of field): a phone's is about 0.003, a portrait lens' up to 0.05. By default everything is sharp.
    """

    def __init__(
        self, exposure: tuple[float, float] = (0.0, 0.8), defocus: tuple[float, float] = (0.0, 0.008),
        brightness: tuple[float, float] = (-1.0, 0.7), white_balance: tuple[float, float] = (-0.35, 0.35),
        noise: tuple[float, float] = (0.004, 0.04), crf: tuple[int, int] = (18, 34),
        aperture: tuple[float, float] = (0.0, 0.0),
    ) -> None:  # fmt: skip
        ranges = dict(
            exposure=exposure, defocus=defocus, aperture=aperture, brightness=brightness, white_balance=white_balance,
            noise=noise, crf=crf,
        )  # fmt: skip
        for name, pair in ranges.items():
            if len(pair) != 2 or pair[0] > pair[1] or (name not in ("brightness", "white_balance") and pair[0] < 0):
                raise ConfigError(f"PhoneRecording: expected {name} as (lowest, highest), got {pair!r}")
        if exposure[1] > 1 or crf[1] > 51:
            raise ConfigError(
                f"PhoneRecording: expected exposure <= 1 and crf <= 51, got exposure={exposure}, crf={crf}"
            )
        self.exposure, self.defocus, self.aperture, self.brightness = exposure, defocus, aperture, brightness
        self.white_balance, self.noise, self.crf = white_balance, noise, crf

    def draw(self, rng: np.random.Generator, count: int) -> list[dict]:
        """Draws the phones.

        Returns:
            For each view ``dict(exposure`` [frames]``, defocus`` [pictures]``, gains`` of red, green and blue``,
            noise, crf, seed, aperture`` [m]``)``.
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
            aperture=mostly_small(*self.aperture),
        )

    def __call__(
        self,
        pictures: Iterator[tuple[int, int, np.ndarray]],
        scene: Scene,
        cameras: Sequence[Camera],
        drawn: list[dict],
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Records; see :meth:`CleanRecording.__call__`."""
        # Imported here: the compiler loads only for recording.
        from mviper.synthesis.rendering.sensor import Phone

        phones = [Phone(scene, camera, one) for camera, one in zip(cameras, drawn)]
        with closing(pictures):
            for frame, view, picture in pictures:
                yield frame, view, phones[view].record(frame, picture)
