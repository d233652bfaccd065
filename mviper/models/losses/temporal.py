"""Losses over time beyond the paper's; arguments as in :mod:`mviper.models.losses.paper`."""

from __future__ import annotations

from torch import Tensor

from mviper.models.losses.paper import WeightedLoss, lengths, masked, per_frame, relative_joints
from mviper.registry import MODELS


@MODELS.register_module()
class JointVelocityLoss(WeightedLoss):
    """Distances between the predicted and the true step of each joint from a frame to the next [m].

    Joints are relative to SMPL joint 0, as in :class:`Joint3DLoss`. A network that only sees each frame's error follows
    the detector's jitter; this is the velocity error of Pavllo et al. (CVPR 2019), as a loss as in MotionBERT (Zhu et
    al., ICCV 2023).

    Args:
        loss_weight: Factor.
    """

    #: A sum over pairs of frames, as L_shape: lambda does not apply.
    temporal = True

    def forward(self, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        """Computes the loss."""
        joints, truth, valid = relative_joints(prediction, target)
        both = valid[:, 1:] * valid[:, :-1]
        difference = masked(joints.diff(dim=1) - truth.diff(dim=1), both)
        return self.loss_weight * per_frame(lengths(difference), joints)
