"""Priors of a fit beyond the pose prior: joint limits, intersecting limbs, feet on their support."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from mviper.structures import KEYPOINTS, SMPL_JOINTS

#: The rotation vector's component about which a hinge bends, and the sign of bending.
_HINGES = {"left_knee": (0, 1), "right_knee": (0, 1), "left_elbow": (1, -1), "right_elbow": (1, 1)}

#: Share of the body's mass at each joint (P. de Leva, 1996, half of each segment at either end).
_MASS = {
    "head": 0.07, "neck": 0.05, "left_shoulder": 0.055, "right_shoulder": 0.055, "spine_3": 0.1, "spine_2": 0.1,
    "pelvis": 0.11, "left_hip": 0.075, "right_hip": 0.075, "left_knee": 0.09, "right_knee": 0.09, "left_ankle": 0.03,
    "right_ankle": 0.03, "left_elbow": 0.02, "right_elbow": 0.02, "left_wrist": 0.01, "right_wrist": 0.01,
}  # fmt: skip
#: The same in the order of SMPL's joints, shape (24,).
MASS = torch.tensor([_MASS.get(name, 0.0) for name in SMPL_JOINTS]) / sum(_MASS.values())


class JointLimits(nn.Module):
    """Limits of each joint's rotation vector: as in motion capture, but elbows and knees do not bend backwards.

    Args:
        prior: Pose prior that holds the ranges.

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
        """The excess (N, 23, 3), and its derivative with respect to w in ``R <- exp([w]) R``, (N, 23, 3, 3)."""
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
        """The nearest rotations within the ranges, the root unchanged: (..., 24, 3, 3) -> the same."""
        turns = matrix_to_axis_angle(rotmat[..., 1:, :, :])
        within = turns.clamp(self.lower, self.upper)
        beyond = (turns != within).any(-1)[..., None, None]
        body = torch.where(beyond, axis_angle_to_matrix(within), rotmat[..., 1:, :, :])
        return torch.cat([rotmat[..., :1, :, :], body], -3)


class SelfIntersection:
    """Limbs and trunk as capsules that must not intersect (as in SMPLify, with capsules instead of spheres).

    Flesh is soft: capsules may overlap as much as in the T-pose plus ``GIVES`` of their radii. Radii are the mean
    body's; the ends move with the shape as the nearest joints do.

    Args:
        body: The body.

    Attributes:
        ends: The capsules' ends as points of the body, two consecutive ones per capsule.
    """

    #: Overlap that counts as touching, as a share of the sum of the radii.
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
        """Depths of intersecting pairs.

        Args:
            posed: The ends [m], shape (N, 2 C, 3).

        Returns:
            [m], shape (N, P), 0 without intersection; and its derivatives with respect to the ends, shape (N, P, 4, 3):
            both of the first capsule, then both of the second.
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
        """Sum of squared depths with its Gauss-Newton terms.

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


@dataclass(frozen=True)
class Support:
    """Support of one person's feet in N frames, in camera axes.

    Attributes:
        anchors: Where points of the feet rest [m], shape (N, F, 3); NaN if they do not.
        up: Upward unit vectors, shape (N, 3).
        ground: Height of the ground along ``up`` [m], shape (N,); NaN if unknown.
    """

    anchors: Tensor
    up: Tensor
    ground: Tensor

    def at(self, frames: Tensor | slice) -> Support:
        """Some of the frames, by index or mask."""
        return Support(self.anchors[frames], self.up[frames], self.ground[frames])


class Standing:
    """Resting feet do not move, none goes through the ground, and the body is balanced over those that rest.

    Args:
        body: The body.
        mass: Share of the body's mass about each of SMPL's joints, shape (24,).
        held: Standard deviation of a resting point's position [m].
        sunk: Of a point's depth in the ground [m].
        balance: Of the centre of mass from the middle of the resting points, along the ground [m].
    """

    #: The points that may rest.
    FEET = tuple(KEYPOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("heel", "bigtoe"))

    def __init__(
        self, body: SMPL, mass: Tensor = MASS, held: float = 0.005, sunk: float = 0.02, balance: float = 0.12
    ) -> None:
        parts, share = AttachedPoints.at_keypoints(body)
        rows = share[list(self.FEET)]
        used = (rows != 0).any(0)
        used[:24] = True
        self.parts = parts[used]
        rows = torch.cat([rows, torch.cat([mass.to(rows), rows.new_zeros(rows.shape[1] - 24)])[None]])
        self.share = rows[:, used]
        self.held, self.sunk, self.balance = held, sunk, balance
        rest = body.rest_vertices(torch.zeros(1, body.num_betas).to(rows))[0]
        points = share[list(self.FEET)] @ parts.rest
        #: How far above the soles the points are [m], shape (F,).
        self.clearance = points[:, 1] - rest[:, 1].min()

    def linearized(
        self, support: Support, betas: Tensor, rotmat: Tensor, transl: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energy (N,), Gauss-Newton matrix (N, 75, 75) and gradient (N, 75) of bodies on a support."""
        posed, jacobian, _ = self.parts.linearized(betas, rotmat, transl)
        points = self.share @ posed
        by_pose = torch.einsum("kp,npxd->nkxd", self.share, jacobian)
        feet, centre = points[:, :-1], points[:, -1]
        resting = support.anchors.isfinite().all(-1)
        off = torch.where(resting[..., None], feet - support.anchors.nan_to_num(), torch.zeros_like(feet)) / self.held
        by_place = by_pose[:, :-1] * (resting / self.held)[..., None, None]
        depth = (support.ground[:, None] + self.clearance - (feet * support.up[:, None]).sum(-1)).nan_to_num()
        depth = depth.relu() * ~resting / self.sunk
        downwards = -torch.einsum("nkxd,nx->nkd", by_pose[:, :-1], support.up) * ((depth > 0) / self.sunk)[..., None]
        count = resting.sum(1)
        middle = (support.anchors.nan_to_num() * resting[..., None]).sum(1) / count.clamp_min(1)[:, None]
        along = torch.eye(3).to(points) - support.up[:, :, None] * support.up[:, None]
        weight = (count > 0).to(points) / self.balance
        lean = (along @ (centre - middle)[..., None]).squeeze(-1) * weight[:, None]
        residual = torch.cat([off.flatten(1), depth, lean], 1)
        matrix = torch.cat([by_place.flatten(1, 2), downwards, (along @ by_pose[:, -1]) * weight[:, None, None]], 1)
        hessian = matrix.transpose(1, 2) @ matrix
        gradient = (matrix.transpose(1, 2) @ residual[..., None]).squeeze(-1)
        return 0.5 * residual.square().sum(1), hessian, gradient
