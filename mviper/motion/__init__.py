"""Motion capture to SMPL motion: sources, retargeting, MoSh, transforms, interpolation, quality.

See docs/motion.md. Numpy and scipy, but for MoSh, which is torch; positions in metres, angles in radians unless a
name says degrees.
"""

from mviper.motion.contact import forward_kinematics, sole_points
from mviper.motion.retarget import retarget
from mviper.motion.skeleton import JointMap, Skeleton, SkeletonMotion
from mviper.motion.sources import (
    AMASSMotion,
    BVHMotion,
    C3DMotion,
    Clip,
    CMUMotion,
    DeepMimicMotion,
    InterpolatedMotion,
    KeyPoseMotion,
    MixedMotion,
    MotionSource,
    RecombinedMotion,
    SMPLMotion,
)
from mviper.motion.target import TargetBody
from mviper.motion.transforms import busiest_start, continuous, crop, heading, lead_in, mirrored, resample, rest_pose

__all__ = [
    "AMASSMotion",
    "BVHMotion",
    "C3DMotion",
    "CMUMotion",
    "Clip",
    "DeepMimicMotion",
    "InterpolatedMotion",
    "JointMap",
    "KeyPoseMotion",
    "MixedMotion",
    "MotionSource",
    "RecombinedMotion",
    "SMPLMotion",
    "Skeleton",
    "SkeletonMotion",
    "TargetBody",
    "busiest_start",
    "continuous",
    "crop",
    "forward_kinematics",
    "heading",
    "lead_in",
    "mirrored",
    "resample",
    "rest_pose",
    "retarget",
    "sole_points",
]
