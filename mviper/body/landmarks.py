"""MediaPipe's 33 landmarks and their correspondence to MVIPER's keypoints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mviper.body.attached_points import AttachedPoints
from mviper.body.smpl import SMPL
from mviper.structures import KEYPOINTS, SMPL_JOINTS

#: BlazePose's landmarks in its order (Bazarevsky et al., "BlazePose", CVPRW 2020).
LANDMARKS = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb",
    "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
    "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip

#: Keypoints as means of landmarks.
_SOURCES = {
    **{
        f"{side}_{joint}": (f"{side}_{joint}",)
        for side in ("left", "right")
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "eye", "ear", "heel")
    },
    **{f"{side}_bigtoe": (f"{side}_foot_index",) for side in ("left", "right")},
    **{f"{side}_hand": (f"{side}_index", f"{side}_pinky") for side in ("left", "right")},
    "nose": ("nose",),
    "neck_extra": ("left_shoulder", "right_shoulder"),
    "pelvis_extra": ("left_hip", "right_hip"),
}

#: Positions of landmarks on the body and their accuracy, measured by ``tools/calibrate_detector.py``.
CALIBRATION = Path(__file__).parent / "data" / "blazepose.json"

#: Landmark, nearest keypoint, and the joint that both move with; left and right alternate.
_PLACES = (
    ("eye", "eye", "head"), ("ear", "ear", "head"), ("mouth", "nose", "head"), ("shoulder", "shoulder", "collar"),
    ("elbow", "elbow", "shoulder"), ("wrist", "wrist", "elbow"), ("pinky", "hand", "wrist"), ("index", "hand", "wrist"),
    ("thumb", "hand", "wrist"), ("hip", "hip", "pelvis"), ("knee", "knee", "hip"), ("ankle", "ankle", "knee"),
    ("heel", "heel", "ankle"), ("foot_index", "bigtoe", "ankle"),
)  # fmt: skip

#: Distance of the top of the head beyond the ears, relative to that from mid-shoulders to mid-ears (open body).
_HEAD_TOP = 0.62


def to_keypoints(landmarks: np.ndarray) -> np.ndarray:
    """Converts landmarks to the order of :data:`mviper.structures.KEYPOINTS` and adds the top of the head.

    Args:
        landmarks: Coordinates and, last, confidence, shape (..., 33, C).

    Returns:
        Shape (..., 44, C); NaN with confidence 0 for joints that MediaPipe lacks.
    """
    result = np.full((*landmarks.shape[:-2], len(KEYPOINTS), landmarks.shape[-1]), np.nan)
    result[..., -1] = 0
    for name, sources in _SOURCES.items():
        picked = landmarks[..., [LANDMARKS.index(source) for source in sources], :]
        result[..., KEYPOINTS.index(name), :-1] = picked[..., :-1].mean(-2)
        result[..., KEYPOINTS.index(name), -1] = picked[..., -1].min(-1)
    ears, shoulders = (
        landmarks[..., [LANDMARKS.index(f"{side}_{part}") for side in ("left", "right")], :]
        for part in ("ear", "shoulder")
    )
    top = result[..., KEYPOINTS.index("headtop"), :]
    top[..., :-1] = ears[..., :-1].mean(-2) + _HEAD_TOP * (ears[..., :-1].mean(-2) - shoulders[..., :-1].mean(-2))
    top[..., -1] = ears[..., -1].min(-1)
    return result


def person_height(landmarks: np.ndarray) -> np.ndarray:
    """Length of a person in the image: nose, mid-hips, knee, ankle, heel, along the longer leg.

    Unlike the box's height, it changes little when the person bends or lies down.

    Args:
        landmarks: Pixels first, shape (..., 33, 2 or more).

    Returns:
        [px], shape (...).
    """
    place = {name: landmarks[..., LANDMARKS.index(name), :2] for name in LANDMARKS}
    hips = (place["left_hip"] + place["right_hip"]) / 2
    legs = []
    for side in ("left", "right"):
        chain = [place[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "heel")]
        legs.append(sum(np.linalg.norm(b - a, axis=-1) for a, b in pairwise(chain)))
    return np.linalg.norm(place["nose"] - hips, axis=-1) + np.maximum(*legs)


def landmark_places() -> Iterator[tuple[str, str, str]]:
    """Landmarks used in fits, each with its nearest keypoint and the joint that both move with."""
    yield "nose", "nose", "head"
    for side in ("left", "right"):
        for landmark, *places in _PLACES:
            name = f"mouth_{side}" if landmark == "mouth" else f"{side}_{landmark}"
            base, carrier = (f"{side}_{place}" if f"{side}_{place}" in KEYPOINTS else place for place in places)
            yield name, base, carrier


#: Indices of the fitted landmarks among MediaPipe's 33.
FITTED = [LANDMARKS.index(name) for name, _, _ in landmark_places()]


def points_near(body: SMPL, offsets: Tensor | None = None) -> AttachedPoints:
    """Points at the landmarks' positions, rigidly attached to joints.

    Args:
        body: Whose.
        offsets: Offsets from the nearest keypoints, in the T-pose's axes [m], shape (K, 3).

    Returns:
        K points in the order of :func:`landmark_places`.
    """
    parts, share = AttachedPoints.at_keypoints(body)
    bases, carriers = zip(*((base, carrier) for _, base, carrier in landmark_places()))
    rows = share[[KEYPOINTS.index(base) for base in bases]]
    rest = rows @ parts.rest
    return replace(
        parts,
        rest=rest if offsets is None else rest + offsets.to(rest),
        shapedirs=(rows @ parts.shapedirs.flatten(1)).unflatten(1, parts.shapedirs.shape[1:]),
        posedirs=rest.new_zeros(len(rest), 3, 207),
        weights=torch.eye(24).to(rest)[[SMPL_JOINTS.index(carrier) for carrier in carriers]],
    )


def calibrated_points(body: SMPL) -> tuple[AttachedPoints, Tensor, float, dict[str, float]]:
    """The detector's landmarks as points on a body, with their accuracy.

    Args:
        body: Whose.

    Returns:
        The points in the order of :data:`FITTED`, their standard deviations [m at the person's depth] (K,), the
        fraction of their error variance that is constant over a track, and the offset of masks from the body's outline
        (see :class:`~mviper.models.fitting.Outline`).
    """
    content = json.loads(CALIBRATION.read_text())
    found = [content["landmarks"][name] for name, _, _ in landmark_places()]
    offsets, noise = (torch.tensor([each[key] for each in found]) for key in ("offset", "noise"))
    return points_near(body, offsets), noise, content["correlation"], content["outline"]
