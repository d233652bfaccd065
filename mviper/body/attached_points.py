"""Points attached to a body (markers, joints, single vertices), posed without its mesh, and their derivatives.

Linear blend skinning works point by point: 41 markers cost 41 points, not 6890 vertices. A point's rest position, shape
directions, pose correctives and skinning weights are interpolated on its triangle. This module gives posed points,
their exact derivatives with respect to pose and shape, and autograd gradients; MoSh and all other fits to points build
on it.

The derivative with respect to a joint's rotation is taken along ``R <- exp([w]) R``, R relative to the parent: three
numbers per joint, without the ambiguities of axis-angle.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from mviper.body.rotations import skew
from mviper.body.smpl import SMPL
from mviper.structures import SMPL_PARENTS

_PARENTS = SMPL_PARENTS.tolist()

#: ``DESCENDANTS[j, k]`` = 1 if k is j or below it: a rotation at j moves k.
DESCENDANTS = torch.eye(24)
for _joint in range(23, 0, -1):
    DESCENDANTS[_PARENTS[_joint]] += DESCENDANTS[_joint]


@dataclass(frozen=True)
class AttachedPoints:
    """P points on a body.

    Attributes:
        rest: Positions on the mean body in the T-pose, SMPL's axes [m], shape (P, 3).
        shapedirs: How the shape moves them [m], shape (P, 3, B).
        posedirs: How the pose correctives move them [m], shape (P, 3, 207).
        weights: Skinning weights, shape (P, 24).
        joints: The body's joints in the T-pose [m], shape (24, 3).
        joint_shapedirs: How the shape moves the joints [m], shape (24, 3, B).
    """

    rest: Tensor
    shapedirs: Tensor
    posedirs: Tensor
    weights: Tensor
    joints: Tensor
    joint_shapedirs: Tensor

    @classmethod
    def on_surface(cls, body: SMPL, faces: Tensor, barycentric: Tensor) -> AttachedPoints:
        """Points on triangles of the surface.

        Args:
            body: The body model.
            faces: Index of each point's triangle, shape (P,).
            barycentric: Its barycentric coordinates on the triangle, shape (P, 3).
        """
        corners = torch.as_tensor(body.faces, device=body.template.device)[faces]
        share = barycentric.to(body.template)

        def interpolate(per_vertex: Tensor) -> Tensor:
            return torch.einsum("pk,pk...->p...", share, per_vertex[corners])

        posedirs = body.layer.posedirs.T.unflatten(0, (-1, 3))  # (V, 3, 207)
        return cls(
            interpolate(body.template), interpolate(body.shapedirs), interpolate(posedirs),
            interpolate(body.layer.lbs_weights), *_joint_basis(body),
        )  # fmt: skip

    @classmethod
    def at_joints(cls, body: SMPL, joints: Tensor) -> AttachedPoints:
        """SMPL's joints by their indices, shape (P,)."""
        template, shapedirs = _joint_basis(body)
        posedirs = template.new_zeros(len(joints), 3, 207)
        weights = torch.eye(24, dtype=template.dtype, device=template.device)[joints]
        return cls(template[joints], shapedirs[joints], posedirs, weights, template, shapedirs)

    @classmethod
    def at_keypoints(cls, body: SMPL) -> tuple[AttachedPoints, Tensor]:
        """All 44 keypoints of the body, exactly.

        Returns:
            P points of one bone each (SMPL's joints, then the parts of the surface joints), and each point's share in
            each keypoint, (44, P): ``keypoints = share @ points``.
        """
        joints = cls.at_joints(body, torch.arange(24, device=body.template.device))
        bones, parts_share = body.part_bones, body.part_share
        parts = cls(
            body.part_template, body.part_shapedirs, body.part_posedirs.T.unflatten(0, (-1, 3)),
            torch.eye(24).to(parts_share)[bones], *_joint_basis(body),
        )  # fmt: skip
        share = torch.block_diag(torch.eye(24).to(parts_share), parts_share)
        return joints + parts, share

    def __len__(self) -> int:
        return len(self.rest)

    def __add__(self, others: AttachedPoints) -> AttachedPoints:
        """Concatenates points of the same body."""
        joined = {
            name: torch.cat([getattr(self, name), getattr(others, name)])
            for name in ("rest", "shapedirs", "posedirs", "weights")
        }
        return replace(self, **joined)

    def __getitem__(self, chosen: Tensor | slice) -> AttachedPoints:
        """Selects points by index or mask."""
        return replace(
            self, **{name: getattr(self, name)[chosen] for name in ("rest", "shapedirs", "posedirs", "weights")}
        )

    def to(self, *args: Any, **kwargs: Any) -> AttachedPoints:
        """Moves to another device or dtype; arguments as for ``Tensor.to``."""
        return AttachedPoints(**{field.name: getattr(self, field.name).to(*args, **kwargs) for field in fields(self)})

    def rest_joints(self, betas: Tensor) -> Tensor:
        """The body's joints in the T-pose for a shape (B,) or shapes (N, B): (24, 3) or (N, 24, 3) [m]."""
        return self.joints + _shaped(self.joint_shapedirs, betas)

    def rest_points(self, betas: Tensor) -> Tensor:
        """The points in the T-pose for a shape (B,) or shapes (N, B): (P, 3) or (N, P, 3) [m]."""
        return self.rest + _shaped(self.shapedirs, betas)

    def posed(self, betas: Tensor, rotmat: Tensor, transl: Tensor, offsets: Tensor | None = None) -> Tensor:
        """The points' positions on posed bodies.

        Args:
            betas: One shape, shape (B,), or one per frame, shape (N, B).
            rotmat: Rotation of each joint relative to its parent's, shape (N, 24, 3, 3).
            transl: [m], shape (N, 3).
            offsets: Each point's offset from its place on the body, in the T-pose's axes [m], shape (P, 3).

        Returns:
            [m], shape (N, P, 3).
        """
        rest = self.rest_points(betas)
        shaped = self._corrected(rest if offsets is None else rest + offsets, rotmat)
        turned, places = joint_transforms(rotmat, transl, self.rest_joints(betas))
        rotation, shift = self._blended(turned, places, self.rest_joints(betas))
        return (rotation @ shaped[..., None]).squeeze(-1) + shift

    def _corrected(self, rest: Tensor, rotmat: Tensor) -> Tensor:
        """Rest points (P, 3) or (N, P, 3) with pose correctives: (N, P, 3)."""
        feature = (rotmat[:, 1:] - torch.eye(3, dtype=rotmat.dtype, device=rotmat.device)).flatten(1)
        return rest + (feature @ self.posedirs.flatten(0, 1).T).unflatten(1, (-1, 3))

    def _blended(self, turned: Tensor, places: Tensor, rest_joints: Tensor) -> tuple[Tensor, Tensor]:
        """Each point's blended rotation (N, P, 3, 3) and shift (N, P, 3)."""
        shifts = places - (turned @ rest_joints[..., None]).squeeze(-1)
        rotation = (self.weights @ turned.flatten(2)).unflatten(-1, (3, 3))
        return rotation, self.weights @ shifts

    def linearized(
        self, betas: Tensor, rotmat: Tensor, transl: Tensor, offsets: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Posed points with their derivatives with respect to pose.

        Args:
            betas: Shape (B,) or (N, B).
            rotmat: Shape (N, 24, 3, 3).
            transl: [m], shape (N, 3).
            offsets: [m], shape (P, 3); see :meth:`posed`.

        Returns:
            Points (N, P, 3) [m]; their derivatives with respect to the 24 joints' rotations (see the module) and, in
            the last three columns, the translation, (N, P, 3, 75); each point's blended rotation (N, P, 3, 3), which is
            the derivative with respect to its offset.
        """
        rest_joints = self.rest_joints(betas)
        rest = self.rest_points(betas)
        shaped = self._corrected(rest if offsets is None else rest + offsets, rotmat)
        turned, places = joint_transforms(rotmat, transl, rest_joints)
        rotation, shift = self._blended(turned, places, rest_joints)
        points = (rotation @ shaped[..., None]).squeeze(-1) + shift

        # A rotation at joint j moves the part of each point that is skinned to j and the joints below it.
        shifts = places - (turned @ rest_joints[..., None]).squeeze(-1)
        carried = torch.einsum("njab,npb->npja", turned, shaped) + shifts[:, None]  # (N, P, 24, 3)
        below = DESCENDANTS.to(points)
        arms = below @ (self.weights[..., None] * carried) - (self.weights @ below.T)[..., None] * places[:, None]
        parents = torch.cat([torch.eye(3).to(turned).expand(len(turned), 1, 3, 3), turned[:, _PARENTS[1:]]], 1)
        # d/dw of (P w) x a: column by column the cross product of P's columns with a, written where it belongs.
        jacobian = points.new_empty(*points.shape, 75)
        by_turn = jacobian[..., :72].unflatten(-1, (24, 3))  # (N, P, 3 xyz, 24, 3 w)
        rows, arm = parents[:, None].unbind(-2), arms[..., None].unbind(-2)
        for x, y, z in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            torch.mul(rows[y], arm[z], out=by_turn[:, :, x])
            by_turn[:, :, x].addcmul_(rows[z], arm[y], value=-1)
        jacobian[..., 72:] = torch.eye(3).to(points)

        # The correctives also depend on the joint's own rotation.
        turns = turn_derivatives(rotmat[:, 1:]).flatten(-2)  # (N, 23, 3 w, 9)
        moved = torch.einsum("qjx,njwx->nqjw", self.posedirs.flatten(0, 1).unflatten(1, (23, 9)), turns)
        moved = moved.unflatten(1, (-1, 3)).flatten(-2)  # (N, P, 3, 69)
        jacobian[..., 3:72] += rotation @ moved
        return points, jacobian, rotation

    def shape_derivative(self, rotmat: Tensor) -> Tensor:
        """Derivative of the posed points by shape, independent of the shape: (N, 24, 3, 3) -> (N, P, 3, B)."""
        turned = _global_rotations(rotmat)
        rotation = (self.weights @ turned.flatten(2)).unflatten(-1, (3, 3))
        directions = self.joint_shapedirs  # (24, 3, B)
        places = [directions[0].expand(len(rotmat), -1, -1)]
        for joint in range(1, 24):
            parent = _PARENTS[joint]
            places.append(places[parent] + turned[:, parent] @ (directions[joint] - directions[parent]))
        shifts = torch.stack(places, 1) - turned @ directions
        return rotation @ self.shapedirs + torch.einsum("pj,njab->npab", self.weights, shifts)


def _shaped(directions: Tensor, betas: Tensor) -> Tensor:
    """Directions (P, 3, B) times a shape (B,) or shapes (N, B): (P, 3) or (N, P, 3)."""
    return (betas @ directions.flatten(0, 1).T).unflatten(-1, directions.shape[:2])


def _joint_basis(body: SMPL) -> tuple[Tensor, Tensor]:
    betas = torch.cat([torch.zeros(1, body.num_betas), torch.eye(body.num_betas)]).to(body.template)
    joints = body.rest_joints(betas)
    return joints[0], (joints[1:] - joints[0]).permute(1, 2, 0)


def _global_rotations(rotmat: Tensor) -> Tensor:
    turned = [rotmat[:, 0]]
    for joint in range(1, 24):
        turned.append(turned[_PARENTS[joint]] @ rotmat[:, joint])
    return torch.stack(turned, 1)


def joint_transforms(rotmat: Tensor, transl: Tensor, rest_joints: Tensor) -> tuple[Tensor, Tensor]:
    """Forward kinematics.

    Args:
        rotmat: Relative rotations, shape (N, 24, 3, 3).
        transl: [m], shape (N, 3).
        rest_joints: [m], shape (24, 3) or (N, 24, 3).

    Returns:
        Global rotations (N, 24, 3, 3) and joint positions (N, 24, 3) [m].
    """
    turned = _global_rotations(rotmat)
    bones = rest_joints[..., 1:, :] - rest_joints[..., _PARENTS[1:], :]
    steps = (turned[:, _PARENTS[1:]] @ bones[..., None]).squeeze(-1)
    # A joint's position is the root's plus the bones on the way to it.
    way = DESCENDANTS.T[:, 1:].to(steps)
    return turned, rest_joints[..., :1, :] + transl[:, None] + way @ steps


def turn_derivatives(rotmat: Tensor) -> Tensor:
    """Derivative of ``exp([w]) R`` by the three numbers of w: (..., 3, 3) -> (..., 3 w, 3, 3)."""
    generators = skew(torch.eye(3, dtype=rotmat.dtype, device=rotmat.device))
    return generators @ rotmat[..., None, :, :]
