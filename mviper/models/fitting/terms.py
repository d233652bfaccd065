"""What a fit holds against a pose besides its pictures: joints beyond their range, and limbs inside one another."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from mviper.body import (
    SMPL,
    AttachedPoints,
    PosePrior,
    axis_angle_to_matrix,
    body_capsules,
    closest_on_segments,
    matrix_to_axis_angle,
    skew,
)
from mviper.structures import SMPL_JOINTS

#: The rotation vector's component about which a hinge bends, and the sign that bending has.
_HINGES = {"left_knee": (0, 1), "right_knee": (0, 1), "left_elbow": (1, -1), "right_elbow": (1, 1)}


class JointLimits(nn.Module):
    """The range of each joint's rotation vector: as in motion capture, but elbows and knees do not bend backwards.

    Args:
        prior: Whose ranges are taken.

    Attributes:
        lower, upper: (23, 3) buffers [rad].
    """

    lower: Tensor
    upper: Tensor

    def __init__(self, prior: PosePrior) -> None:
        super().__init__()
        lower, upper = prior.lower.clone(), prior.upper.clone()
        for name, (axis, sign) in _HINGES.items():
            bound = lower if sign > 0 else upper
            bound[SMPL_JOINTS.index(name) - 1, axis] = 0.0
        self.register_buffer("lower", lower, persistent=False)
        self.register_buffer("upper", upper, persistent=False)

    def excess(self, rotmat: Tensor) -> Tensor:
        """How far each joint is beyond its range: (..., 24, 3, 3) -> (..., 23, 3) [rad], signed, 0 within."""
        turns = matrix_to_axis_angle(rotmat[..., 1:, :, :])
        return turns - turns.clamp(self.lower, self.upper)

    def linearized(self, rotmat: Tensor) -> tuple[Tensor, Tensor]:
        """The excess (N, 23, 3), and its derivative by the joint's own turn w of ``R <- exp([w]) R``, (N, 23, 3, 3)."""
        turns = matrix_to_axis_angle(rotmat[:, 1:])
        excess = turns - turns.clamp(self.lower, self.upper)
        # Inverse of the left Jacobian of SO(3).
        angle = turns.norm(dim=-1)
        small = angle < 1e-2
        safe = torch.where(small, torch.ones_like(angle), angle)
        factor = torch.where(small, 1 / 12 + angle**2 / 720, 1 / safe**2 - 0.5 / (safe * torch.tan(0.5 * safe)))
        cross = skew(turns)
        by_turn = torch.eye(3).to(turns) - 0.5 * cross + factor[..., None, None] * cross @ cross
        return excess, by_turn * (excess != 0)[..., None]

    def clamp(self, rotmat: Tensor) -> Tensor:
        """The nearest rotations within the ranges, the root as it is: (..., 24, 3, 3) -> the same."""
        turns = matrix_to_axis_angle(rotmat[..., 1:, :, :])
        within = turns.clamp(self.lower, self.upper)
        beyond = (turns != within).any(-1)[..., None, None]
        body = torch.where(beyond, axis_angle_to_matrix(within), rotmat[..., 1:, :, :])
        return torch.cat([rotmat[..., :1, :, :], body], -3)


class SelfIntersection:
    """Limbs and trunk as capsules that must not lie in each other (as SMPLify has it, with capsules for its balls).

    Flesh gives: capsules may overlap as in the T-pose and by ``GIVES`` of their radii more. Their radii are the mean
    body's, their ends move with the shape as the nearest joints do.

    Args:
        body: The body.

    Attributes:
        ends: The capsules' ends as points of the body, two of each capsule one after the other.
    """

    #: Overlap that is taken for touching, as a share of the sum of the radii.
    GIVES = 0.25

    def __init__(self, body: SMPL) -> None:
        mean = torch.zeros(1, body.num_betas, dtype=body.template.dtype, device=body.template.device)
        joints = body.rest_joints(mean)[0]
        arrays = body.rest_vertices(mean)[0].double().cpu().numpy(), body.weights, joints.double().cpu().numpy()
        capsules = body_capsules(*arrays)
        ends = torch.tensor(capsules.ends).to(mean).flatten(0, 1)
        carrier = torch.tensor(capsules.joints).repeat_interleave(2)
        at_joints = AttachedPoints.at_joints(body, carrier.to(mean.device))
        nearest = torch.cdist(ends, joints).argmin(1)
        self.ends = replace(at_joints, rest=ends, shapedirs=at_joints.joint_shapedirs[nearest])
        radii = torch.tensor(capsules.radii).to(mean)
        self.first, self.second = torch.tensor(capsules.pairs).to(mean.device).unbind(1)
        self.reach = (1 - self.GIVES) * (radii[self.first] + radii[self.second]) - torch.tensor(capsules.allowed).to(
            mean
        )

    def depths(self, posed: Tensor) -> tuple[Tensor, Tensor]:
        """How deep the pairs lie in each other.

        Args:
            posed: The ends [m], shape (N, 2 C, 3).

        Returns:
            [m], shape (N, P), 0 where they do not; and its derivative by the ends, shape (N, P, 4, 3): both of the
            first capsule, both of the second.
        """
        ends = posed.unflatten(1, (-1, 2))
        first, second = ends[:, self.first], ends[:, self.second]
        s, t = (share.detach()[..., None] for share in closest_on_segments(first, second))
        apart = torch.lerp(first[..., 0, :], first[..., 1, :], s) - torch.lerp(second[..., 0, :], second[..., 1, :], t)
        distance = apart.square().sum(-1).clamp_min(1e-12).sqrt()
        depth = (self.reach - distance).relu()
        towards = -(apart / distance[..., None]) * (depth > 0)[..., None]
        return depth, torch.stack([(1 - s) * towards, s * towards, (t - 1) * towards, -t * towards], 2)

    def linearized(self, posed: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sum of squared depths with what a Gauss-Newton step needs of it.

        Args:
            posed: The ends [m], shape (N, 2 C, 3).
            jacobian: Their derivatives, shape (N, 2 C, 3, D).

        Returns:
            Half the sum of squares [m^2] (N,), its curvature (N, D, D) and its gradient (N, D).
        """
        depth, by_end = self.depths(posed)
        width = jacobian.shape[-1]
        hessian = jacobian.new_zeros(len(posed), width, width)
        gradient = jacobian.new_zeros(len(posed), width)
        frame, pair = torch.nonzero(depth > 0, as_tuple=True)  # few of the hundreds of pairs
        if len(frame):
            a, b = 2 * self.first[pair], 2 * self.second[pair]
            index = torch.stack([a, a + 1, b, b + 1], 1)
            row = torch.einsum("qex,qexd->qd", by_end[frame, pair], jacobian[frame[:, None], index])
            hessian.index_add_(0, frame, row[:, :, None] * row[:, None])
            gradient.index_add_(0, frame, depth[frame, pair, None] * row)
        return 0.5 * depth.square().sum(1), hessian, gradient
