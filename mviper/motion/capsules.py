"""How deep a moving body's limbs lie in each other, by its capsules (:mod:`mviper.body.capsules`)."""

from __future__ import annotations

import numpy as np

from mviper.body import Capsules, capsule_depths
from mviper.motion.contact import forward_kinematics
from mviper.structures import Motion


def posed_ends(joints: np.ndarray, rotations: np.ndarray, rest_joints: np.ndarray, capsules: Capsules) -> np.ndarray:
    """Where the ends of a body's capsules are.

    Args:
        joints: Shape (T, 24, 3).
        rotations: Of the joints, global, shape (T, 24, 3, 3).
        rest_joints: Shape (24, 3).
        capsules: The body's N capsules.

    Returns:
        Shape (T, N, 2, 3).
    """
    offsets = capsules.ends - rest_joints[capsules.joints][:, None]
    return joints[:, capsules.joints, None] + np.einsum("tnij,nej->tnei", rotations[:, capsules.joints], offsets)


def self_intersection(motion: Motion, rest_joints: np.ndarray, capsules: Capsules) -> np.ndarray:
    """How deep body parts lie within each other.

    Args:
        motion: T frames.
        rest_joints: The body's, shape (24, 3).
        capsules: The body's.

    Returns:
        How deep each pair of ``capsules.pairs`` lies in each other beyond what the T-pose has, as a share of the sum of
        its radii, shape (T, P): 0 where the two do not touch, about 0.5 where a hand is pressed into flesh, 1 where
        their axes cross.
    """
    posed = posed_ends(*forward_kinematics(motion.poses, motion.transl, rest_joints), rest_joints, capsules)
    depths = np.maximum(capsule_depths(capsules, posed) - capsules.allowed, 0.0)
    return depths / capsules.radii[capsules.pairs].sum(axis=1)
