"""Interpenetration of a moving body's limbs, from its capsules (:mod:`mviper.body.capsules`)."""

from __future__ import annotations

import numpy as np

from mviper.body import Capsules, capsule_depths
from mviper.motion.contact import forward_kinematics
from mviper.structures import Motion


def posed_ends(joints: np.ndarray, rotations: np.ndarray, rest_joints: np.ndarray, capsules: Capsules) -> np.ndarray:
    """Positions of the ends of a body's capsules.

    Args:
        joints: Shape (T, 24, 3).
        rotations: Global rotations of the joints, shape (T, 24, 3, 3).
        rest_joints: Shape (24, 3).
        capsules: The body's N capsules.

    Returns:
        Shape (T, N, 2, 3).
    """
    offsets = capsules.ends - rest_joints[capsules.joints][:, None]
    return joints[:, capsules.joints, None] + np.einsum("tnij,nej->tnei", rotations[:, capsules.joints], offsets)


def self_intersection(motion: Motion, rest_joints: np.ndarray, capsules: Capsules) -> np.ndarray:
    """Measures how deep body parts penetrate each other.

    Args:
        motion: T frames.
        rest_joints: The body's, shape (24, 3).
        capsules: The body's.

    Returns:
        Penetration depth of each of ``capsules.pairs`` beyond that in the T-pose, as a fraction of the sum of radii,
        shape (T, P): 0 without contact, about 0.5 for a hand pressed into flesh, 1 if the axes cross.
    """
    posed = posed_ends(*forward_kinematics(motion.poses, motion.transl, rest_joints), rest_joints, capsules)
    depths = np.maximum(capsule_depths(capsules, posed) - capsules.allowed, 0.0)
    return depths / capsules.radii[capsules.pairs].sum(axis=1)
