"""The paper's interpolation between contrasting poses: distance D, the pairs it selects, the in-between frames.

Source: paper §3, "data generation". Interpretation: D is taken over the 23 joints; with the root included, argmax would
select opposite headings rather than contrasting poses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.motion.contact import body_points, lowest, posed_points
from mviper.motion.rotations import Y_UP_TO_Z_UP
from mviper.motion.transforms import heading
from mviper.structures import Motion


def principal_axis_angle(poses: np.ndarray) -> np.ndarray:
    """Normalises angles to [0, pi], as axis-angle is ambiguous by 2 pi and D must not depend on it.

    Args:
        poses: Axis-angle [rad], shape (..., 3).

    Returns:
        Shape (..., 3).
    """
    return Rotation.from_rotvec(poses.reshape(-1, 3)).as_rotvec().reshape(poses.shape)


def pose_vectors(poses: np.ndarray) -> np.ndarray:
    """The vectors compared by D: (T, 24, 3) -> (T, 69) [rad], the 23 joints without the root, angles in [0, pi]."""
    return principal_axis_angle(poses[:, 1:]).reshape(len(poses), -1)


def pose_distances(poses_x: np.ndarray, poses_y: np.ndarray) -> np.ndarray:
    """``D[i, j] = ||theta(X_i) - theta(Y_j)||_2`` over the 23 joints without the root.

    Args:
        poses_x: Axis-angle, root first [rad], shape (M, 24, 3).
        poses_y: Shape (N, 24, 3).

    Returns:
        [rad], shape (M, N).
    """
    return np.sqrt(_squared_distances(pose_vectors(poses_x), pose_vectors(poses_y)))


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squared = (-2 * x) @ y.T
    squared += (x**2).sum(1)[:, None]
    squared += (y**2).sum(1)
    return np.maximum(squared, 0, out=squared)


@dataclass(frozen=True, order=True)
class ContrastingPair:
    """The most contrasting poses of two sequences.

    Attributes:
        distance: max D [rad].
        first: Index of one sequence.
        second: Index of the other, larger.
        first_frame: Frame in the first.
        second_frame: Frame in the second.
    """

    distance: float
    first: int
    second: int
    first_frame: int
    second_frame: int


#: Frames per block of sequences: D of two blocks takes 8 bytes times its square.
_BLOCK = 1024


def contrasting_pairs(
    sequences: Sequence[np.ndarray], count: int, uses: int | None = None, groups: Sequence[str] | None = None
) -> list[ContrastingPair]:
    """Finds the most contrasting pairs of sequences in a library, each with its argmax of D.

    Sequences are read block by block, and D is held for two blocks at a time; only max D of each pair of sequences is
    kept (4 bytes), so memory does not grow with the number of frames.

    Args:
        sequences: :func:`pose_vectors` of each [rad], shape (T, 69); read repeatedly, one at a time.
        count: Number of pairs.
        uses: Maximum number of pairs per sequence, best first; ``None`` for any number. Without a limit, one clip with
            an extreme pose is in nearly all pairs.
        groups: One label per sequence, to pair only within groups; ``None`` for all pairs.

    Returns:
        At most ``count`` pairs, largest distance first.
    """
    blocks = list(_blocks([len(sequences[k]) for k in range(len(sequences))]))
    furthest = np.full((len(sequences), len(sequences)), -1.0, np.float32)
    for a, block in enumerate(blocks):
        x, x_starts = _gather(sequences, block)
        rows = [sequence for sequence, _, _ in block]
        for other in blocks[a:]:
            y, y_starts = _gather(sequences, other)
            squared = _squared_distances(x, y)
            highest = np.maximum.reduceat(np.maximum.reduceat(squared, x_starts, axis=0), y_starts, axis=1)
            columns = [sequence for sequence, _, _ in other]
            np.maximum.at(furthest, np.ix_(rows, columns), np.sqrt(highest))
    furthest[np.tril_indices(len(sequences))] = -1.0  # each pair once, no sequence with itself
    if groups is not None:
        labels = np.asarray(groups)
        furthest[labels[:, None] != labels] = -1.0
    chosen = _choose(furthest, count, uses)
    return sorted((_furthest_frames(sequences, first, second) for first, second in chosen), reverse=True)


def _choose(furthest: np.ndarray, count: int, uses: int | None) -> list[tuple[int, int]]:
    """The largest non-negative entries, with each index in at most ``uses`` of them."""
    found: list[tuple[int, int]] = []
    used = np.zeros(len(furthest), int)
    for flat in np.argsort(-furthest, axis=None, kind="stable"):
        pair = divmod(int(flat), len(furthest))
        if len(found) == count or furthest[pair] < 0:
            break
        if uses is None or max(used[pair[0]], used[pair[1]]) < uses:
            found.append(pair)
            used[list(pair)] += 1
    return found


def _furthest_frames(sequences: Sequence[np.ndarray], first: int, second: int) -> ContrastingPair:
    """Max D of two sequences and its frames, block by block."""
    x, y = sequences[first], sequences[second]
    best = ContrastingPair(-1.0, first, second, 0, 0)
    for i in range(0, len(x), _BLOCK):
        for j in range(0, len(y), _BLOCK):
            squared = _squared_distances(x[i : i + _BLOCK], y[j : j + _BLOCK])
            m, n = np.unravel_index(int(squared.argmax()), squared.shape)
            if squared[m, n] > max(best.distance, 0) ** 2 or best.distance < 0:
                best = ContrastingPair(float(np.sqrt(squared[m, n])), first, second, int(i + m), int(j + n))
    return best


def _blocks(lengths: Sequence[int]) -> Iterator[list[tuple[int, int, int]]]:
    """Groups sequences into blocks of at most ``_BLOCK`` frames, long ones split: (sequence, first frame, frames)."""
    block: list[tuple[int, int, int]] = []
    filled = 0
    for sequence, length in enumerate(lengths):
        for start in range(0, length, _BLOCK):
            frames = min(_BLOCK, length - start)
            if filled + frames > _BLOCK:
                yield block
                block, filled = [], 0
            block.append((sequence, start, frames))
            filled += frames
    if block:
        yield block


def _gather(sequences: Sequence[np.ndarray], block: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """A block's frames, concatenated, and the start of each piece."""
    pieces = [sequences[sequence][start : start + frames] for sequence, start, frames in block]
    return np.concatenate(pieces), np.cumsum([0] + [len(piece) for piece in pieces[:-1]])


#: k: in-between frames per radian of distance, for 30 frames per second. Contrasting poses are 4 to 8 rad apart.
FRAMES_PER_RADIAN = 8.0


def interpolated_poses(start: np.ndarray, end: np.ndarray, frames_per_radian: float = FRAMES_PER_RADIAN) -> np.ndarray:
    """Interpolates between two poses, linearly in axis-angle; the number of poses, ``ceil(k D)``, grows with D.

    No joint rotates the long way round: of the end pose's equivalent axis-angles, the one nearest to the start's is
    used.

    Args:
        start: Axis-angle [rad], shape (24, 3).
        end: Shape (24, 3).
        frames_per_radian: k.

    Returns:
        Start, in-between frames, end, shape (ceil(k D) + 2, 24, 3).
    """
    count = int(np.ceil(frames_per_radian * pose_distances(start[None], end[None])[0, 0]))
    start, end = principal_axis_angle(start), principal_axis_angle(end)
    angle = np.linalg.norm(end, axis=-1, keepdims=True)
    other_way = end * (1 - 2 * np.pi / np.maximum(angle, 1e-12))  # the same rotation, about the opposite axis
    nearer = np.linalg.norm(other_way - start, axis=-1, keepdims=True) < np.linalg.norm(
        end - start, axis=-1, keepdims=True
    )
    end = np.where(nearer & (angle > 1e-12), other_way, end)
    weight = np.linspace(0, 1, count + 2)[:, None, None]
    return (1 - weight) * start + weight * end


def interpolate(
    start: np.ndarray,
    end: np.ndarray,
    rest_joints: np.ndarray,
    soles: np.ndarray | None = None,
    fps: float = 30.0,
    frames_per_radian: float = FRAMES_PER_RADIAN,
) -> Motion:
    """A motion from one pose to another.

    The end pose is first rotated about the vertical to the start pose's heading, as their captured headings are
    unrelated. The body's lowest point lies on the floor in every frame, and points on the floor stay in place from
    frame to frame, so the body does not slide.

    Args:
        start: Axis-angle in the world, root first [rad], shape (24, 3).
        end: Shape (24, 3).
        rest_joints: The body's joints in the T-pose, SMPL's axes [m], shape (24, 3).
        soles: Points under its feet, shape (2, 4, 3); ``None``: estimated.
        fps: Frames per second.
        frames_per_radian: k of :func:`interpolated_poses`.

    Returns:
        ``ceil(k D) + 2`` frames; the pelvis starts above the origin; betas are zero.
    """
    turn = Rotation.from_euler("z", heading(start[0]) - heading(end[0]))
    end = np.concatenate([(turn * Rotation.from_rotvec(end[0])).as_rotvec()[None], end[1:]])
    # The root is interpolated as an axis-angle too, relative to an upright body, where it is small.
    upright = Rotation.from_euler("z", heading(start[0])) * Y_UP_TO_Z_UP
    first, last = (
        np.concatenate([(upright.inv() * Rotation.from_rotvec(p[0])).as_rotvec()[None], p[1:]]) for p in (start, end)
    )
    poses = interpolated_poses(first, last, frames_per_radian)
    poses[:, 0] = (upright * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
    return Motion(poses, grounded(poses, rest_joints, soles), np.zeros(10), fps)


#: Points within about this height above the body's lowest one support it [m].
_CARRYING_HEIGHT = 0.01


def grounded(poses: np.ndarray, rest_joints: np.ndarray, soles: np.ndarray | None) -> np.ndarray:
    """Translations that keep the lowest point on the floor and the supporting points in place, (T, 3) [m]."""
    points = posed_points(poses, np.zeros((len(poses), 3)), rest_joints, body_points(rest_joints, soles))
    heights = points[..., 2] - lowest(points)[:, None]
    weights = np.exp(-(heights[1:] + heights[:-1]) / (2 * _CARRYING_HEIGHT))
    weights /= weights.sum(axis=1, keepdims=True)
    slips = (weights[..., None] * np.diff(points[..., :2], axis=0)).sum(axis=1)
    transl = np.zeros((len(poses), 3))
    transl[0, :2] = -rest_joints[0, [0, 2]] * [1, -1]
    transl[1:, :2] = transl[0, :2] - np.cumsum(slips, axis=0)
    transl[:, 2] = -lowest(points)
    return transl
