"""Repairs captures in which a joint flips: it jumps by a large angle between two frames, and later jumps back.

Two swapped markers of a hand, foot or head rotate the part by some 180 degrees; a folded leg may be solved as its
mirror image. The motion within a flip is right except for a rotation that is constant in the part's own axes, so that
rotation is undone and the motion kept. Flips of a few frames are bridged by interpolation. A jump that does not come
back is left unchanged, as nothing tells which side of it is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from mviper.motion.skeleton import SkeletonMotion

#: A joint jumps if it rotates by more than this in 1/30 s [rad]; kicks reach 67 degrees. It is fast if it rotates by
#: more than half of that; a flip cannot end while the joint is fast.
JUMP = np.radians(80.0)
_MOMENT = 1 / 30

#: After a jump, a joint is still settling while it rotates by more than this in 1/30 s [rad].
_SETTLES = np.radians(16.0)

#: Maximum difference between the corrections at the two ends of a flip [rad].
_ALIKE = np.radians(60.0)

#: Maximum duration of a flip [s]; maximum duration of one that is bridged [s], provided that the joint returns to
#: within this fraction of its largest excursion.
_LONGEST, _BRIDGED, _BACK = 2.5, 0.2, 0.75

#: A whole body that rotates for longer than this [s] is spinning.
_SPIN = 0.1


@dataclass(frozen=True)
class Flip:
    """A joint that jumped and jumped back.

    Attributes:
        joint: Its index in the skeleton.
        before: Last frame before it.
        after: First frame after it.
    """

    joint: int
    before: int
    after: int


def remove_flips(captured: SkeletonMotion) -> tuple[SkeletonMotion, list[Flip]]:
    """Undoes flips, joint by joint from the root outwards.

    The children of a flipped joint either follow the correction or stay in place, as they did in the flip: all parts of
    a leg solved as its mirror image flip, but with a mislabelled pelvis only the pelvis does.

    Args:
        captured: Any capture. Joints beyond wrists and ankles are left unchanged: they are noisy and hardly visible.

    Returns:
        The capture with the flips undone (the same object if there are none), and the flips.
    """
    skeleton, frames = captured.skeleton, len(captured)
    if frames < 4:
        return captured, []
    turned = [Rotation.from_matrix(captured.rotations[:, joint]) for joint in range(len(skeleton.names))]
    local = [
        turned[joint] if parent < 0 else turned[parent].inv() * turned[joint]
        for joint, parent in enumerate(skeleton.parents)
    ]
    root = captured.positions[:, skeleton.parents < 0].copy()
    found: list[Flip] = []
    for joint in _looked_at(captured):
        for opening, closing, repaired in _flips(local[joint], captured.fps):
            flip = Flip(joint, opening[0], closing[1])
            if skeleton.parents[joint] < 0:
                if flip.after - flip.before > _SPIN * captured.fps + 0.5:
                    break
                within = np.arange(flip.before, flip.after + 1)
                share = ((within - flip.before) / (flip.after - flip.before))[:, None, None]
                root[within] = (1 - share) * root[flip.before] + share * root[flip.after]
            undone = repaired.inv() * local[joint]
            for child in np.flatnonzero(skeleton.parents == joint):
                stays = undone * local[child]
                if _jumps(stays, opening, closing) < _jumps(local[child], opening, closing):
                    local[child] = stays
            local[joint] = repaired
            found.append(flip)
    if not found:
        return captured, []
    return _posed(captured, local, root), found


def _looked_at(captured: SkeletonMotion) -> list[int]:
    """Joints that drive the body except hands and toes, with all their ancestors, from the root outwards."""
    skeleton, joints = captured.skeleton, set()
    for part, driver in captured.joint_map.rotations.items():
        for name in () if part.endswith(("_hand", "_foot")) else (driver,) if isinstance(driver, str) else driver[:2]:
            joint = skeleton.index(name)
            while joint >= 0 and joint not in joints:
                joints.add(joint)
                joint = int(skeleton.parents[joint])
    return sorted(joints)


def _angles(first: Rotation, second: Rotation) -> np.ndarray:
    return (first.inv() * second).magnitude()


def _transitions(local: Rotation, fps: float) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Runs of fast frames (last frame before, first frame after), and those in which the joint jumps."""
    window = min(max(1, round(_MOMENT * fps)), len(local) - 1)
    fast = _angles(local[:-1], local[1:]) > 0.5 * JUMP / (_MOMENT * fps)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], fast, [False]]).astype(int))).tolist()
    jumps = np.flatnonzero(_angles(local[:-window], local[window:]) > JUMP * window / (_MOMENT * fps))
    runs = list(zip(edges[::2], edges[1::2]))
    return runs, [(a, b) for a, b in runs if ((jumps < b) & (jumps + window > a)).any()]


def _flips(local: Rotation, fps: float) -> Iterator[tuple[tuple[int, int], tuple[int, int], Rotation]]:
    """Yields flips: the transitions that open and close each, and all frames with the flips so far undone.

    First flips within a single transition, which is then given twice; then the others, shortest first.
    """
    runs, jumps = _transitions(local, fps)
    for run in runs:
        repaired = _taken_back(local, run, run, fps)
        if repaired is not None:
            local, jumps = repaired, [other for other in jumps if other != run]
            yield run, run, repaired
    while True:
        for opening, closing in sorted(pairwise(jumps), key=lambda pair: pair[1][1] - pair[0][0]):
            repaired = _taken_back(local, opening, closing, fps)
            if repaired is not None:
                local, jumps = repaired, [other for other in jumps if other not in (opening, closing)]
                yield opening, closing, repaired
                break
        else:
            return


def _short(opening: tuple[int, int], closing: tuple[int, int], fps: float) -> bool:
    return closing[1] - opening[0] <= _BRIDGED * fps + 1


def _taken_back(local: Rotation, opening: tuple[int, int], closing: tuple[int, int], fps: float) -> Rotation | None:
    """All frames with one flip undone; ``None`` if the joint does not jump back, or undoing it is no improvement."""
    (before, first), (last, after) = opening, closing
    long = not _short(opening, closing, fps)
    if long:
        before, after = _at_rest(local, before, -1, fps), _at_rest(local, after, 1, fps)
    frames, within = np.array([before, after]), np.arange(first, last + 1)
    known = local[frames]
    if long:
        # The rotations, in the part's own axes, that align the first and last frame within to those outside.
        ends = Rotation.concatenate([local[first].inv() * local[before], local[last].inv() * local[after]])
        if opening == closing or after - before > _LONGEST * fps or _angles(ends[0], ends[1]) > _ALIKE:
            return None
        turned = local[within] * Slerp([first, last], ends)(within)
        usual = local[np.r_[:first, last + 1 : len(local)]].mean()
        if _angles(usual, turned).max() > _angles(usual, local[within]).max():
            return None
        frames = np.concatenate([[before], within, [after]])
        known = Rotation.concatenate([local[before], turned, local[after]])
    else:
        away = _angles(known[0], local[before : after + 1])
        if away.max() < 0.5 * JUMP or away[-1] > _BACK * away.max():
            return None
    quaternions, bridged = local.as_quat(), np.arange(before, after + 1)
    quaternions[bridged] = Slerp(frames, known)(bridged).as_quat()
    return Rotation.from_quat(quaternions)


def _at_rest(local: Rotation, frame: int, step: int, fps: float) -> int:
    """Moves a transition's end outwards, by at most 1/30 s, while the joint settles: filters round corners off."""
    window = max(1, round(_MOMENT * fps))
    for following in range(frame + step, frame + step * (window + 1), step):
        if not 0 <= following < len(local) or _angles(local[frame], local[following]) < _SETTLES / (_MOMENT * fps):
            break
        frame = following
    return frame


def _jumps(local: Rotation, opening: tuple[int, int], closing: tuple[int, int]) -> float:
    """Largest turn between successive frames where a flip opens and closes."""
    frames = np.unique(np.concatenate([np.arange(*opening), np.arange(*closing)]))
    return float(_angles(local[frames], local[frames + 1]).max())


def _posed(captured: SkeletonMotion, local: list[Rotation], root: np.ndarray) -> SkeletonMotion:
    """The capture with new rotations of joints relative to their parents; bones keep their length in each frame."""
    rotations, positions = np.empty_like(captured.rotations), np.empty_like(captured.positions)
    positions[:, captured.skeleton.parents < 0] = root
    for joint, parent in enumerate(captured.skeleton.parents):
        rotations[:, joint] = local[joint].as_matrix()
        if parent >= 0:
            rotations[:, joint] = rotations[:, parent] @ rotations[:, joint]
            bone = captured.positions[:, joint] - captured.positions[:, parent]
            bone = np.einsum("tji,tj->ti", captured.rotations[:, parent], bone)
            positions[:, joint] = positions[:, parent] + np.einsum("tij,tj->ti", rotations[:, parent], bone)
    return replace(captured, rotations=rotations, positions=positions)
