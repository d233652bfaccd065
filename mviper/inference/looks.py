"""More looks at the same people, in mirrored and turned pictures, and what all of them together say.

The detector is sure of itself even where it takes one leg for the other or a back for a front. What it sees in a
mirrored or turned picture then often differs, and a leg that is taken for the other jumps from one frame to the next.
Where the mirror image says the same, the others are spared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mviper.inference.landmarks import LANDMARKS, person_height


class Look(NamedTuple):
    """How a picture is turned before it is looked at.

    Attributes:
        quarters: Quarter turns, counter-clockwise.
        mirrored: Whether it is then mirrored, left to right.
    """

    quarters: int = 0
    mirrored: bool = False

    def turned(self, image: np.ndarray) -> np.ndarray:
        """The picture (H, W, 3) as this look sees it."""
        image = np.rot90(image, self.quarters)
        return np.ascontiguousarray(image[:, ::-1] if self.mirrored else image)

    def undone(self, points: np.ndarray, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks of the turned picture as those of the picture itself.

        Args:
            points: x, y in shares of the turned picture's width and height, and more, shape (33, C).
            world: Camera axes of the turned picture [m], shape (33, 3).

        Returns:
            Shares of the picture's own width and height, and its own axes.
        """
        points, world = points.copy(), world.copy()
        if self.mirrored:
            points, world = points[_OTHER_SIDE], world[_OTHER_SIDE]
            points[:, 0], world[:, 0] = 1 - points[:, 0], -world[:, 0]
        for _ in range(self.quarters % 4):
            points[:, :2] = np.stack([1 - points[:, 1], points[:, 0]], 1)
            world[:, :2] = np.stack([-world[:, 1], world[:, 0]], 1)
        return points, world


#: Looks besides the one at the picture as it is: all others of its eight orientations, the mirror image first.
MORE_LOOKS = (*(Look(quarters, True) for quarters in range(4)), *(Look(quarters) for quarters in (1, 2, 3)))

_OTHER_SIDE = np.array(
    [LANDMARKS.index(name.replace("left", "*").replace("right", "left").replace("*", "right")) for name in LANDMARKS]
)
#: What may have been taken for its counterpart: nothing, the legs from the knees on, everything.
_EXCHANGES = np.stack([
    np.arange(len(LANDMARKS)),
    np.where([any(part in name for part in ("knee", "ankle", "heel", "foot")) for name in LANDMARKS], _OTHER_SIDE,
             np.arange(len(LANDMARKS))),
    _OTHER_SIDE,
])  # fmt: skip
#: Landmarks by which poses are compared.
_COMPARED = [
    LANDMARKS.index(f"{side}_{joint}")
    for side in ("left", "right")
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot_index")
]
#: Distance between poses beyond which it says nothing more, in heights of the person.
_FARTHEST = 0.3
#: What it costs to contradict all looks in a frame, against what it costs to jump by as much to the next.
_DOUBT = 0.02
#: Poses as near to each other as this are the same, in heights of the person.
_SAME_POSE = 0.05
#: Standard deviation of the distance between looks at a landmark that can be told, in heights of the person.
_AGREEMENT = 0.04


def reconciled(landmarks: np.ndarray, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What several looks at one person together say.

    One look of each frame is chosen, as it is or with sides exchanged, so that most looks agree with it and joints move
    little from frame to frame (Viterbi, 1967). The others' sides are exchanged where they then are nearer to it.

    Args:
        landmarks: x, y [px], visibility of L looks; NaN where a look did not see the person, shape (L, T, 33, 3).
        world: [m], shape (L, T, 33, 3).

    Returns:
        Landmarks (T, 33, 3): the looks' median, and their visibility times how well they agree. Landmarks in space
        (T, 33, 3): the median of the looks that see the chosen pose. NaN in frames where no look saw the person.
    """
    seen = np.isfinite(landmarks).all((2, 3))
    points, space = landmarks.astype(np.float32), world.astype(np.float32)
    frames = np.flatnonzero(seen.any(0))
    if not len(frames):
        return points[0], space[0]
    height = float(np.nanmedian(person_height(points)))
    chosen = _likeliest(points[:, frames], height)
    joined, placed = np.full_like(points[0], np.nan), np.full_like(space[0], np.nan)
    for frame, state in zip(frames, chosen):
        exchange, look = divmod(int(state), len(points))
        order = _EXCHANGES[exchange]
        picked, shown = points[look, frame][order], seen[:, frame]
        every = points[shown, frame][:, _EXCHANGES]  # (looks, exchanges, 33, 3)
        apart = _apart(every, picked, height)
        nearest = np.arange(len(every)), apart.argmin(1)
        sided = every[nearest]
        middle = np.median(sided[..., :2], axis=0)
        spread = np.median(np.linalg.norm(sided[..., :2] - middle, axis=-1), axis=0) / height
        agreement = np.exp(-0.5 * (spread / _AGREEMENT) ** 2)
        joined[frame] = np.concatenate([middle, (sided[..., 2].mean(0) * agreement)[:, None]], 1)
        same = apart[nearest] < _SAME_POSE  # the chosen one among them
        placed[frame] = np.median(space[shown, frame][:, _EXCHANGES][nearest][same], axis=0)
    return joined, placed


def disagreement(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of two looks' landmarks, (33, 3) each, in heights of the person."""
    return float(_apart(first, second, max(float(person_height(first)), 1.0)))


def _likeliest(points: np.ndarray, height: float) -> Sequence[int]:
    """Of each frame the look that is chosen, and how its sides are exchanged.

    Args:
        points: Shape (L, T, 33, 3); every frame was seen by one look at least.
        height: The person's [px].

    Returns:
        Per frame ``exchange * L + look``.
    """
    looks = len(points)
    best, origin, last = np.zeros(len(_EXCHANGES) * looks), [], None
    for frame in points.swapaxes(0, 1):
        states = frame[:, _EXCHANGES].swapaxes(0, 1).reshape(-1, *frame.shape[1:])
        known = np.isfinite(states).all((1, 2))
        # In a gap of a look its states stay where the frame's first seen look is, at a price that none takes.
        states = np.where(known[:, None, None], states, states[known.argmax()])
        contradicted = _apart(states[:, None], states[None, :looks][:, known[:looks]], height).mean(1)
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
    """Mean distance of two poses' landmarks (..., 33, 3), in heights of the person, (...)."""
    away = np.linalg.norm(first[..., _COMPARED, :2] - second[..., _COMPARED, :2], axis=-1) / height
    return np.minimum(away, _FARTHEST).mean(-1)
