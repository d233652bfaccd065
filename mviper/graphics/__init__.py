"""Graphics: mesh and skeleton overlays, reading and writing videos, plots."""

from mviper.graphics.draw import (
    contact_sheet,
    draw_label,
    draw_skeleton,
    enlarge,
    enlarge_points,
    save_image,
    side_by_side,
    turned,
)
from mviper.graphics.error_plots import plot_bars, plot_over_time
from mviper.graphics.pictures import decode_picture
from mviper.graphics.plots import LINE_COLOURS, THEMES, Scalars, plot_curves, read_scalars
from mviper.graphics.raster import (
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    ScreenMesh,
    fill_triangles,
    overlay,
    perspective,
    rasterize,
    uv_map,
    vertex_normals,
    view,
    weak_perspective,
)
from mviper.graphics.video import (
    DECODER_LIMITS,
    MAX_RATE,
    MIN_RATE,
    UNREADABLE,
    Upright,
    display_matrix,
    ffmpeg_url,
    is_spliced,
    is_timed,
    open_video,
    read_video,
    stated_rate,
    video_stream,
    write_video,
)

__all__ = [
    "DECODER_LIMITS", "LINE_COLOURS", "MAX_RATE", "MIN_RATE", "PREDICTION_COLOUR", "THEMES", "TRUTH_COLOUR",
    "UNREADABLE", "Scalars", "ScreenMesh", "Upright", "contact_sheet", "decode_picture", "display_matrix",
    "draw_label", "draw_skeleton", "enlarge", "enlarge_points", "ffmpeg_url", "fill_triangles", "is_spliced",
    "is_timed", "open_video", "overlay", "perspective", "plot_bars", "plot_curves", "plot_over_time", "rasterize",
    "read_scalars", "read_video", "save_image", "side_by_side", "stated_rate", "turned", "uv_map",
    "vertex_normals", "video_stream", "view", "weak_perspective", "write_video",
]  # fmt: skip
