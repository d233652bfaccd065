"""From frames and pixels to square crops and crop units, with the geometric part of augmentation.

A transform takes and returns the dict that a data set makes: ``frames`` (T pictures, (H, W, 3) uint8 RGB),
``keypoints2d`` (T, J, 3) (x, y [px], chi), ``keypoints2d_valid`` (T, J), ``keypoints3d`` (T, J, 4), ``smpl_rotmat``
(T, 24, 3, 3), ``betas`` (T, 10), the ``has_*`` flags, the metainfo and ``rng``.
"""

from __future__ import annotations

import math

import numpy as np

from mviper.body.joints import SMPL_JOINTS, mirror_indices
from mviper.datasets.crop import BOX_SCALE, crop_frame, in_plane_matrix, square_boxes, to_crop_units
from mviper.errors import ConfigError
from mviper.registry import TRANSFORMS

#: Left-right partners of SMPL's joints and of all keypoints, and what a mirror does to a rotation matrix's elements.
_MIRROR_JOINTS, _MIRROR_KEYPOINTS = mirror_indices(SMPL_JOINTS), mirror_indices()
_MIRROR_SIGNS = np.outer([-1.0, 1.0, 1.0], [-1.0, 1.0, 1.0])


@TRANSFORMS.register_module()
class AugmentClip:
    """Draws one turn, scale, shift and mirror for all frames of a clip; stands BEFORE ``CropClip``, which applies it.

    Pictures are resampled once only, and all annotation follows exactly: an in-plane turn of the picture is a turn of
    the body about the camera's axis, the mirror image of a body is a body with sides swapped (for a body model that is
    symmetric, as the open body is; then betas stay).

    Args:
        rotation: Largest turn either way [rad].
        scale: The box's side is multiplied by a factor in [1 / (1 + scale), 1 + scale], log-uniform.
        shift: The box moves by at most this share of its side, in x and in y.
        flip: Probability of the mirror.
    """

    def __init__(
        self, rotation: float = math.pi / 6, scale: float = 0.25, shift: float = 0.1, flip: float = 0.5
    ) -> None:
        self.rotation, self.scale, self.shift, self.flip = rotation, scale, shift, flip

    def __call__(self, results: dict) -> dict:
        """Adds ``augmentation``."""
        if "crop" in results:
            raise ConfigError("AugmentClip must stand before CropClip in the pipeline: CropClip applies what it draws")
        rng = results["rng"]
        results["augmentation"] = {
            "rotation": rng.uniform(-self.rotation, self.rotation),
            "scale": (1 + self.scale) ** rng.uniform(-1, 1),
            "shift": rng.uniform(-self.shift, self.shift, 2),
            "flip": bool(rng.random() < self.flip),
        }
        return results


@TRANSFORMS.register_module()
class CropClip:
    """Cuts the square round the person out of each frame and brings all annotation into it.

    The box of each frame is that of its 2D joints (:func:`mviper.datasets.crop.square_boxes`). A joint outside the
    square is not visible in it, so its chi becomes 0.

    Args:
        size: Side of the crop S [px].
        scale: Side of the square over the longer side of the joints' bounding box.
    """

    def __init__(self, size: int = 224, scale: float = BOX_SCALE) -> None:
        self.size, self.scale = size, scale

    def __call__(self, results: dict) -> dict:
        """Makes ``frames`` (T, S, S, 3) and the annotation the crop's; adds ``crop``, its rotation and flip."""
        boxes = square_boxes(results["keypoints2d"], results["keypoints2d_valid"], self.scale)
        drawn = results.pop("augmentation", {"rotation": 0.0, "scale": 1.0, "shift": np.zeros(2), "flip": False})
        boxes[:, :2] += drawn["shift"] * boxes[:, 2:]
        boxes[:, 2] *= drawn["scale"]
        turn, flip = drawn["rotation"], drawn["flip"]

        if "frames" in results:
            crops = np.empty((len(boxes), self.size, self.size, 3), np.uint8)
            for crop, frame, box in zip(crops, results["frames"], boxes):
                crop_frame(frame, box, self.size, turn, flip, out=crop)
            results["frames"] = crops

        keypoints2d = results["keypoints2d"].astype(np.float64)
        keypoints2d[..., :2] = to_crop_units(keypoints2d[..., :2], boxes, turn, flip)
        keypoints2d[..., 2] *= (np.abs(keypoints2d[..., :2]) <= 1).all(axis=-1)
        results["keypoints2d"] = keypoints2d
        if turn or flip:
            turn_annotation(results, turn, flip)
        results["crop"] = boxes
        results["crop_rotation"], results["crop_flip"] = turn, flip
        return results


def turn_annotation(results: dict, rotation: float, flip: bool) -> None:
    """Turns (and then mirrors) the 3D annotation of a clip with its pictures, in place.

    ``results['keypoints2d']`` is in the turned crop already; only its sides are swapped.
    """
    matrix = in_plane_matrix(rotation, flip)
    keypoints3d = results["keypoints3d"].copy()
    keypoints3d[..., :3] = keypoints3d[..., :3] @ matrix.T
    rotmat = results["smpl_rotmat"].copy()
    rotmat[:, 0] = in_plane_matrix(rotation) @ rotmat[:, 0]
    if flip:
        rotmat = (rotmat * _MIRROR_SIGNS)[:, _MIRROR_JOINTS]
        keypoints3d = keypoints3d[:, _MIRROR_KEYPOINTS]
        results["keypoints2d"] = results["keypoints2d"][:, _MIRROR_KEYPOINTS]
    results["keypoints3d"], results["smpl_rotmat"] = keypoints3d, rotmat
