"""Videos in, moving bodies out: ``MeshRecoverer(config, checkpoint)("dance.mp4").render("out.mp4")``."""

from mviper.inference.frames import Excerpt, FrameSource, camera_frames, open_frames, record
from mviper.inference.people import PeopleTracker, PoseDetector, Track, track_people
from mviper.inference.recoverer import ClipRunner, LivePerson, MeshRecoverer, load_model
from mviper.inference.render import COLOURS
from mviper.inference.result import RecoveredPerson, RecoveryResult, render_comparison

__all__ = [
    "COLOURS",
    "ClipRunner",
    "Excerpt",
    "FrameSource",
    "LivePerson",
    "MeshRecoverer",
    "PeopleTracker",
    "PoseDetector",
    "RecoveredPerson",
    "RecoveryResult",
    "Track",
    "camera_frames",
    "load_model",
    "open_frames",
    "record",
    "render_comparison",
    "track_people",
]
