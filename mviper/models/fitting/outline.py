"""Compares a body's outline with a person's mask in the picture, which tells how broad the person is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from mviper.body import SMPL, AttachedPoints
from mviper.graphics import fill_triangles
from mviper.models.fitting.projection import Projection
from mviper.structures import SMPL_JOINTS

#: Parts left out of the outline: hair, shoes and fingers are not the body's.
_LEFT_OUT = [
    SMPL_JOINTS.index(name)
    for name in (
        "head", "neck", "left_wrist", "right_wrist", "left_hand", "right_hand", "left_ankle", "right_ankle",
        "left_foot", "right_foot",
    )
]  # fmt: skip
#: Candidate surface points for the outline.
_POINTS = 400
#: A point this near to the edge of the body's silhouette is on its outline [px of the mask].
_ON_EDGE = 0.8


@dataclass(frozen=True)
class Masks:
    """Masks of one person in S frames.

    Attributes:
        frames: Their indices in the track, shape (S,).
        distance: How far inside the person each cell's centre is, negative outside [px of the picture], (S, G, G).
        squares: The part of the picture that the cells cover: centre x, centre y, side [px], shape (S, 3).
    """

    frames: Tensor
    distance: Tensor
    squares: Tensor

    @classmethod
    def of_probabilities(cls, frames: Sequence[int], masks: np.ndarray, squares: np.ndarray) -> Masks:
        """From each cell's probability of showing the person.

        Args:
            frames: Their indices in the track, S of them.
            masks: 0 to 1, shape (S, G, G).
            squares: Centre x, centre y, side [px], shape (S, 3).
        """
        distance = np.stack([_distance(mask - 0.5) for mask in masks]) * squares[:, 2, None, None] / masks.shape[1]
        return cls(
            torch.as_tensor(frames), torch.from_numpy(distance).float(), torch.from_numpy(np.asarray(squares)).float()
        )

    def at(self, frames: Tensor | slice) -> Masks:
        """Some of the S frames, by index or mask."""
        return Masks(self.frames[frames], self.distance[frames], self.squares[frames])

    def to(self, like: Tensor) -> Masks:
        """The same on a tensor's device and in its dtype."""
        return Masks(self.frames.to(like.device), self.distance.to(like), self.squares.to(like))

    def cells(self, pixels: Tensor) -> Tensor:
        """Places in the picture (S, P, 2) in cells, the first one's centre at 0."""
        count = self.distance.shape[-1]
        corner = self.squares[:, None, :2] - self.squares[:, None, 2:] / 2
        return (pixels - corner) * (count / self.squares[:, None, 2:]) - 0.5

    def inside(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How far inside places (S, P, 2) are [px] (S, P), the derivative (S, P, 2), and which are in the square."""
        count, cells = self.distance.shape[-1], self.cells(pixels)
        within = ((cells > 0) & (cells < count - 1)).all(-1)
        low = cells.floor().clamp(0, count - 2).long()
        share = (cells - low).clamp(0, 1)
        flat, index = self.distance.flatten(1), low[..., 1] * count + low[..., 0]
        a, b, c, d = (flat.gather(1, index + step) for step in (0, 1, count, count + 1))
        x, y = share.unbind(-1)
        value = (1 - y) * ((1 - x) * a + x * b) + y * ((1 - x) * c + x * d)
        slope = torch.stack([(1 - y) * (b - a) + y * (d - c), (1 - x) * (c - a) + x * (d - b)], -1)
        return value, slope * (count / self.squares[:, None, 2:]), within


def _distance(level: np.ndarray) -> np.ndarray:
    """Signed distance to the zero line of a field [cells], positive where it is positive; exact to a part of a cell."""
    inside = level > 0
    if inside.all() or not inside.any():
        return np.where(inside, level.size, -float(level.size))
    far = distance_transform_edt(inside) - distance_transform_edt(~inside)
    far = far - 0.5 * np.sign(far)
    # Next to the edge the field itself says where between two centres it runs.
    slope = np.hypot(*np.gradient(level)).clip(1e-3)
    near = level / slope
    return np.where(np.abs(far) <= 0.5, near.clip(-1, 1), far)


class Outline:
    """The surface points of a body on its outline, and their distance to a mask's edge.

    Args:
        body: The body.
        offset: How far a body's outline lies inside masks [m].
        noise: Standard deviation of that along the outline [m].
    """

    #: Number of outline points with independent errors.
    INDEPENDENT = 12.0

    def __init__(self, body: SMPL, offset: float = 0.0, noise: float = 0.02) -> None:
        self.offset, self.noise = offset, noise
        self.faces = np.ascontiguousarray(body.faces, dtype=np.int64)
        self.body = body
        rest = body.rest_vertices(torch.zeros(1, body.num_betas).to(body.template))[0]
        corners = rest[torch.as_tensor(self.faces)]
        area = 0.5 * torch.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], dim=-1).norm(dim=-1)
        left_out = body.layer.lbs_weights[:, _LEFT_OUT].sum(1)[torch.as_tensor(self.faces)].amax(1) > 0.1
        chosen = torch.multinomial(
            (area * ~left_out).double().cpu(), _POINTS, replacement=False, generator=torch.Generator().manual_seed(0)
        )
        self.points = AttachedPoints.on_surface(body, chosen.to(rest.device), rest.new_full((_POINTS, 3), 1 / 3))

    def on_edge(
        self, masks: Masks, projection: Projection, betas: Tensor, rotmat: Tensor, transl: Tensor, pixels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Which points are on the outline of the body's picture, and how far inside it they are.

        Args:
            masks: The S frames.
            projection: Their camera.
            betas: Shape (S, B).
            rotmat: Shape (S, 24, 3, 3).
            transl: [m], shape (S, 3).
            pixels: Where the points are in the picture [px], shape (S, P, 2).

        Returns:
            Shape (S, P) bool, and [px], shape (S, P).
        """
        count = masks.distance.shape[-1]
        vertices = self.body(betas, rotmat, transl).vertices
        places = masks.cells(projection.project(vertices, transl)).double().cpu().numpy()
        nearness = (1 / vertices[..., 2].clamp_min(1e-3)).double().cpu().numpy()
        distance = []
        for place, near in zip(places, nearness):
            face_of = np.full((count, count), -1, np.int32)
            fill_triangles(place, near, self.faces, False, face_of, np.full((count, count), -np.inf, np.float32))
            distance.append(_distance(np.where(face_of >= 0, 0.5, -0.5)))
        size = masks.squares[:, 2, None, None] / count
        drawn = Masks(masks.frames, torch.from_numpy(np.stack(distance)).to(size) * size, masks.squares)
        depth, _, within = drawn.inside(pixels)
        return within & (depth.abs() < _ON_EDGE * size[..., 0]), depth

    def misfit(
        self,
        masks: Masks,
        edge: tuple[Tensor, Tensor],
        pixels: Tensor,
        by_pixel: Tensor,
        unit: Tensor,
        scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energy (S,), Gauss-Newton matrix (S, D, D) and gradient (S, D) of points on the outline.

        Args:
            masks: The S frames.
            edge: From :meth:`on_edge`.
            pixels: Where they are in the picture [px], shape (S, P, 2).
            by_pixel: Their derivatives, shape (S, P, 2, D).
            unit: Pixels per metre at the person's depth, shape (S,).
            scale: Width of the robust loss [m].
        """
        depth, slope, within = masks.inside(pixels)
        counted, own = edge
        off = (depth - own) / unit[:, None] - self.offset
        counted = counted & within
        precision = counted * (self.INDEPENDENT / counted.sum(1).clamp_min(self.INDEPENDENT))[:, None] / self.noise**2
        fade = 1 + (off / scale).square()
        row = (slope[..., None, :] @ by_pixel).squeeze(-2) / unit[:, None, None]
        weighted = (row * (precision / fade.square())[..., None]).transpose(1, 2)
        energy = 0.5 * (precision * off.square() / fade).sum(1)
        return energy, weighted @ row, (weighted @ off[..., None]).squeeze(-1)
