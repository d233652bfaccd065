"""Recovers moving bodies from videos: ``MeshRecoverer(config, checkpoint)("dance.mp4").render("out.mp4")``."""

from mviper.inference.camera_motion import Background, Matches, estimate_focal, measure_motion
from mviper.inference.comparison import render_comparison
from mviper.inference.confidence import FAIR, REASONS, SURE, Calibration
from mviper.inference.exported import ExportedModel
from mviper.inference.fast import accelerate
from mviper.inference.frames import (
    IMAGE_SUFFIXES,
    DerivedFrames,
    Excerpt,
    Frame,
    FrameSource,
    camera_frames,
    is_picture_folder,
    open_frames,
    record,
    videos_in,
)
from mviper.inference.live import LivePerson
from mviper.inference.network import ClipRunner, load_model
from mviper.inference.optics import optics_of
from mviper.inference.people import PeopleTracker, PoseDetector, Track, track_people
from mviper.inference.recoverer import MeshRecoverer, Observation
from mviper.inference.render import COLOURS, OVERLAY_CODING
from mviper.inference.result import RecoveredPerson, RecoveryResult
from mviper.inference.sheet import draw_sheet
from mviper.inference.shots import with_cuts

__all__ = [
    "COLOURS",
    "FAIR",
    "IMAGE_SUFFIXES",
    "OVERLAY_CODING",
    "REASONS",
    "SURE",
    "Background",
    "Calibration",
    "ClipRunner",
    "DerivedFrames",
    "Excerpt",
    "ExportedModel",
    "Frame",
    "FrameSource",
    "LivePerson",
    "Matches",
    "MeshRecoverer",
    "Observation",
    "PeopleTracker",
    "PoseDetector",
    "RecoveredPerson",
    "RecoveryResult",
    "Track",
    "accelerate",
    "camera_frames",
    "draw_sheet",
    "estimate_focal",
    "is_picture_folder",
    "load_model",
    "measure_motion",
    "open_frames",
    "optics_of",
    "record",
    "render_comparison",
    "track_people",
    "videos_in",
    "with_cuts",
]
