"""The body: the SMPL model, the open body shipped with the package, joint names, rotations, measurements."""

from mviper.body.attached_points import AttachedPoints, turn_derivatives
from mviper.body.capsules import Capsules, body_capsules, capsule_depths, closest_on_segments
from mviper.body.identity import distinct_bodies, same_body
from mviper.body.keypoint_regressor import (
    LANDMARK_VERTICES,
    bodies_around,
    fit_surface_regressor,
    surface_joint_targets,
    with_headtop,
)
from mviper.body.landmarks import (
    CALIBRATION,
    FITTED,
    LANDMARKS,
    calibrated_points,
    landmark_places,
    person_height,
    points_near,
    to_keypoints,
)
from mviper.body.pose_prior import POSE_PRIOR, PosePrior, pose_features
from mviper.body.pose_solver import (
    Smoothness,
    SolverState,
    add_pose_prior,
    bridged,
    damped_factor,
    minimize,
    newton_step,
    take_step,
)
from mviper.body.rotations import (
    axis_angle_to_matrix,
    geodesic_angle,
    matrix_to_axis_angle,
    matrix_to_rotation_6d,
    mean_rotation,
    project_to_rotation,
    rotation_6d_to_matrix,
    skew,
)
from mviper.body.smpl import OPEN_BODY, OPEN_BODY_SKIN, SMPL, SMPLOutput
from mviper.body.surface import BodyShape, slice_surface
from mviper.structures import KEYPOINTS, SMPL_JOINTS, SMPL_PARENTS, SURFACE_JOINTS, mirror_indices

__all__ = [
    "CALIBRATION", "FITTED", "KEYPOINTS", "LANDMARKS", "LANDMARK_VERTICES", "OPEN_BODY", "OPEN_BODY_SKIN",
    "POSE_PRIOR", "SMPL", "SMPL_JOINTS", "SMPL_PARENTS", "SURFACE_JOINTS", "AttachedPoints", "BodyShape", "Capsules",
    "PosePrior", "SMPLOutput", "Smoothness", "SolverState", "add_pose_prior", "axis_angle_to_matrix", "bodies_around",
    "body_capsules", "bridged", "calibrated_points", "capsule_depths", "closest_on_segments", "damped_factor",
    "distinct_bodies", "fit_surface_regressor", "geodesic_angle", "landmark_places", "matrix_to_axis_angle",
    "matrix_to_rotation_6d", "mean_rotation", "minimize", "mirror_indices", "newton_step", "person_height",
    "points_near", "pose_features", "project_to_rotation", "rotation_6d_to_matrix", "same_body", "skew",
    "slice_surface", "surface_joint_targets", "take_step", "to_keypoints", "turn_derivatives", "with_headtop",
]  # fmt: skip
