"""Motion capture to SMPL motion: sources, retargeting, MoSh, transforms, interpolation, quality.

See docs/motion.md. Based on numpy and scipy; MoSh, arm room and body measurement use torch. Positions are in metres,
angles in radians unless a name says degrees.
"""

from mviper.motion.arm_room import make_arm_room
from mviper.motion.contact import forward_kinematics, sole_points
from mviper.motion.markers import MARKER_HEIGHT, STANDARD_MARKERS, place_markers
from mviper.motion.mosh import Mosh, MoshFit, MoshSettings
from mviper.motion.quality import (
    LIMBS,
    MotionQuality,
    facing_errors,
    fit_error,
    hinge_errors,
    joint_position_errors,
    limb_direction_errors,
    measure_motion,
    motion_difference,
)
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
from mviper.motion.transforms import (
    busiest_start,
    continuous,
    crop,
    from_t_pose,
    heading,
    lead_in,
    mirrored,
    resample,
    rest_pose,
)

__all__ = [
    "LIMBS", "MARKER_HEIGHT", "STANDARD_MARKERS", "AMASSMotion", "BVHMotion", "C3DMotion", "CMUMotion", "Clip",
    "DeepMimicMotion", "InterpolatedMotion", "JointMap", "KeyPoseMotion", "MixedMotion", "Mosh", "MoshFit",
    "MoshSettings", "MotionQuality", "MotionSource", "RecombinedMotion", "SMPLMotion", "Skeleton", "SkeletonMotion",
    "TargetBody", "busiest_start", "continuous", "crop", "facing_errors", "fit_error", "forward_kinematics",
    "from_t_pose", "heading", "hinge_errors", "joint_position_errors", "lead_in", "limb_direction_errors",
    "make_arm_room", "measure_motion", "mirrored", "motion_difference", "place_markers", "resample", "rest_pose",
    "retarget", "sole_points",
]  # fmt: skip
