"""A body as capsules, to find interpenetrating limbs without its mesh.

Limbs are capsules along their bones. The trunk, wider than deep, has one transverse capsule each at pelvis, belly and
chest, and a core that links them. All radii and ends are measured on the body's own rest mesh.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mviper.structures import SMPL_JOINTS

#: Limbs: the joint that rotates them, the joint where they end, the fraction of the bone at which they begin. Upper
#: arms and thighs begin lower down, since shoulders and hips lie within the trunk.
_LIMBS = {
    "upper_arm": ("shoulder", "elbow", 0.45),
    "forearm": ("elbow", "wrist", 0.0),
    "thigh": ("hip", "knee", 0.4),
    "shin": ("knee", "ankle", 0.0),
}

#: Parts measured as boxes of vertices rather than along bones: the joint that rotates them, and their axis.
_BOXES = {"pelvis": 0, "spine_1": 0, "spine_2": 0, "spine_3": 0, "head": 1, "wrist": 0, "ankle": 2}

#: The trunk from bottom to top; each part's core reaches to the middle of the next.
_TRUNK = ("pelvis", "spine_1", "spine_2", "spine_3")

#: Joints whose vertices belong to a box, in addition to those of its own joint.
_ADDED = {"wrist": ("hand",), "ankle": ("foot",)}

#: Pairs across shoulders, hips and neck, where bending makes the surface non-convex: not tested.
_NEVER = {frozenset(pair) for pair in (
    ("upper_arm", "spine_3"), ("upper_arm", "spine_2"), ("thigh", "pelvis"), ("thigh", "spine_1"),
    ("thigh", "spine_2"), ("upper_arm", "head"),
)}  # fmt: skip


@dataclass(frozen=True)
class Capsules:
    """Capsules rigidly attached to joints.

    Attributes:
        names: E.g. ``"left_forearm"``, N of them.
        joints: The SMPL joint that each moves with, shape (N,).
        ends: Centres of their two end balls in the T-pose, SMPL's axes [m], shape (N, 2, 3).
        radii: [m], shape (N,).
        pairs: Capsules that are tested against each other, shape (P, 2).
        allowed: Depth of each pair in the T-pose, which is no collision [m], shape (P,).
    """

    names: tuple[str, ...]
    joints: np.ndarray
    ends: np.ndarray
    radii: np.ndarray
    pairs: np.ndarray
    allowed: np.ndarray


def body_capsules(rest_vertices: np.ndarray, weights: np.ndarray, rest_joints: np.ndarray) -> Capsules:
    """Measures a body's capsules.

    Args:
        rest_vertices: The T-pose, SMPL's axes [m], shape (V, 3).
        weights: Skinning weights, shape (V, 24).
        rest_joints: Shape (24, 3).
    """
    part = weights.argmax(axis=1)
    names, joints, ends, radii, groups = [], [], [], [], []

    def add(name: str, joint: str, start: np.ndarray, end: np.ndarray, radius: float, group: str) -> None:
        names.append(name)
        joints.append(SMPL_JOINTS.index(joint))
        ends.append([start, end])
        radii.append(radius)
        groups.append(group)

    for side in ("left", "right"):
        for limb, (turning, tip, begin) in _LIMBS.items():
            joint = SMPL_JOINTS.index(f"{side}_{turning}")
            first, last = rest_joints[joint], rest_joints[SMPL_JOINTS.index(f"{side}_{tip}")]
            start = first + begin * (last - first)
            radius = _limb_radius(rest_vertices[part == joint], start, last)
            add(f"{side}_{limb}", SMPL_JOINTS[joint], start, last, radius, f"{side}_{_is_arm(limb)}")
    for box, axis in _BOXES.items():
        sided = box in ("wrist", "ankle")
        for side in ("left", "right") if sided else ("",):
            own = [f"{side}_{joint}" if sided else joint for joint in (box, *_ADDED.get(box, ()))]
            vertices = rest_vertices[np.isin(part, [SMPL_JOINTS.index(joint) for joint in own])]
            start, end, radius = _box_capsule(vertices, axis)
            name = {"wrist": f"{side}_hand", "ankle": f"{side}_foot"}.get(box, box)
            add(name, own[0], start, end, radius, f"{side}_{_is_arm(box)}" if sided else "trunk")
    middles = {name: 0.5 * (start + end) for name, (start, end) in zip(names, ends)}
    for below, above in itertools.pairwise(_TRUNK):
        add(f"{below}_core", below, middles[below], middles[above], radii[names.index(below)], "trunk")
    pairs = [
        (a, b)
        for a in range(len(names))
        for b in range(a)
        if groups[a] != groups[b] and frozenset(map(_part, (names[a], names[b]))) not in _NEVER
    ]
    found = Capsules(
        tuple(names), np.array(joints), np.array(ends), np.array(radii), np.array(pairs), np.zeros(len(pairs))
    )
    rest = capsule_depths(found, found.ends[None])[0]
    return Capsules(found.names, found.joints, found.ends, found.radii, found.pairs, np.maximum(rest, 0.0))


def _is_arm(part: str) -> str:
    return "arm" if part in ("upper_arm", "forearm", "wrist") else "leg"


def _part(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_").removesuffix("_core")


def _limb_radius(vertices: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """Median distance of a limb's skin from its bone, over the skin along the bone."""
    bone = end - start
    share = (vertices - start) @ bone / (bone @ bone)
    beside = (share > 0) & (share < 1)
    distance = np.linalg.norm(vertices - start - share[:, None] * bone, axis=1)
    return float(np.median(distance[beside]))


def _box_capsule(vertices: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The capsule along an axis over the middle 90 % of the vertices' extent, as thick as their thinner side."""
    low, high = np.percentile(vertices, [5, 95], axis=0)
    centre, half = 0.5 * (low + high), 0.5 * (high - low)
    across = np.delete(half, axis)
    radius = float(min(across.min() * 1.1, half[axis])) if axis == 0 else float(min(across.mean(), half[axis]))
    reach = np.zeros(3)
    reach[axis] = max(0.0, half[axis] - radius)
    return centre - reach, centre + reach, radius


def capsule_depths(capsules: Capsules, ends: np.ndarray) -> np.ndarray:
    """Penetration depth of each of ``capsules.pairs``: the sum of radii minus the distance of the axes.

    Args:
        capsules: The body's.
        ends: Their posed ends [m], shape (T, N, 2, 3).

    Returns:
        [m], shape (T, P); negative where they do not touch.
    """
    first, second = capsules.pairs.T
    gap = segment_distances(ends[:, first], ends[:, second])
    return capsules.radii[first] + capsules.radii[second] - gap


def segment_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distances between line segments.

    Args:
        first: Their two ends, shape (..., 2, 3).
        second: Shape (..., 2, 3).

    Returns:
        Shape (...).
    """
    pair = torch.from_numpy(first), torch.from_numpy(second)
    on_first, on_second = (
        torch.lerp(ends[..., 0, :], ends[..., 1, :], share[..., None])
        for ends, share in zip(pair, closest_on_segments(*pair))
    )
    return (on_first - on_second).norm(dim=-1).numpy()


def closest_on_segments(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Closest points of two line segments (Ericson, Real-Time Collision Detection, 2004, 5.1.9, vectorised).

    Args:
        first: Their two ends, shape (..., 2, 3).
        second: Shape (..., 2, 3).

    Returns:
        The points' parameters along either segment, from 0 at the first end to 1 at the second, shape (...) each.
    """
    p, q = first[..., 0, :], second[..., 0, :]
    u, v = first[..., 1, :] - p, second[..., 1, :] - q
    r = p - q
    a, e = (u * u).sum(-1), (v * v).sum(-1)
    b, c, f = (u * v).sum(-1), (u * r).sum(-1), (v * r).sum(-1)
    tiny = 1e-12
    # The closest points of the two lines; then each is clamped to its segment, given the other.
    s = ((b * f - c * e) / (a * e - b * b).clamp_min(tiny)).clamp(0, 1)
    t = ((b * s + f) / e.clamp_min(tiny)).clamp(0, 1)
    s = ((b * t - c) / a.clamp_min(tiny)).clamp(0, 1)
    return s, t
