"""A tailor's measurements, taken from joints and slices of the rest-pose surface (never from vertex ids)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from mviper.body.surface import BodyShape, slice_surface


@dataclass(frozen=True)
class Section:
    """One closed slice of the body, as a tape measure sees it.

    Attributes:
        centre: Middle of its bounding box in the slice's two axes [m], shape (2,).
        half: Half of its extent along them [m], shape (2,).
        girth: Length of its convex hull [m].
        lowest: Smallest second coordinate [m].
        highest: Largest second coordinate [m].
    """

    centre: np.ndarray
    half: np.ndarray
    girth: float
    lowest: float
    highest: float


class Measurements:
    """Measures a body in its rest pose (world axes: z up, facing -y, left arm towards +x).

    Args:
        shape: The body.
    """

    def __init__(self, shape: BodyShape) -> None:
        self._shape = shape

    def joint(self, name: str) -> np.ndarray:
        """Place of a joint [m], shape (3,)."""
        return self._shape.joint(name)

    def horizontal(self, height: float, near: tuple[float, float]) -> Section:
        """Slice at a height; the piece that encloses, or is nearest to, ``near`` (x, y). Axes (x, y)."""
        return self._section(2, height, near)

    def torso(self, height: float) -> Section:
        """The trunk's slice at a height, below the armpits and above the crotch."""
        spine = self.joint("spine_2")
        return self.horizontal(height, (0.0, spine[1]))

    def leg(self, height: float) -> Section:
        """The left leg's slice at a height below the crotch."""
        hip, knee, ankle = (self.joint(f"left_{name}") for name in ("hip", "knee", "ankle"))
        axis = np.stack([ankle, knee, hip])
        near = [np.interp(height, axis[:, 2], axis[:, k]) for k in (0, 1)]
        return self.horizontal(height, (near[0], near[1]))

    def arm(self, share: float) -> Section:
        """The left arm's slice at a share of the upper arm (above 1: forearm). Axes (y, z)."""
        shoulder, elbow, wrist = (self.joint(f"left_{name}") for name in ("shoulder", "elbow", "wrist"))
        on_axis = shoulder + share * (elbow - shoulder) if share <= 1 else elbow + (share - 1) * (wrist - elbow)
        return self._section(0, float(on_axis[0]), (float(on_axis[1]), float(on_axis[2])))

    @property
    def armpit_height(self) -> float:
        """Height of the armpit: the arm's underside near the trunk [m]."""
        return self.arm(0.3).lowest

    @property
    def shoulder_height(self) -> float:
        """Height of the shoulder's top over its joint [m]."""
        return self.arm(0.0).highest

    @property
    def crotch_height(self) -> float:
        """Height of the crotch [m]."""
        return self._shape.crotch_height()

    def trunk_level(self, share: float) -> float:
        """Height at a share of the way from the armpits down to the crotch [m]; beyond 1 it lies on the legs."""
        return self.armpit_height - share * (self.armpit_height - self.crotch_height)

    def contour_lengths(self, x: float, height: float) -> tuple[float, float]:
        """Lengths [m] from a height up to the top of the trunk's slice at ``x``: over its front and over its back."""
        spine = self.joint("spine_3")
        pieces = [piece[:, 1:] for piece in self._slice(0, x)]
        piece = min(pieces, key=lambda piece: np.linalg.norm(piece - spine[1:], axis=1).min())
        hull = piece[ConvexHull(piece).vertices]
        top = hull[hull[:, 1].argmax()]
        lengths = []
        for side in (-1, 1):
            path = hull[(side * (hull[:, 0] - top[0]) >= 0) & (hull[:, 1] > height)]
            path = path[np.argsort(path[:, 1])]
            path = np.concatenate([[[path[0, 0], height]], path])
            lengths.append(float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()))
        return lengths[0], lengths[1]

    def _slice(self, axis: int, value: float) -> list[np.ndarray]:
        """Pieces (K, 3) of the cut by the plane at ``value`` on an axis."""
        normal = np.eye(3)[axis]
        return [
            loop
            for loop in slice_surface(self._shape.vertices, self._shape.faces, value * normal, normal)
            if len(loop) > 3
        ]

    def _section(self, axis: int, value: float, near: tuple[float, float]) -> Section:
        across = [k for k in range(3) if k != axis]
        pieces = [piece[:, across] for piece in self._slice(axis, value)]
        if not pieces:
            raise ValueError(f"the plane {'xyz'[axis]} = {value:.3f} m misses the body")
        place = np.array(near)

        def distance(piece: np.ndarray) -> float:
            outside = np.maximum(piece.min(axis=0) - place, place - piece.max(axis=0)).clip(0)
            # Of several pieces whose box encloses the point, the one centred nearest to it.
            middle = 0.5 * (piece.min(axis=0) + piece.max(axis=0))
            return float(100 * np.linalg.norm(outside) + np.linalg.norm(middle - place))

        piece = min(pieces, key=distance)
        hull = piece[ConvexHull(piece).vertices]
        low, high = piece.min(axis=0), piece.max(axis=0)
        girth = np.linalg.norm(hull - np.roll(hull, 1, axis=0), axis=1).sum()
        return Section(0.5 * (low + high), 0.5 * (high - low), float(girth), float(low[1]), float(high[1]))
