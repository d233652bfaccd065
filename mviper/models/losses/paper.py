"""The paper's losses, eq. 7-10 and 18-19.

Each takes ``prediction`` (``pred_rotmat``, ``pred_betas``, ``pred_camera``, ``pred_keypoints3d``, ``pred_keypoints2d``)
and ``target`` (the fields of ``BodySample``), all stacked to (B, T, ...), the deltas (B,), and returns a scalar: the
paper's sum over joints (and t), divided by B T. All terms of eq. 19 are divided by the same number, so the paper's
ratios hold. A sample without a kind of annotation (delta = 0) counts in B with loss 0, whatever its placeholder values
are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mviper.body import matrix_to_axis_angle
from mviper.errors import ConfigError
from mviper.registry import MODELS
from mviper.structures import KEYPOINTS

_PELVIS = KEYPOINTS.index("pelvis")
_HIPS = [KEYPOINTS.index("left_hip_extra"), KEYPOINTS.index("right_hip_extra")]


def masked(difference: Tensor, mask: Tensor) -> Tensor:
    """``mask * difference``, but exactly 0 (gradient included) at mask 0 even if the target is NaN."""
    return torch.where(mask > 0, mask * difference, torch.zeros_like(difference))


def lengths(vectors: Tensor) -> Tensor:
    """Lengths of vectors (..., 3), differentiable at 0, where they are 1e-4."""
    return (vectors.square().sum(-1) + 1e-8).sqrt()


def per_frame(total: Tensor, frames: Tensor) -> Tensor:
    """Sum over everything, divided by B T of ``frames`` (B, T, ...)."""
    return total.sum() / (frames.shape[0] * frames.shape[1])


def relative_joints(prediction: dict[str, Tensor], target: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Predicted and true joints relative to SMPL joint 0, both (B, T, J, 3) [m], and which count, (B, T, J, 1).

    Frames whose ground truth lacks SMPL joint 0 (Human3.6M, MPI-INF-3DHP) are relative to the middle of the surface
    hips.
    """
    joints, keypoints = prediction["pred_keypoints3d"], target["keypoints3d"]
    from_pelvis = keypoints[..., _PELVIS, 3:] > 0
    hips = joints[..., _HIPS, :].mean(-2)
    joints = joints - torch.where(from_pelvis, torch.zeros_like(hips), hips)[..., None, :]
    return joints, keypoints[..., :3], keypoints[..., 3:] * target["has_keypoints3d"].reshape(-1, 1, 1, 1)


class WeightedLoss(nn.Module):
    """A loss with no other option than its factor.

    Args:
        loss_weight: The factor.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight


@MODELS.register_module()
class ProjectionLoss(WeightedLoss):
    """Eq. 7: ``L_proj = sum_i || chi_i (J2d_i - J2d_hat_i) ||_1`` in crop units.

    Args:
        loss_weight: Factor.
    """

    def forward(self, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        """Computes the loss (see the module for its arguments)."""
        keypoints = target["keypoints2d"]
        difference = masked(prediction["pred_keypoints2d"] - keypoints[..., :2], keypoints[..., 2:])
        return self.loss_weight * per_frame(difference.abs(), keypoints)


@MODELS.register_module()
class Joint3DLoss(nn.Module):
    """Eq. 8: ``L_3Djoint = delta sum_i || J3d_i - J3d_hat_i ||_2^2`` [m^2] (:func:`relative_joints`).

    Args:
        frame: ``'camera'``, the paper's: joints in camera axes. ``'body'``: the root rotation is removed from both sets
            first, so that a wrong heading does not dominate; needs samples with SMPL parameters.
        squared: False: distances [m] instead of their squares, which is what MPJPE measures.
        loss_weight: Factor.
    """

    def __init__(self, frame: str = "camera", squared: bool = True, loss_weight: float = 1.0) -> None:
        super().__init__()
        if frame not in ("camera", "body"):
            raise ConfigError(f"Joint3DLoss: frame={frame!r}, expected 'camera' or 'body'")
        self.frame, self.squared, self.loss_weight = frame, squared, loss_weight

    def forward(self, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        """Computes the loss (see the module for its arguments)."""
        joints, truth, valid = relative_joints(prediction, target)
        if self.frame == "body":
            valid = valid * target["has_smpl"].reshape(-1, 1, 1, 1)
            # Rows times a matrix: x^T R = (R^T x)^T.
            joints = joints @ prediction["pred_rotmat"][..., 0, :, :]
            truth = truth @ target["smpl_rotmat"][..., 0, :, :]
        # valid is 0 or 1, so its square is itself.
        difference = masked(joints - truth, valid)
        error = difference.square() if self.squared else lengths(difference)
        return self.loss_weight * per_frame(error, joints)


@MODELS.register_module()
class SMPLParameterLoss(nn.Module):
    """Eq. 9: ``L_smpl = delta sum_i || [beta_i, theta_i] - [beta_hat_i, theta_hat_i] ||_2^2``.

    Args:
        rotation: ``'matrix'``: theta are rotation matrices (squared Frobenius norm), as in HMR's code.
            ``'axis_angle'``: the literal reading; discontinuous at angles of pi, near which an upright person's root
            is.
        root: Whether theta includes the root's rotation R, as in HMR's code; the paper's theta are the 23 joints.
        theta_weight: Factor of the theta term.
        beta_weight: Factor of the beta term.
        loss_weight: Factor of both.
    """

    def __init__(
        self,
        rotation: str = "matrix",
        root: bool = True,
        theta_weight: float = 1.0,
        beta_weight: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if rotation not in ("matrix", "axis_angle"):
            raise ConfigError(f"SMPLParameterLoss: rotation={rotation!r}, expected 'matrix' or 'axis_angle'")
        self.rotation, self.root = rotation, root
        self.theta_weight, self.beta_weight, self.loss_weight = theta_weight, beta_weight, loss_weight

    def forward(self, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        """Computes the loss (see the module for its arguments)."""
        first = 0 if self.root else 1
        theta, theta_true = prediction["pred_rotmat"][:, :, first:], target["smpl_rotmat"][:, :, first:]
        if self.rotation == "axis_angle":
            theta, theta_true = matrix_to_axis_angle(theta), matrix_to_axis_angle(theta_true)
        theta, theta_true = theta.flatten(2), theta_true.flatten(2)  # (B, T, 24 * 9) or (B, T, 24 * 3)
        betas = prediction["pred_betas"]
        theta_error = masked(theta - theta_true, target["has_smpl"].reshape(-1, 1, 1)).square()
        beta_error = masked(betas - target["betas"], target["has_betas"].reshape(-1, 1, 1)).square()
        total = self.theta_weight * theta_error.sum() + self.beta_weight * beta_error.sum()
        return self.loss_weight * per_frame(total, betas)


@MODELS.register_module()
class ShapeSmoothnessLoss(WeightedLoss):
    """Eq. 18: ``L_shape = sum_{t=1}^{T-1} || beta_{t+1} - beta_t ||_2^2`` of the prediction.

    Args:
        loss_weight: Factor.
    """

    #: Outside the sum over t in eq. 19, so lambda does not apply.
    temporal = True

    def forward(self, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        """Computes the loss (see the module for its arguments)."""
        betas = prediction["pred_betas"]
        return self.loss_weight * per_frame(betas.diff(dim=1).square(), betas)
