"""Pictures: Blender's Cycles behind a plain interface, and the videos that they become."""

from mviper.synthesis.rendering.cycles import CyclesRenderer
from mviper.synthesis.rendering.video import VideoWriter

__all__ = ["CyclesRenderer", "VideoWriter"]
