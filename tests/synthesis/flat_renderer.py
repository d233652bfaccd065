"""A renderer that fills each frame with one colour, for complete sequences in a fraction of a second."""

import numpy as np

from mviper.registry import RENDERERS


@RENDERERS.register_module()
class FlatRenderer:
    """See docs/scenes.md, "A renderer of your own", for the interface."""

    def render(self, scene, cameras):
        for frame in range(len(scene)):
            for view, camera in enumerate(cameras):
                yield frame, view, np.full((camera.height, camera.width, 3), 10 * frame + view, np.uint8)
