"""A tailor's measurements, taken from joints and slices of the rest-pose surface (never from vertex ids).

Girths are those of a tape, which spans hollows: the convex hull of a slice. The T-pose is measured; a tailor measures
with hanging arms, so lengths round the shoulder differ by some centimetres.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from mviper.body import BodyShape, slice_surface

#: A tailor's measurements, each a property of :class:`Measurements`.
TAILORS_LIST = (
    "height", "neck", "bust", "waist", "hip", "shoulder_width", "back_length", "front_length", "arm_length",
    "upper_arm", "wrist", "head_girth", "inseam", "outseam", "thigh", "ankle",
)  # fmt: skip


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
        """Position of a joint [m], shape (3,)."""
        return self._shape.joint(name)

    def horizontal(self, height: float, near: tuple[float, float]) -> Section:
        """Slice at a height: the piece that encloses, or is nearest to, ``near`` (x, y). Axes (x, y)."""
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

    def as_dict(self) -> dict[str, float]:
        """The tailor's list: all named lengths and girths [m]."""
        return {name: getattr(self, name) for name in TAILORS_LIST}

    @functools.cached_property
    def _tape(self) -> dict[str, float]:
        return self._shape.measurements()

    @property
    def height(self) -> float:
        """From the soles to the top of the head [m]."""
        return self._tape["height"]

    @property
    def bust(self) -> float:
        """Horizontal girth where the chest is deepest, below the armpits [m]."""
        return self._tape["bust"]

    @property
    def waist(self) -> float:
        """Smallest horizontal girth between the lower and the upper spine joint [m]."""
        return self._tape["waist"]

    @property
    def hip(self) -> float:
        """Largest horizontal girth from the crotch up to the lower spine joint [m]."""
        return self._tape["hip"]

    @property
    def neck(self) -> float:
        """Smallest girth across the neck [m]."""
        return self._tape["neck"]

    @property
    def upper_arm(self) -> float:
        """Girth of the upper arm half way to the elbow [m]."""
        return self._tape["upper_arm"]

    @property
    def wrist(self) -> float:
        """Girth of the wrist at its joint [m]."""
        return self._tape["wrist"]

    @property
    def thigh(self) -> float:
        """Girth of the thigh 5 cm under the crotch [m]."""
        return self._tape["thigh"]

    @property
    def ankle(self) -> float:
        """Smallest girth in the lowest third of the shin [m]."""
        return self._tape["ankle"]

    @property
    def head_girth(self) -> float:
        """Largest horizontal girth of the head above the ears' level [m]."""
        return self.head.girth

    @property
    def shoulder_width(self) -> float:
        """From shoulder joint to shoulder joint, straight [m]."""
        return self._tape["shoulder_width"]

    @property
    def arm_length(self) -> float:
        """From the shoulder's joint over the elbow's to the wrist's [m]."""
        return self._tape["arm_length"]

    @property
    def inseam(self) -> float:
        """From the crotch straight down to the floor [m]."""
        return self._tape["inseam"]

    @property
    def outseam(self) -> float:
        """From the waist straight down to the floor [m]."""
        return self.waist_height - self._floor

    @functools.cached_property
    def back_length(self) -> float:
        """From the nape (behind the neck's joint) down the middle of the back to the waist [m]."""
        piece, nape = self._lengthwise(0.0), self.joint("neck")
        back = piece[(piece[:, 0] > nape[1]) & (piece[:, 1] > self.waist_height) & (piece[:, 1] < nape[2])]
        back = back[np.argsort(back[:, 1])]
        return float(np.linalg.norm(np.diff(back, axis=0), axis=1).sum())

    @functools.cached_property
    def front_length(self) -> float:
        """From the shoulder at the neck, over the breast, down to the waist [m]."""
        return self.contour_lengths(0.5 * self.neck / np.pi + 0.01, self.waist_height)[0]

    @functools.cached_property
    def waist_height(self) -> float:
        """Height at which the waist is measured [m]."""
        levels = np.linspace(self.joint("spine_1")[2], self.joint("spine_3")[2], 25)
        return float(min(levels, key=lambda level: self.torso(level).girth))

    @functools.cached_property
    def head(self) -> Section:
        """The head's largest horizontal slice above its joint. Axes (x, y)."""
        place = self.joint("head")
        levels = np.linspace(0.5 * (place[2] + self.head_top), self.head_top - 0.02, 12)
        sections = [self.horizontal(level, (0.0, place[1])) for level in levels]
        return max(sections, key=lambda section: section.girth)

    @property
    def head_top(self) -> float:
        """Height of the top of the head [m]."""
        return float(self._shape.vertices[:, 2].max())

    @property
    def _floor(self) -> float:
        return float(self._shape.vertices[:, 2].min())

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
        """Height at a share of the distance from the armpits down to the crotch [m]; beyond 1 it is on the legs."""
        return self.armpit_height - share * (self.armpit_height - self.crotch_height)

    def contour_lengths(self, x: float, height: float) -> tuple[float, float]:
        """Lengths [m] from a height up to the top of the trunk's slice at ``x``: over its front and over its back."""
        piece = self._lengthwise(x)
        hull = piece[ConvexHull(piece).vertices]
        top = hull[hull[:, 1].argmax()]
        lengths = []
        for side in (-1, 1):
            path = hull[(side * (hull[:, 0] - top[0]) >= 0) & (hull[:, 1] > height)]
            path = path[np.argsort(path[:, 1])]
            path = np.concatenate([[[path[0, 0], height]], path])
            lengths.append(float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()))
        return lengths[0], lengths[1]

    def _lengthwise(self, x: float) -> np.ndarray:
        """The trunk's slice at ``x`` as a closed line (K, 2), axes (y, z)."""
        spine = self.joint("spine_3")
        pieces = [piece[:, 1:] for piece in self._slice(0, x)]
        return min(pieces, key=lambda piece: np.linalg.norm(piece - spine[1:], axis=1).min())

    def _slice(self, axis: int, value: float) -> list[np.ndarray]:
        """Pieces (K, 3) of the section by the plane at ``value`` on an axis."""
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
            # If the boxes of several pieces enclose the point, the piece centred nearest to it.
            middle = 0.5 * (piece.min(axis=0) + piece.max(axis=0))
            return float(100 * np.linalg.norm(outside) + np.linalg.norm(middle - place))

        piece = min(pieces, key=distance)
        hull = piece[ConvexHull(piece).vertices]
        low, high = piece.min(axis=0), piece.max(axis=0)
        girth = np.linalg.norm(hull - np.roll(hull, 1, axis=0), axis=1).sum()
        return Section(0.5 * (low + high), 0.5 * (high - low), float(girth), float(low[1]), float(high[1]))
