"""Renderers (Blender's Cycles and a z-buffer) behind one interface, and video writing."""

from mviper.synthesis.rendering.blender import import_blender
from mviper.synthesis.rendering.cycles import CyclesRenderer
from mviper.synthesis.rendering.raster import RasterRenderer
from mviper.synthesis.rendering.recording import CleanRecording, PhoneRecording
from mviper.synthesis.rendering.video import VideoWriter

__all__ = ["CleanRecording", "CyclesRenderer", "PhoneRecording", "RasterRenderer", "VideoWriter", "import_blender"]
