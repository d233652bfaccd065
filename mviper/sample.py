"""One training or test sample: a clip's annotation, and later its prediction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


class BodySample(BaseDataElement):
    """Annotation and prediction of one clip of T frames (float32 tensors).

    Data fields: ``keypoints2d`` (T, J, 3) in [-1, 1] over the crop, third = chi; ``keypoints3d`` (T, J, 4) [m] in
    camera axes minus SMPL joint 0, fourth = valid; ``smpl_rotmat`` (T, 24, 3, 3); ``betas`` (T, 10);
    ``has_keypoints3d``, ``has_smpl``, ``has_betas`` (). Predictions: ``pred_rotmat``, ``pred_betas``, ``pred_camera``
    (T, 3) = (s, tx, ty), ``pred_keypoints3d`` (T, J, 3), ``pred_keypoints2d`` (T, J, 2).

    For adversarial training also ``real_rotmat`` (T, 23, 3, 3) and ``real_betas`` (T, 10), which are unrelated to the
    clip.

    Metainfo: ``sequence``, ``frame_indices`` (T,), ``crop`` (T, 3) = centre x, centre y, side [px], ``crop_rotation``
    (T,) = the image's rotation in the crop [rad], which applies to the annotation too, ``video_path``. After
    prediction, annotation and prediction are rotated back (:func:`turn_back`): ``crop_rotation`` is then 0, everything
    refers to the upright crop, and ``picture_rotation`` (T,) is the rotation of ``inputs``.
    """


class EncodedClip(NamedTuple):
    """An encoder's output for a clip, in place of its images.

    Attributes:
        features: (T, D), or (B, T, D).
        maps: (T, L, D_map), or (B, T, L, D_map).
        encoder: The encoder's id, :attr:`BodyModelEstimator.encoder_id`.
    """

    features: Tensor
    maps: Tensor
    encoder: str


def turn_back(values: dict[str, Tensor], rotation: Tensor) -> dict[str, Tensor]:
    """Transforms fields from rotated crops to upright crops of the same centre and side.

    Args:
        values: Fields of :class:`BodySample`, annotated or predicted, (T, ...) each; others are left unchanged.
        rotation: The image's rotation in each crop [rad], shape (T,).

    Returns:
        The same fields: roots and 3D points rotated about the camera's axis, 2D points and the camera's shift rotated
        in the image.
    """
    cos, sin, zero, one = rotation.cos(), rotation.sin(), torch.zeros_like(rotation), torch.ones_like(rotation)
    # Transposed: the image's rotation is [[cos, -sin], [sin, cos]].
    back = torch.stack([cos, sin, zero, -sin, cos, zero, zero, zero, one], -1).unflatten(-1, (3, 3))
    turned = dict(values)
    for name in values:
        kind = name.removeprefix("pred_")
        value, matrix = values[name], back.to(values[name])
        if kind == "smpl_rotmat" or kind == "rotmat":
            turned[name] = torch.cat([matrix[:, None] @ value[:, :1], value[:, 1:]], 1)
        elif kind == "keypoints3d":
            turned[name] = torch.cat([value[..., :3] @ matrix.mT, value[..., 3:]], -1)
        elif kind in ("keypoints2d", "detected_keypoints2d"):
            turned[name] = torch.cat([value[..., :2] @ matrix[:, :2, :2].mT, value[..., 2:]], -1)
        elif kind == "camera":
            shift = (matrix[:, :2, :2] @ value[:, 1:, None])[..., 0]
            turned[name] = torch.cat([value[:, :1], shift], -1)
    return turned


def turn_sample_back(sample: BodySample) -> None:
    """Rotates a sample's annotation and prediction back by its ``crop_rotation``, in place and only once."""
    rotation = np.asarray(sample.get("crop_rotation", 0.0), np.float64)
    if not rotation.any():
        return
    if sample.get("crop_flip", False):
        rotation = -rotation  # mirrored after the rotation
    fields = {name: value for name, value in sample.items() if isinstance(value, Tensor)}
    sample.set_data(turn_back(fields, torch.from_numpy(rotation)))
    sample.set_metainfo({"picture_rotation": rotation, "crop_rotation": np.zeros_like(rotation)})
