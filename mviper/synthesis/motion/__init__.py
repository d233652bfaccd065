"""Motion capture to SMPL motion: sources, retargeting, transforms, quality.

See docs/motion.md. Everything here is numpy; positions in metres, angles in radians unless a name says degrees.
"""

from mviper.synthesis.motion.acclaim import CMUMotion
from mviper.synthesis.motion.bvh import BVHMotion
from mviper.synthesis.motion.c3d import C3DMotion
from mviper.synthesis.motion.combine import InterpolatedMotion, MixedMotion
from mviper.synthesis.motion.contact import forward_kinematics, sole_points
from mviper.synthesis.motion.deepmimic import DeepMimicMotion
from mviper.synthesis.motion.retarget import retarget
from mviper.synthesis.motion.skeleton import JointMap, Skeleton, SkeletonMotion
from mviper.synthesis.motion.smpl_files import AMASSMotion, SMPLMotion
from mviper.synthesis.motion.source import Clip, MotionSource
from mviper.synthesis.motion.transforms import continuous, crop, heading, lead_in, resample, rest_pose

__all__ = [
    "AMASSMotion", "BVHMotion", "C3DMotion", "CMUMotion", "Clip", "DeepMimicMotion", "InterpolatedMotion", "JointMap",
    "MixedMotion", "MotionSource", "SMPLMotion", "Skeleton", "SkeletonMotion", "continuous", "crop",
    "forward_kinematics", "heading", "lead_in", "resample", "rest_pose", "retarget", "sole_points",
]  # fmt: skip
