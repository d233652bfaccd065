"""Camera rotation from tracked background features; people are masked.

A rotating camera moves the image as if the scene were infinitely far away. This gives its rotation and, if it rotates
enough, its focal length. If the camera also translates, nearby features do not fit this model; they are rejected as
outliers where possible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from mviper.inference.optics import Optics

#: Longer side of the images in which features are tracked [px].
_SIDE = 480
#: Features tracked from a frame, and features kept per pair of frames.
_FEATURES, _KEPT = 160, 48
#: Below this number of visible features, new ones are detected.
_FEWEST = 40
#: Levels of the image pyramid, and how near to its place a feature must return when it is tracked backwards [px].
_LEVELS, _RETURNS = 3, 1.0
#: Minimum number of matches for estimating a rotation, and the share of features that jerks leave, by chance.
_LEAST, _LOST = 10, 0.3
#: Margin of the masks round people, as a fraction of their boxes' sides.
_MARGIN = 0.12
#: A camera is static if its features move less than this in nearly every frame [px of the small image].
_STILL, _STILL_SHARE = 0.6, 0.95
#: Features that moved less do not determine the focal length: the translation of a handheld camera, which shifts near
#: features against far ones, then matters as much as its rotation [px of the small image].
_TURNED = 30.0
#: Accuracy of a feature's position [px of the small image], and the number of independent features per frame that
#: corresponds to their correlated errors.
_NOISE, _INDEPENDENT = 0.5, 4.0
#: Minimum standard deviation of an estimated focal length's logarithm, for the same reason.
_SUREST = 0.08
#: Logarithms of the focal lengths tried, relative to the expected one.
_TRIED = np.linspace(-1.2, 1.2, 49)
#: Maximum number of frames used to compare focal lengths.
_COMPARED = 40


class Matches(NamedTuple):
    """Features of an earlier frame found in this one.

    Attributes:
        reference: Number of the earlier frame; the frame's own if there are no matches.
        before: Positions in the earlier frame [px], shape (n, 2) float32.
        after: Positions in this frame [px], shape (n, 2) float32.
    """

    reference: int
    before: np.ndarray
    after: np.ndarray


class Background:
    """Tracks background features through a video; keeps a few hundred bytes per frame.

    Attributes:
        matches: One entry per frame so far.
    """

    def __init__(self) -> None:
        self.matches: list[Matches] = []
        self.scale = 1.0
        self.cut()

    def cut(self) -> None:
        """Announces that the next frame begins a new shot."""
        self._reference, self._grey, self._previous = -1, None, None
        self._first = self._last = self._speed = np.zeros((0, 2), np.float32)

    def step(self, image: np.ndarray, people: Sequence[np.ndarray]) -> None:
        """Processes the next frame.

        Args:
            image: RGB, shape (H, W, 3).
            people: Points on each person [px], shape (P, 2 or more).
        """
        number = len(self.matches)
        self.scale = min(1.0, _SIDE / max(image.shape[:2]))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if self.scale < 1:
            grey = cv2.resize(grey, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_AREA)
        free = self._without(people, grey.shape)
        before = len(self._first)
        if self._grey is not None:
            self._follow(grey, free)
        few = max(_LEAST, _LOST * before)
        if self._previous is not None and len(self._first) < few:  # the camera jerked: again, from the last frame
            self._begin(number - 1, *self._previous)
            self._speed[:] = _shift(self._grey, grey)
            self._follow(grey, free)
        self._previous = grey, free
        picked = np.linspace(0, len(self._first) - 1, min(_KEPT, len(self._first))).astype(int)
        known = len(picked) >= _LEAST
        nothing = np.zeros((0, 2), np.float32)
        self.matches.append(
            Matches(self._reference, self._first[picked], self._last[picked])
            if known
            else Matches(number, nothing, nothing)
        )
        if len(self._first) < _FEWEST:
            self._begin(number, grey, free)

    def _begin(self, number: int, grey: np.ndarray, free: np.ndarray) -> None:
        """Detects features in an image, which move as the earlier ones did."""
        found = cv2.goodFeaturesToTrack(grey, _FEATURES, 0.01, 8, mask=free)
        points = np.zeros((0, 2), np.float32) if found is None else found[:, 0]
        pan = np.median(self._speed, axis=0) if len(self._speed) else np.zeros(2, np.float32)
        self._reference, self._grey = number, grey
        self._first, self._last, self._speed = points, points.copy(), np.tile(pan, (len(points), 1))

    def _follow(self, grey: np.ndarray, free: np.ndarray) -> None:
        """Tracks the features from their original frame directly into this one, so that errors do not accumulate."""
        if not len(self._first):
            return
        guess = self._last + self._speed
        found, good = _flow(self._grey, grey, self._first, guess)
        back, returned = _flow(grey, self._grey, found, found - guess + self._first)
        good &= returned & (np.linalg.norm(back - self._first, axis=1) < _RETURNS)
        place = np.round(found).astype(int)
        inside = ((place >= 2) & (place < np.array(grey.shape[::-1]) - 2)).all(1)
        place = place.clip(0, np.array(grey.shape[::-1]) - 1)
        kept = good & inside & (free[place[:, 1], place[:, 0]] > 0)
        self._speed = (found - self._last)[kept]
        self._first, self._last = self._first[kept], found[kept]

    def _without(self, people: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        free = np.full(shape[:2], 255, np.uint8)
        for points in people:
            low, high = points[:, :2].min(0) * self.scale, points[:, :2].max(0) * self.scale
            room = _MARGIN * (high - low).max()
            (left, top), (right, bottom) = np.maximum(low - room, 0).astype(int), np.maximum(high + room, 0).astype(int)
            free[top : bottom + 1, left : right + 1] = 0
        return free


def _flow(
    before: np.ndarray, after: np.ndarray, points: np.ndarray, guess: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) of one image in another, near a guess, and whether each was found (Bouguet, 2000)."""
    found, good, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points[:, None].astype(np.float32), guess[:, None].astype(np.float32), winSize=(15, 15),
        maxLevel=_LEVELS, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.01),
    )  # fmt: skip
    return found[:, 0], good[:, 0] > 0


def _shift(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How far an image as a whole has moved [px], (2,) (phase correlation)."""
    first, second = (
        cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA) for image in (before, after)
    )
    window = cv2.createHanningWindow(first.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(first.astype(np.float32), second.astype(np.float32), window)
    return np.array([4 * x, 4 * y], np.float32)


class CameraMotion(NamedTuple):
    """Camera rotation in a video.

    Attributes:
        rotation: From the axes of the shot's first frame to each frame's, ``x_frame = R x_first``, shape (N, 3, 3).
        still: Whether the camera is static in the frame's shot, shape (N,) bool.
        known: Whether the background determines the rotation, shape (N,) bool; elsewhere it keeps its last value.
    """

    rotation: np.ndarray
    still: np.ndarray
    known: np.ndarray


def measure_motion(background: Background, cuts: Sequence[int], width: int, height: int, focal: float) -> CameraMotion:
    """Camera rotation in each shot of a video.

    Args:
        background: Of all frames.
        cuts: Numbers of the frames that begin a new shot.
        width: Of the picture [px].
        height: Of the picture [px].
        focal: Focal length [px].
    """
    count = len(background.matches)
    rotation, still, known = np.tile(np.eye(3), (count, 1, 1)), np.zeros(count, bool), np.zeros(count, bool)
    for start, end in zip((0, *cuts), (*cuts, count)):
        matches = background.matches[start:end]
        known[start:end] = [number == 0 or bool(len(match.before)) for number, match in enumerate(matches)]
        if _is_still(matches):
            still[start:end] = True
            continue
        for number in range(start + 1, end):
            match = background.matches[number]
            last = rotation[number - 1]
            if not len(match.before):
                rotation[number] = last
                continue
            bearings = (_bearings(points, background.scale, width, height, focal) for points in match[1:])
            reference = rotation[match.reference]
            turn, _ = _rotation(*bearings, start=last @ reference.T, noise=_NOISE / background.scale / focal)
            rotation[number] = turn @ reference
    return CameraMotion(rotation, still, known)


def _is_still(matches: Sequence[Matches]) -> bool:
    moved = [np.median(np.abs(match.after - match.before)) for match in matches if len(match.before)]
    return bool(moved) and float(np.mean(np.array(moved) < _STILL)) >= _STILL_SHARE


def estimate_focal(background: Background, cuts: Sequence[int], width: int, height: int, optics: Optics) -> Optics:
    """Estimates the focal length from the background motion of a rotating camera and a prior.

    Only with the right focal length are the features of two images related by a rotation (Hartley, "Self-calibration of
    stationary cameras", IJCV 1997).

    Args:
        background: Of all frames.
        cuts: Numbers of the frames that begin a new shot.
        width: Of the picture [px].
        height: Of the picture [px].
        optics: Prior.

    Returns:
        The most likely focal length and its spread; ``optics`` unchanged if the camera does not rotate.
    """
    starts = set(cuts)
    turning = [m for n, m in enumerate(background.matches) if len(m.before) and m.reference != n and n not in starts]
    turning = [match for match in turning if np.median(np.linalg.norm(match.after - match.before, axis=1)) > _TURNED]
    if len(turning) < 3 or optics.spread == 0:
        return optics
    turning = [turning[k] for k in np.linspace(0, len(turning) - 1, min(_COMPARED, len(turning))).astype(int)]
    focals, noise = optics.focal * np.exp(_TRIED), _NOISE / background.scale
    costs = 0.5 * (_TRIED / optics.spread) ** 2
    for match in turning:
        bearings = [_bearings(points, background.scale, width, height, focals) for points in match[1:]]
        _, apart = _rotation(*bearings, start=np.eye(3), noise=noise / focals)
        off = (apart * focals[:, None] / noise) ** 2
        costs += 0.5 * _INDEPENDENT * np.mean(off / (1 + off / 9), axis=1)
    share = np.exp(costs.min() - costs)
    share /= share.sum()
    mean = float(share @ _TRIED)
    spread = math.sqrt(float(share @ (_TRIED - mean) ** 2) + (_TRIED[1] - _TRIED[0]) ** 2 / 12)
    if spread > 0.8 * optics.spread:
        return optics
    return Optics(optics.focal * math.exp(mean), max(spread, _SUREST), "the background's motion")


def _bearings(points: np.ndarray, scale: float, width: int, height: int, focal: float | np.ndarray) -> np.ndarray:
    """Unit vectors to points (n, 2) of the small image, camera axes, (n, 3); with several focal lengths (F, n, 3)."""
    pixels = (points + 0.5) / scale - 0.5
    rays = (pixels - [(width - 1) / 2, (height - 1) / 2]) / np.asarray(focal)[..., None, None]
    rays = np.concatenate([rays, np.ones((*rays.shape[:-1], 1))], -1)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def _rotation(
    before: np.ndarray, after: np.ndarray, start: np.ndarray, noise: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Robustly fitted rotations from bearings to bearings (..., n, 3): (..., 3, 3), and the residual of each [rad].

    Iteratively reweighted least squares (Cauchy; Kabsch, 1976); the scale shrinks to that of the noise (...).
    """
    turn = start
    apart = np.linalg.norm(after - before @ turn.swapaxes(-1, -2), axis=-1)
    for _ in range(6):
        width = np.maximum(2 * np.asarray(noise), np.median(apart, axis=-1))
        weight = 1 / (1 + (apart / width[..., None]) ** 2)
        left, _, right = np.linalg.svd((weight[..., None] * after).swapaxes(-1, -2) @ before)
        left[..., 2] *= (np.linalg.det(left) * np.linalg.det(right))[..., None]
        turn = left @ right
        apart = np.linalg.norm(after - before @ turn.swapaxes(-1, -2), axis=-1)
    return turn, apart
