"""MediaPipe's 33 landmarks and what they are among MVIPER's keypoints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mviper.body import SMPL, AttachedPoints
from mviper.structures import KEYPOINTS, SMPL_JOINTS

#: BlazePose's landmarks in its order (Bazarevsky et al., "BlazePose", CVPRW 2020).
LANDMARKS = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb",
    "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
    "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip

#: Keypoint and the landmarks whose mean it is.
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

#: Where landmarks lie on the body and how exact they are, as ``tools/calibrate_detector.py`` measured it.
CALIBRATION = Path(__file__).parent / "data" / "blazepose.json"

#: Landmark, the keypoint nearest to it, and the joint that carries both; sides by turns.
_PLACES = (
    ("eye", "eye", "head"), ("ear", "ear", "head"), ("mouth", "nose", "head"), ("shoulder", "shoulder", "collar"),
    ("elbow", "elbow", "shoulder"), ("wrist", "wrist", "elbow"), ("pinky", "hand", "wrist"), ("index", "hand", "wrist"),
    ("thumb", "hand", "wrist"), ("hip", "hip", "pelvis"), ("knee", "knee", "hip"), ("ankle", "ankle", "knee"),
    ("heel", "heel", "ankle"), ("foot_index", "bigtoe", "ankle"),
)  # fmt: skip

#: How far the top of the head lies beyond the ears, in lengths from the shoulders' middle to the ears' (open body).
_HEAD_TOP = 0.62


def to_keypoints(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks in the order of :data:`mviper.structures.KEYPOINTS`, with the top of the head added.

    Args:
        landmarks: Coordinates and, last, confidence, shape (..., 33, C).

    Returns:
        Shape (..., 44, C); NaN with confidence 0 for the joints that MediaPipe does not have.
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
    """Length of a person in the picture: nose to middle of the hips to knee to ankle to heel, the longer leg.

    Unlike the box' height it changes little when the person bends or lies down.

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
    """Landmarks that are fitted to, each with the keypoint nearest to it and the joint that carries both."""
    yield "nose", "nose", "head"
    for side in ("left", "right"):
        for landmark, *places in _PLACES:
            name = f"mouth_{side}" if landmark == "mouth" else f"{side}_{landmark}"
            base, carrier = (f"{side}_{place}" if f"{side}_{place}" in KEYPOINTS else place for place in places)
            yield name, base, carrier


#: Places of the fitted landmarks among MediaPipe's 33.
FITTED = [LANDMARKS.index(name) for name, _, _ in landmark_places()]


def points_near(body: SMPL, offsets: Tensor | None = None) -> AttachedPoints:
    """Points that lie where landmarks do, rigid with the joints that carry them.

    Args:
        body: Whose.
        offsets: From the keypoints nearest to them, in the T-pose's axes [m], shape (K, 3).

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
    """What the detector's landmarks are on a body.

    Args:
        body: Whose.

    Returns:
        The points in the order of :data:`FITTED`, their standard deviations [m at the person's depth] (K,), the share
        of their error variance that stays the same over a track, and how masks differ from the body's outline (as
        :class:`~mviper.models.fitting.Outline` takes it).
    """
    content = json.loads(CALIBRATION.read_text())
    found = [content["landmarks"][name] for name, _, _ in landmark_places()]
    offsets, noise = (torch.tensor([each[key] for each in found]) for key in ("offset", "noise"))
    return points_near(body, offsets), noise, content["correlation"], content["outline"]
