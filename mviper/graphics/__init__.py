"""Looking: meshes and skeletons over pictures, videos, curves and the HTML report."""

from mviper.graphics.draw import contact_sheet, draw_label, draw_skeleton, side_by_side
from mviper.graphics.raster import overlay, perspective, rasterize, view, weak_perspective
from mviper.graphics.video import read_video, write_video

__all__ = [
    "contact_sheet",
    "draw_label",
    "draw_skeleton",
    "overlay",
    "perspective",
    "rasterize",
    "read_video",
    "side_by_side",
    "view",
    "weak_perspective",
    "write_video",
]
