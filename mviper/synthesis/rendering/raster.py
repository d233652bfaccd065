"""Z-buffer renderer: like Cycles without indirect light, at a fiftieth of its cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mviper.errors import ConfigError
from mviper.registry import RENDERERS
from mviper.structures import Camera
from mviper.synthesis.scene import Scene


@RENDERERS.register_module()
class RasterRenderer:
    """Renders a scene from several cameras with a z-buffer.

    Args:
        samples: Samples per pixel along each axis.
        shadows: Whether lamps cast shadows and the floor darkens under the person.
    """

    def __init__(self, samples: int = 2, shadows: bool = True) -> None:
        if samples < 1:
            raise ConfigError(f"RasterRenderer: samples must be 1 or more, got {samples}")
        self.samples, self.shadows = samples, shadows

    def render(
        self, scene: Scene, cameras: Sequence[Camera], frames: Sequence[int] | None = None
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Renders.

        Args:
            scene: What to render.
            cameras: All of one resolution.
            frames: Frame numbers; ``None`` for all.

        Yields:
            Frame number, index of the camera, sRGB picture uint8 (H, W, 3); all cameras of a frame together.
        """
        if len({(camera.width, camera.height) for camera in cameras}) != 1:
            raise ValueError("all cameras of a run must have the same resolution")
        # Imported here: the compiler loads only for rendering.
        from mviper.synthesis.rendering.shading import shaded_pictures

        frames = range(len(scene)) if frames is None else frames
        yield from shaded_pictures(scene, cameras, frames, self.samples, self.shadows)
