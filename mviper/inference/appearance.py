"""Colours of body parts and clothes, to tell people apart where their boxes overlap."""

from __future__ import annotations

import cv2
import numpy as np

from mviper.body import LANDMARKS

#: Segments between landmarks along which each part is sampled; left and right are merged, since detectors confuse them.
_PARTS = (
    (("left_ear", "right_ear"), ("nose", "left_ear"), ("nose", "right_ear")),
    (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"), ("left_shoulder", "right_shoulder")),
    (("left_hip", "right_hip"),),
    (("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow")),
    (("left_elbow", "left_wrist"), ("right_elbow", "right_wrist")),
    (("left_hip", "left_knee"), ("right_hip", "right_knee")),
    (("left_knee", "left_ankle"), ("right_knee", "right_ankle")),
    (("left_heel", "left_foot_index"), ("right_heel", "right_foot_index")),
)
_SEGMENTS = np.array([[LANDMARKS.index(a), LANDMARKS.index(b)] for part in _PARTS for a, b in part])
_PART_OF = np.repeat(np.arange(len(_PARTS)), [len(part) for part in _PARTS])
#: Sampling positions along each segment, away from its ends.
_SHARES = np.linspace(0.1, 0.9, 9, dtype=np.float32)[:, None, None]
#: Colour difference at which two people are certainly distinct [CIE Lab].
_OTHER = 30.0


def colours_of(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Mean colour of each part of a person.

    Args:
        image: RGB, shape (H, W, 3) uint8.
        points: x, y [px], visibility, shape (33, 3).

    Returns:
        CIE Lab, shape (8, 3) float32; NaN where a part is outside the picture.
    """
    ends = points[_SEGMENTS, :2]  # (segments, 2, 2)
    places = np.round(ends[:, 0] + _SHARES * (ends[:, 1] - ends[:, 0])).astype(int)  # (shares, segments, 2)
    height, width = image.shape[:2]
    inside = (places >= 0).all(-1) & (places[..., 0] < width) & (places[..., 1] < height)
    x, y = places[..., 0].clip(0, width - 1), places[..., 1].clip(0, height - 1)
    lab = cv2.cvtColor(image[y, x].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    result = np.full((len(_PARTS), 3), np.nan, np.float32)
    for part in range(len(_PARTS)):
        own = inside & (_PART_OF == part)
        if own.any():
            result[part] = lab[own].mean(0)
    return result


def dissimilarity(first: np.ndarray, second: np.ndarray) -> float:
    """Dissimilarity of two people's colours (8, 3), 0 to 1; 0.5 if they cannot be compared."""
    apart = np.linalg.norm(first - second, axis=1)
    known = np.isfinite(apart)
    return float(np.minimum(apart[known] / _OTHER, 1).mean()) if known.sum() >= 2 else 0.5


def moving_average(memory: np.ndarray | None, colours: np.ndarray, share: float) -> np.ndarray:
    """Exponential moving average of a person's colours (8, 3); ``share`` is the weight of the new ones."""
    if memory is None:
        return colours
    mixed = memory + share * (colours - memory)
    return np.where(np.isfinite(mixed), mixed, np.where(np.isfinite(memory), memory, colours))
