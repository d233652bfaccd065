"""Motion sources (``MOTION_SOURCES``): one module per file format, and sources built from other sources."""

from mviper.motion.sources.acclaim import CMUMotion
from mviper.motion.sources.base import Clip, MotionSource, originals, split_of
from mviper.motion.sources.bvh import BVHMotion
from mviper.motion.sources.c3d import C3DMotion
from mviper.motion.sources.combine import InterpolatedMotion, MixedMotion
from mviper.motion.sources.deepmimic import DeepMimicMotion
from mviper.motion.sources.key_poses import KeyPoseMotion
from mviper.motion.sources.library import MotionLibrary
from mviper.motion.sources.recombine import RecombinedMotion
from mviper.motion.sources.smpl_files import AMASSMotion, SMPLMotion

__all__ = [
    "AMASSMotion", "BVHMotion", "C3DMotion", "CMUMotion", "Clip", "DeepMimicMotion", "InterpolatedMotion",
    "KeyPoseMotion", "MixedMotion", "MotionLibrary", "MotionSource", "RecombinedMotion", "SMPLMotion", "originals",
    "split_of",
]  # fmt: skip
