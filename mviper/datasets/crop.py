"""Square crops round a person: the mapping shared by training, testing and recovery.

A box is ``(cx, cy, side)`` in video pixels, pixel (0, 0) being the CENTRE of the top-left pixel. Crop units put the
square's edges at -1 and 1: ``n = F A (p - c) 2 / side`` with the in-plane rotation ``A`` of alignment and augmentation
and the latter's mirror ``F`` (otherwise identity). An image of S x S pixels samples the square at the centres of S
equal cells, so its pixel u lies at ``n = (2 u + 1) / S - 1``.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from mviper.structures import KEYPOINTS

#: Side of the square over the longer side of the joints' bounding box.
BOX_SCALE = 1.2
#: Side of an aligned square over the distance from the middle of the hips to the farthest joint.
TORSO_SCALE = 2.5
#: Crop alignments.
ALIGNMENTS = (None, "torso")
#: Joint groups whose mean is the middle of the hips and of the shoulders; the first labelled group counts.
_HIPS = (("left_hip", "right_hip"), ("left_hip_extra", "right_hip_extra"), ("pelvis",), ("pelvis_extra",))
_SHOULDERS = (("left_shoulder", "right_shoulder"), ("neck_extra",), ("neck",))


def crop_squares(
    keypoints: np.ndarray, valid: np.ndarray | None = None, scale: float | None = None, alignment: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The square round a person in each frame, for training, testing and recovery.

    Args:
        keypoints: x, y [px] in the order of ``KEYPOINTS``, shape (T, J, 2 or more).
        valid: Which joints have a position, shape (T, J) or (J,); default all finite ones.
        scale: Side over the longer side of the joints' bounding box (default 1.2); aligned, over the distance from the
            middle of the hips to the farthest joint (default 2.5).
        alignment: None: upright squares (:func:`square_boxes`). ``'torso'``: centred between the hips, and rotated so
            that the shoulders are above them.

    Returns:
        Boxes (T, 3) float64: centre x, centre y, side [px]; and the picture's rotation [rad] in each, shape (T,), as
        for :func:`crop_matrices`.

    Raises:
        ValueError: No frame has a joint; aligned: none has both hips and shoulders.
    """
    if alignment is None:
        boxes = square_boxes(keypoints, valid, BOX_SCALE if scale is None else scale)
        return boxes, np.zeros(len(boxes))
    points, usable = _positions(keypoints, valid)
    hips, shoulders = _middle(points, usable, _HIPS), _middle(points, usable, _SHOULDERS)
    reach = np.linalg.norm(points - hips[:, None], axis=-1)
    reach = np.where(usable & np.isfinite(reach), reach, 0).max(axis=1)
    torso = shoulders - hips
    known = np.flatnonzero(np.linalg.norm(torso, axis=1) > 1e-6)  # false for NaN and for a torso seen end on
    if len(known) == 0:
        raise ValueError("no frame has both the hips and the shoulders, which an aligned crop needs")
    angles = np.unwrap(-math.pi / 2 - np.arctan2(torso[known, 1], torso[known, 0]))
    side = np.maximum(reach * (TORSO_SCALE if scale is None else scale), 2.0)
    columns = [hips[known, 0], hips[known, 1], side[known], angles]
    x, y, side, angles = (np.interp(np.arange(len(points)), known, column) for column in columns)
    return np.stack([x, y, side], axis=1), np.remainder(angles + math.pi, 2 * math.pi) - math.pi


def _positions(keypoints: np.ndarray, valid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """x, y (T, J, 2) float64 and a mask of usable ones (T, J)."""
    points = np.asarray(keypoints, np.float64)[..., :2]
    usable = np.isfinite(points).all(-1)
    return points, usable if valid is None else usable & np.asarray(valid, bool)


def _middle(points: np.ndarray, usable: np.ndarray, choices: tuple[tuple[str, ...], ...]) -> np.ndarray:
    """Mean of the first joint group that a frame has completely, (T, 2); NaN if there is none."""
    middle = np.full((len(points), 2), np.nan)
    for names in reversed(choices):
        joints = [KEYPOINTS.index(name) for name in names]
        whole = usable[:, joints].all(axis=1)
        middle[whole] = points[whole][:, joints].mean(axis=1)
    return middle


def square_boxes(keypoints: np.ndarray, valid: np.ndarray | None = None, scale: float = BOX_SCALE) -> np.ndarray:
    """Square boxes from 2D joints, frame by frame, as a tracker gives them.

    All joints with a position count, seen or not (a box that shrank when an arm was hidden would make the person's size
    flicker). Frames without any are filled from their neighbours in time.

    Args:
        keypoints: x, y [px], shape (T, J, 2 or more).
        valid: Which joints have a position, shape (T, J) or (J,); default all finite ones.
        scale: Side of the square over the longer side of the joints' bounding box.

    Returns:
        (T, 3) float64: centre x, centre y, side [px].

    Raises:
        ValueError: No frame has a joint.
    """
    points, usable = _positions(keypoints, valid)
    low = np.where(usable[..., None], points, np.inf).min(axis=1)
    high = np.where(usable[..., None], points, -np.inf).max(axis=1)
    known = np.flatnonzero(usable.any(axis=1))
    if len(known) == 0:
        raise ValueError("no frame has a 2D joint to put a box round")
    low, high = low[known], high[known]
    side = np.maximum((high - low).max(axis=-1) * scale, 2.0)  # a single joint still gets a box
    boxes = np.concatenate([(low + high) / 2, side[:, None]], axis=1)
    frames = np.arange(len(points))
    return np.stack([np.interp(frames, known, column) for column in boxes.T], axis=1)


def crop_matrices(boxes: np.ndarray, rotation: float | np.ndarray = 0.0, flip: bool = False) -> np.ndarray:
    """Affine maps from video pixels to crop units.

    Args:
        boxes: (T, 3).
        rotation: The picture's rotation [rad], of all frames or per frame (T,); positive rotates x (right) towards y
            (down).
        flip: Mirror left and right after the rotation.

    Returns:
        (T, 2, 3) float64.
    """
    boxes = np.asarray(boxes, np.float64)
    linear = in_plane_matrix(rotation, flip)[..., :2, :2] * (2.0 / boxes[:, 2, None, None])
    return np.concatenate([linear, -linear @ boxes[:, :2, None]], axis=2)


def in_plane_matrix(rotation: float | np.ndarray = 0.0, flip: bool = False) -> np.ndarray:
    """The crop's rotation and mirror for points in camera axes: ``F A``, (3, 3), or (T, 3, 3) for rotations (T,)."""
    cos, sin, sign = np.cos(rotation), np.sin(rotation), -1.0 if flip else 1.0
    matrix = np.zeros((*np.shape(rotation), 3, 3))
    matrix[..., 0, 0], matrix[..., 0, 1] = sign * cos, -sign * sin
    matrix[..., 1, 0], matrix[..., 1, 1], matrix[..., 2, 2] = sin, cos, 1.0
    return matrix


def to_crop_units(
    points: np.ndarray, boxes: np.ndarray, rotation: float | np.ndarray = 0.0, flip: bool = False
) -> np.ndarray:
    """Video pixels (T, N, 2) to crop units (T, N, 2); arguments as in :func:`crop_matrices`."""
    matrices = crop_matrices(boxes, rotation, flip)
    return points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]


def crop_frame(
    frame: np.ndarray,
    box: np.ndarray,
    size: int,
    rotation: float = 0.0,
    flip: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Crops one square out of a frame; black outside the frame.

    Downscaling by 2 or more averages over whole cells (no aliasing), otherwise bilinear.

    Args:
        frame: (H, W, 3) uint8.
        box: (3,).
        size: S.
        rotation: This frame's, as in :func:`crop_matrices`.
        flip: As in :func:`crop_matrices`.
        out: Output buffer, (S, S, 3) uint8.

    Returns:
        (S, S, 3) uint8.
    """
    cells = max(1, int(box[2] / size))  # whole source pixels per crop pixel
    fine = size * cells
    back = in_plane_matrix(rotation, flip)[:2, :2].T  # orthogonal: the inverse of rotation and mirror
    source_of_pixel = np.empty((2, 3))
    source_of_pixel[:, :2] = back * (box[2] / fine)
    source_of_pixel[:, 2] = box[:2] + back.sum(axis=1) * ((1 / fine - 1) * box[2] / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if cells == 1:
        return cv2.warpAffine(frame, source_of_pixel, (size, size), dst=out, flags=flags)
    warped = cv2.warpAffine(frame, source_of_pixel, (fine, fine), flags=flags)
    return cv2.resize(warped, (size, size), dst=out, interpolation=cv2.INTER_AREA)
