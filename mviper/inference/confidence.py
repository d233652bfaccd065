"""Confidence of a recovered body per frame, reasons for low confidence, and 90 % error bounds of its joints.

Features that need no ground truth (was the person seen, do augmented views agree, how well the fit matches the
landmarks, ...) predict the logarithm of the joints' mean error linearly; the quantiles of each joint's error relative
to it were measured on generated videos. ``tools/calibrate_confidence.py`` does both and writes
``data/confidence.json``.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mviper.body import LANDMARKS, person_height, to_keypoints
from mviper.errors import FileFormatError
from mviper.files import read_text
from mviper.inference.people import Track
from mviper.structures import KEYPOINTS, SMPL_JOINTS

#: The features of a frame, and the reason reported if a feature lowers the confidence.
REASONS = {
    "unseen": "not seen",
    "hidden": "hidden or unclear",
    "disputed": "augmented views disagree",
    "missed": "the body misses the landmarks",
    "outside": "partly outside the picture",
    "fast": "moves fast",
    "foreshortened": "limbs point towards the camera",
    "small": "small in the picture",
}
#: A reason is reported if it raises the expected error by this factor over the usual.
_TOLD = 1.2
#: Expected mean errors up to which a frame counts as sure and as fair [m].
SURE, FAIR = 0.08, 0.13
_CALIBRATION = Path(__file__).parent / "data" / "confidence.json"
_LIMBS = [
    (SMPL_JOINTS.index(f"{side}_{a}"), SMPL_JOINTS.index(f"{side}_{b}"))
    for side in ("left", "right")
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
]
_MAIN = [
    LANDMARKS.index(f"{side}_{name}")
    for side in ("left", "right")
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]


@dataclass(frozen=True)
class Confidence:
    """Confidence of a person's T frames.

    Attributes:
        error: Expected mean joint error, root-aligned and at equal body height [m], (T,).
        interval: 90 % bound of each SMPL joint's error, measured likewise [m], shape (T, 24).
        reasons: Which of :data:`REASONS` lower the confidence, shape (T, 8) bool.
    """

    error: np.ndarray
    interval: np.ndarray
    reasons: np.ndarray

    def explain(self, frame: int) -> list[str]:
        """The reasons of a frame as readable text."""
        return [text for text, is_one in zip(REASONS.values(), self.reasons[frame]) if is_one]

    @property
    def level(self) -> np.ndarray:
        """2 for a sure frame, 1 for a fair one, 0 for an unsure one, shape (T,)."""
        return (self.error <= SURE).astype(int) + (self.error <= FAIR)

    def summary(self) -> dict[str, object]:
        """Each frame's expected error [mm], and the ranges of track frames in which each reason holds."""
        reasons: dict[str, list[list[int]]] = {}
        for text, holds in zip(REASONS.values(), self.reasons.T):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], holds.astype(int), [0]])))
            if len(edges):
                reasons[text] = [[int(first), int(end) - 1] for first, end in edges.reshape(-1, 2)]
        return {"expected_error_mm": (1e3 * self.error).round().astype(int).tolist(), "less_sure": reasons}


@dataclass(frozen=True)
class Calibration:
    """Error model: ``log(error) = bias + features @ weights``.

    Attributes:
        weights: Of the features, shape (8,).
        bias: Bias at the features' usual values.
        usual: The features' medians, shape (8,).
        shares: 90th percentiles of the joints' errors in units of the expected one, shape (24,).
    """

    weights: np.ndarray
    bias: float
    usual: np.ndarray
    shares: np.ndarray

    def judge(self, features: np.ndarray) -> Confidence:
        """Confidence from the features of T frames, shape (T, 8)."""
        raised = (features - self.usual) * self.weights
        error = np.exp(self.bias + raised.sum(1))
        return Confidence(error, error[:, None] * self.shares, raised > np.log(_TOLD))

    @classmethod
    def of(cls, features: np.ndarray, errors: np.ndarray) -> Calibration:
        """Fits the model: non-negative ridge regression, then the quantiles.

        Args:
            features: Of N frames, shape (N, 8).
            errors: Joint errors [m], shape (N, 24).
        """
        from scipy.optimize import nnls

        usual, target = np.median(features, 0), np.log(errors.mean(1).clip(1e-3))
        scale = (features - usual).std(0).clip(1e-6)
        ridge = np.sqrt(0.01 * len(features)) * np.eye(len(scale))
        centred = (features - usual) / scale
        middle = centred.mean(0)
        weights, _ = nnls(
            np.concatenate([centred - middle, ridge]),
            np.concatenate([target - target.mean(), np.zeros(len(scale))]),
        )
        bias = float(target.mean() - middle @ weights)
        expected = np.exp(bias + centred @ weights)
        return cls(weights / scale, bias, usual, np.quantile(errors / expected[:, None], 0.9, axis=0))


@functools.cache
def stored_calibration() -> Calibration:
    """The calibration shipped with the package.

    Raises:
        FileFormatError: It was made for another version of the features.
    """
    stored = json.loads(read_text(_CALIBRATION))
    if list(stored["weights"]) != list(REASONS):
        raise FileFormatError(
            _CALIBRATION, f"expected weights of {', '.join(REASONS)}", hint="run tools/calibrate_confidence.py again"
        )
    weights, usual = (np.array(list(stored[name].values())) for name in ("weights", "usual"))
    return Calibration(weights, stored["bias"], usual, np.array([stored["shares"][name] for name in SMPL_JOINTS]))


def frame_features(
    track: Track, joints: np.ndarray, keypoints: np.ndarray, fps: float, width: int, height: int
) -> np.ndarray:
    """Features that predict the confidence, in the order of :data:`REASONS`.

    Args:
        track: The person as detected, T frames.
        joints: Recovered joints in camera axes [m], shape (T, 24 or more, 3).
        keypoints: Recovered keypoints in the image [px], shape (T, 44, 2).
        fps: Frames per second.
        width: Of the picture [px].
        height: Of the picture [px].

    Returns:
        Shape (T, 8): square root of the seconds to the nearest detection; the main landmarks' lack of visibility;
        distance of the first view's landmarks from the reconciled ones, and of the body's keypoints from the reconciled
        ones, both in person heights; fraction of landmarks outside the image; square root of their speed [heights/s];
        mean fraction of limb lengths along the line of sight; 100 px divided by the person's height.
    """
    joined = track.reconciled.landmarks
    seen = np.isfinite(joined).all((1, 2))
    frames = np.arange(len(joined))
    result = np.zeros((len(joined), len(REASONS)))
    limbs = np.stack([joints[:, b] - joints[:, a] for a, b in _LIMBS], 1)
    result[:, 6] = np.abs(limbs[..., 2] / np.linalg.norm(limbs, axis=-1)).mean(1)
    if not seen.any():
        result[:, 0] = np.sqrt(len(joined) / fps)
        return result
    away = np.abs(frames[:, None] - frames[seen]).min(1)
    result[:, 0] = np.sqrt(away / fps)
    tall = np.maximum(float(np.nanmedian(person_height(joined))), 1.0)
    result[:, 1] = 1 - track.landmarks[:, _MAIN, 2].mean(1)
    result[:, 2] = np.linalg.norm(track.landmarks[:, _MAIN, :2] - joined[:, _MAIN, :2], axis=-1).mean(1) / tall
    known = to_keypoints(joined)[..., :2]
    ends = ("elbow", "wrist", "knee", "ankle")
    shown = [KEYPOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ends]
    result[:, 3] = np.linalg.norm(keypoints[:, shown] - known[:, shown], axis=-1).mean(1) / tall
    points = joined[..., :2]
    result[:, 4] = ((points < 0) | (points > [width, height])).any(-1).mean(1)
    if len(frames) > 2:
        speed = np.linalg.norm(np.gradient(points[:, _MAIN], axis=0), axis=-1).mean(1) * fps / tall
        result[:, 5] = np.sqrt(speed)
    result[:, 7] = 100 / tall
    # Undetected frames take the values of the nearest detected one.
    for column in result.T:
        good = np.isfinite(column)
        column[~good] = np.interp(frames[~good], frames[good], column[good]) if good.any() else 0
    return result
