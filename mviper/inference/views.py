"""Test-time augmentation of the detector: it also sees mirrored and rotated images; all views are reconciled.

The detector is confident even when it swaps legs or mistakes the back for the front. Its result for a mirrored or
rotated image then often differs, and swapped legs jump from one frame to the next. If the mirror image agrees, the
other views are skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mviper.body import LANDMARKS, person_height


class View(NamedTuple):
    """An orientation in which the detector sees an image.

    Attributes:
        quarters: Number of counter-clockwise quarter turns.
        mirrored: Whether the image is then mirrored left to right.
    """

    quarters: int = 0
    mirrored: bool = False

    def turned(self, image: np.ndarray) -> np.ndarray:
        """Transforms an image (H, W, 3) to this orientation."""
        image = np.rot90(image, self.quarters)
        return np.ascontiguousarray(image[:, ::-1] if self.mirrored else image)

    def undone(self, points: np.ndarray, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Transforms landmarks back to the original image.

        Args:
            points: x, y relative to the transformed image's width and height, and further values, shape (33, C).
            world: Camera axes of the transformed image [m], shape (33, 3).

        Returns:
            Coordinates relative to the original image's width and height, and in its camera axes.
        """
        points, world = points.copy(), world.copy()
        if self.mirrored:
            points, world = points[_OTHER_SIDE], world[_OTHER_SIDE]
            points[:, 0], world[:, 0] = 1 - points[:, 0], -world[:, 0]
        for _ in range(self.quarters % 4):
            points[:, :2] = np.stack([1 - points[:, 1], points[:, 0]], 1)
            world[:, :2] = np.stack([-world[:, 1], world[:, 0]], 1)
        return points, world


#: Views in addition to the original image: its seven other orientations, the mirror image first.
MORE_VIEWS = (*(View(quarters, True) for quarters in range(4)), *(View(quarters) for quarters in (1, 2, 3)))

_OTHER_SIDE = np.array(
    [LANDMARKS.index(name.replace("left", "*").replace("right", "left").replace("*", "right")) for name in LANDMARKS]
)
#: Possible left-right swaps: none, the legs from the knee down, everything.
_EXCHANGES = np.stack([
    np.arange(len(LANDMARKS)),
    np.where([any(part in name for part in ("knee", "ankle", "heel", "foot")) for name in LANDMARKS], _OTHER_SIDE,
             np.arange(len(LANDMARKS))),
    _OTHER_SIDE,
])  # fmt: skip
#: Landmarks used to compare poses.
_COMPARED = [
    LANDMARKS.index(f"{side}_{joint}")
    for side in ("left", "right")
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot_index")
]
#: Distance between poses at which the cost saturates, in person heights.
_FARTHEST = 0.3
#: Weight of disagreement with the views in a frame, relative to a jump of the same size between frames.
_DOUBT = 0.02
#: Poses closer than this are the same, in person heights.
_SAME_POSE = 0.05
#: Standard deviation between views at a clearly visible landmark, in person heights.
_AGREEMENT = 0.04


def reconciled(
    landmarks: np.ndarray, world: np.ndarray, guide: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reconciles several views of one person.

    Left and right are swapped in each view where that brings it closer to a guide, which is either given or found: in
    each frame one view, possibly with left and right swapped, so that most views agree with it and joints move little
    between frames (Viterbi, 1967).

    Args:
        landmarks: x, y [px] and visibility from L views; NaN where a view did not detect the person, shape (L, T, 33,
            3).
        world: [m], shape (L, T, 33, 3).
        guide: Where a network that knows people expects the landmarks [px], shape (T, 33, 2); NaN for the landmarks
            that are not compared.

    Returns:
        Landmarks (T, 33, 3): the views' median, with visibility scaled by their agreement. 3D landmarks (T, 33, 3): the
        median of the views that agree with the guide, or of the nearest one. NaN in frames without a detection.
    """
    seen = np.isfinite(landmarks).all((2, 3))
    points, space = landmarks.astype(np.float32), world.astype(np.float32)
    frames = np.flatnonzero(seen.any(0))
    if not len(frames):
        return points[0], space[0]
    height = float(np.nanmedian(person_height(points)))
    if guide is None:
        exchanges, chosen = np.divmod(_likeliest(points[:, frames], height), len(points))
        targets = points[chosen[:, None], frames[:, None], _EXCHANGES[exchanges]]
    else:
        targets = guide[frames]
    joined, placed = np.full_like(points[0], np.nan), np.full_like(space[0], np.nan)
    for frame, target in zip(frames, targets):
        shown = seen[:, frame]
        every = points[shown, frame][:, _EXCHANGES]  # (views, exchanges, 33, 3)
        apart = _apart(every, target, height)
        nearest = np.arange(len(every)), apart.argmin(1)
        sided = every[nearest]
        middle = np.median(sided[..., :2], axis=0)
        spread = np.median(np.linalg.norm(sided[..., :2] - middle, axis=-1), axis=0) / height
        agreement = np.exp(-0.5 * (spread / _AGREEMENT) ** 2)
        joined[frame] = np.concatenate([middle, (sided[..., 2].mean(0) * agreement)[:, None]], 1)
        same = apart[nearest] <= max(_SAME_POSE, apart.min())
        placed[frame] = np.median(space[shown, frame][:, _EXCHANGES][nearest][same], axis=0)
    return joined, placed


def disagreement(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of two views' landmarks, (33, 3) each, in person heights."""
    return float(_apart(first, second, max(float(person_height(first)), 1.0)))


def _likeliest(points: np.ndarray, height: float) -> Sequence[int]:
    """The chosen view of each frame, and its left-right swap.

    Args:
        points: Shape (L, T, 33, 3); every frame has a detection from at least one view.
        height: The person's height [px].

    Returns:
        Per frame ``exchange * L + view``.
    """
    views = len(points)
    best, origin, last = np.zeros(len(_EXCHANGES) * views), [], None
    for frame in points.swapaxes(0, 1):
        states = frame[:, _EXCHANGES].swapaxes(0, 1).reshape(-1, *frame.shape[1:])
        known = np.isfinite(states).all((1, 2))
        # States of a view without a detection copy the first detected view, at a prohibitive cost.
        states = np.where(known[:, None, None], states, states[known.argmax()])
        contradicted = _apart(states[:, None], states[None, :views][:, known[:views]], height).mean(1)
        if last is not None:
            jump = best[:, None] + _apart(last[:, None], states[None], height)
            origin.append(jump.argmin(0))
            best = jump.min(0)
        best = best + np.where(known, _DOUBT * contradicted, 10.0)
        last = states
    path = [int(best.argmin())]
    for where in reversed(origin):
        path.append(int(where[path[-1]]))
    return path[::-1]


def _apart(first: np.ndarray, second: np.ndarray, height: float) -> np.ndarray:
    """Mean distance of two poses' landmarks (..., 33, 3), in person heights, (...)."""
    away = np.linalg.norm(first[..., _COMPARED, :2] - second[..., _COMPARED, :2], axis=-1) / height
    return np.minimum(away, _FARTHEST).mean(-1)
