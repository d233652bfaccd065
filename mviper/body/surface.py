"""Measures the surface of any body for cutting garments, from joints and slices, never from vertex ids."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import ConvexHull

from mviper.errors import MviperError
from mviper.structures import KEYPOINTS

if TYPE_CHECKING:
    from mviper.body.smpl import SMPL

UP = np.array([0.0, 0.0, 1.0])


@dataclasses.dataclass
class BodyShape:
    """One person's body at rest: the T-pose in WORLD axes (z up, facing south, -y) with the soles at z = 0.

    Attributes:
        vertices: (V, 3) float64 [m].
        faces: (F, 3) int64.
        joints: (44, 3) float64 in the order of ``KEYPOINTS`` [m].
        weights: (V, 24) skinning weights, or None.
        uv: Texture coordinates of the faces' corners, (F, 3, 2), or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    joints: np.ndarray
    weights: np.ndarray | None = None
    uv: np.ndarray | None = None

    @classmethod
    def from_body(cls, body: SMPL, betas: np.ndarray) -> BodyShape:
        """Builds the rest shape of a body model.

        Args:
            body: The body model.
            betas: (num_betas,).

        Returns:
            The shape, with the body model's vertices in the same order.
        """
        with torch.no_grad():
            device = body.template.device
            shape = torch.as_tensor(betas, dtype=torch.float32, device=device)[None]
            output = body(shape, torch.eye(3, device=device).expand(1, 24, 3, 3))
        vertices, joints = (
            part[0].double().cpu().numpy()[:, [0, 2, 1]] * [1, -1, 1] for part in (output.vertices, output.joints)
        )
        ground = np.array([0.0, 0.0, vertices[:, 2].min()])
        uv = body.uv[body.uv_faces] if body.uv is not None else None
        return cls(vertices - ground, body.faces, joints - ground, body.weights, uv)

    def joint(self, name: str) -> np.ndarray:
        """A keypoint's position (3,) [m]."""
        return self.joints[KEYPOINTS.index(name)]

    def section(self, point: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """The closed loop (K, 3) of a planar section around a point, or nearest to it.

        Args:
            point: (3,) on the plane, inside the limb.
            normal: (3,) of the plane.

        Raises:
            MviperError: The plane misses the body.
        """
        loops = slice_surface(self.vertices, self.faces, point, normal)
        if not loops:
            raise MviperError(f"a plane through {np.round(point, 3)} does not meet the body")
        # A limb's own loop lies around the point on all sides; another limb's lies on one side.
        return min(loops, key=lambda loop: np.linalg.norm(0.5 * (loop.max(0) + loop.min(0)) - point))

    def girth(self, point: np.ndarray, normal: np.ndarray) -> float:
        """Tape measurement around the limb at a point [m]; the tape spans hollows."""
        return tape_length(self.section(point, normal), normal)

    def crotch_height(self) -> float:
        """Greatest height at which the midline between the legs is free [m]."""
        low, high = self.joint("left_knee")[2], self.joint("pelvis")[2] + 0.05
        for _ in range(20):
            level = 0.5 * (low + high)
            loop = self.section(self.joint("left_hip") * [1, 1, 0] + [0, 0, level], UP)
            low, high = (level, high) if loop[:, 0].min() > 0 else (low, level)
        return low

    def measurements(self) -> dict[str, float]:
        """Tailoring measurements of the T-pose.

        Returns:
            Heights, lengths and girths [m]:

            - ``height``; ``inseam``: crotch to floor; ``arm_length``: shoulder, elbow, wrist joints;
            - ``shoulder_width``: between the shoulder joints;
            - ``bust``: horizontal girth where the chest is deepest between the middle spine joint and the armpits;
            - ``waist``: smallest between the lower and the upper spine joints;
            - ``hip``: largest from the crotch up to the lower spine joint;
            - ``neck``: smallest across the neck; ``upper_arm`` half way to the elbow, ``wrist`` at its joint;
            - ``thigh``: 5 cm below the crotch; ``ankle``: smallest in the lowest third of the shin.
        """
        crotch = self.crotch_height()
        axis = self.joint("spine_2") * [0, 1, 0]
        shoulder, elbow, wrist = (self.joint(f"left_{name}") for name in ("shoulder", "elbow", "wrist"))
        knee, ankle, hip = (self.joint(f"left_{name}") for name in ("knee", "ankle", "hip"))
        neck, head = self.joint("neck"), self.joint("head")

        def level(height: float) -> np.ndarray:
            return self.section(np.array([0.0, axis[1], height]), UP)

        def levels(low: float, high: float) -> list[np.ndarray]:
            return [level(height) for height in np.linspace(low, high, 25)]

        def along(start: np.ndarray, end: np.ndarray, low: float, high: float) -> list[float]:
            return [self.girth(start + share * (end - start), end - start) for share in np.linspace(low, high, 9)]

        chest = [
            loop for loop in levels(self.joint("spine_2")[2], shoulder[2]) if np.ptp(loop[:, 0]) < 2.6 * shoulder[0]
        ]
        waist = levels(self.joint("spine_1")[2], self.joint("spine_3")[2])
        return {
            "height": float(np.ptp(self.vertices[:, 2])),
            "inseam": float(crotch - self.vertices[:, 2].min()),
            "arm_length": float(np.linalg.norm(elbow - shoulder) + np.linalg.norm(wrist - elbow)),
            "shoulder_width": float(np.linalg.norm(shoulder - self.joint("right_shoulder"))),
            "bust": tape_length(max(chest, key=lambda loop: np.ptp(loop[:, 1])), UP),
            "waist": min(tape_length(loop, UP) for loop in waist),
            "hip": max(tape_length(loop, UP) for loop in levels(crotch + 0.01, self.joint("spine_1")[2])),
            "neck": min(along(neck, head, -0.2, 0.6)),
            "upper_arm": self.girth(0.5 * (shoulder + elbow), elbow - shoulder),
            "wrist": self.girth(wrist, wrist - elbow),
            "thigh": self.girth(hip + (hip[2] - crotch + 0.05) / (hip[2] - knee[2]) * (knee - hip), UP),
            "ankle": min(along(ankle, knee, 0.0, 0.33)),
        }


def slice_surface(vertices: np.ndarray, faces: np.ndarray, point: np.ndarray, normal: np.ndarray) -> list[np.ndarray]:
    """Slices a closed triangle mesh with a plane.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        point: (3,) on the plane.
        normal: (3,), of any length.

    Returns:
        The closed loops of the section, each (K, 3) in order, without repeating the first point.
    """
    distance = (vertices - point) @ (np.asarray(normal) / np.linalg.norm(normal))
    above = distance > 0
    crossed = faces[above[faces].any(1) & ~above[faces].all(1)]
    # Each crossed face links its two crossed edges. With "above" always on the same side of the path, every edge is
    # entered by one face and left by another.
    following: dict[tuple[int, int], tuple[int, int]] = {}
    for face in crossed.tolist():
        edges = [(face[k], face[(k + 1) % 3]) for k in range(3)]
        leaving = next(edge for edge in edges if above[edge[0]] and not above[edge[1]])
        entering = next(edge for edge in edges if above[edge[1]] and not above[edge[0]])
        following[entering[::-1]] = leaving
    loops = []
    while following:
        start, edge = following.popitem()
        edges = [start]
        while edge != start and edge in following:
            edges.append(edge)
            edge = following.pop(edge)
        upper, lower = np.array(edges).T
        share = distance[upper] / (distance[upper] - distance[lower])
        loops.append(vertices[upper] + share[:, None] * (vertices[lower] - vertices[upper]))
    return loops


def tape_length(loop: np.ndarray, normal: np.ndarray) -> float:
    """Length of a tape around a planar loop (K, 3): the perimeter of its convex hull [m]."""
    frame = np.linalg.svd(np.asarray(normal, float)[None])[2][1:]  # two directions in the plane
    return float(ConvexHull(loop @ frame.T).area)  # scipy calls a polygon's perimeter its area
