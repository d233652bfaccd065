"""From frames and pixels to square crops and crop units, with geometric augmentation.

A transform takes and returns the dict that a data set makes: ``frames`` (T pictures, (H, W, 3) uint8 RGB),
``keypoints2d`` (T, J, 3) (x, y [px], chi), ``keypoints2d_valid`` (T, J), ``keypoints3d`` (T, J, 4), ``smpl_rotmat``
(T, 24, 3, 3), ``betas`` (T, 10), the ``has_*`` flags, the metainfo and ``rng``.
"""

from __future__ import annotations

import math

import numpy as np

from mviper.datasets.crop import ALIGNMENTS, crop_frame, crop_squares, in_plane_matrix, to_crop_units
from mviper.errors import ConfigError, FileFormatError
from mviper.registry import TRANSFORMS
from mviper.structures import SMPL_JOINTS, mirror_indices

#: Left-right partners of SMPL's joints and of all keypoints, and the effect of a mirror on a rotation matrix.
_MIRROR_JOINTS, _MIRROR_KEYPOINTS = mirror_indices(SMPL_JOINTS), mirror_indices()
_MIRROR_SIGNS = np.outer([-1.0, 1.0, 1.0], [-1.0, 1.0, 1.0])


@TRANSFORMS.register_module()
class AugmentClip:
    """Draws one rotation, scale, shift and mirror for all frames of a clip; goes BEFORE ``CropClip``, which applies it.

    Pictures are resampled only once, and all annotation follows exactly: an in-plane rotation of the picture is a
    rotation of the body about the camera's axis, the mirror image of a body is a body with sides swapped (for a
    symmetric body model, such as the open body, with the same betas).

    Args:
        rotation: Largest rotation either way [rad].
        scale: The box's side is multiplied by a factor in [1 / (1 + scale), 1 + scale], log-uniform.
        shift: The box moves by at most this share of its side, in x and in y.
        flip: Probability of the mirror.
        enabled: False leaves every clip as it is.
    """

    def __init__(
        self, rotation: float = math.pi / 6, scale: float = 0.25, shift: float = 0.1, flip: float = 0.5,
        enabled: bool = True,
    ) -> None:  # fmt: skip
        self.rotation, self.scale, self.shift, self.flip, self.enabled = rotation, scale, shift, flip, enabled

    def __call__(self, results: dict) -> dict:
        """Adds ``augmentation``."""
        if "crop" in results:
            raise ConfigError(
                "AugmentClip must come before CropClip in the pipeline, which applies its random parameters"
            )
        if not self.enabled:
            return results
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
    """Crops the square round the person out of each frame and maps all annotation into it.

    The square of each frame is that of its 2D joints (:func:`mviper.datasets.crop.crop_squares`). A joint outside the
    square is not visible in it, so its chi becomes 0. If the crop is rotated, the 3D annotation is rotated with it: a
    network learns the root in the rotated crop's axes, and its predictions are rotated back by ``crop_rotation``
    (:func:`mviper.sample.turn_back`).

    Args:
        size: Side of the crop S [px].
        scale: Side of the square over the longer side of the joints' bounding box, 1.2 by default; aligned, over the
            distance from the middle of the hips to the farthest joint, 2.5 by default.
        alignment: None for upright crops; ``'torso'``: centred between the hips, the torso upright in each frame's.

    Raises:
        ConfigError: No such alignment.
    """

    def __init__(self, size: int = 224, scale: float | None = None, alignment: str | None = None) -> None:
        if alignment not in ALIGNMENTS:
            raise ConfigError(f"CropClip: alignment={alignment!r}, expected None or 'torso'")
        self.size, self.scale, self.alignment = size, scale, alignment

    def __call__(self, results: dict) -> dict:
        """Crops ``frames`` to (T, S, S, 3), maps the annotation, and adds ``crop``, its rotation (T,) and flip.

        Raises:
            FileFormatError: No frame has the joints that the crop needs.
        """
        try:
            boxes, turn = crop_squares(results["keypoints2d"], results["keypoints2d_valid"], self.scale, self.alignment)
        except ValueError as error:
            first = int(results["frame_indices"][0])
            raise FileFormatError(results["video_path"], f"frames from {first}: {error}") from error
        drawn = results.pop("augmentation", {"rotation": 0.0, "scale": 1.0, "shift": np.zeros(2), "flip": False})
        boxes[:, :2] += drawn["shift"] * boxes[:, 2:]
        boxes[:, 2] *= drawn["scale"]
        turn, flip = turn + drawn["rotation"], drawn["flip"]

        if "frames" in results:
            crops = np.empty((len(boxes), self.size, self.size, 3), np.uint8)
            for crop, frame, box, angle in zip(crops, results["frames"], boxes, turn):
                crop_frame(frame, box, self.size, angle, flip, out=crop)
            results["frames"] = crops

        keypoints2d = results["keypoints2d"].astype(np.float64)
        keypoints2d[..., :2] = to_crop_units(keypoints2d[..., :2], boxes, turn, flip)
        keypoints2d[..., 2] *= (np.abs(keypoints2d[..., :2]) <= 1).all(axis=-1)
        results["keypoints2d"] = keypoints2d
        if turn.any() or flip:
            turn_annotation(results, turn, flip)
        results["crop"] = boxes
        results["crop_rotation"], results["crop_flip"] = turn, flip
        return results


def turn_annotation(results: dict, rotation: np.ndarray, flip: bool) -> None:
    """Rotates (and then mirrors) the 3D annotation of a clip with its pictures, in place.

    ``results['keypoints2d']`` is already in the rotated crop; only its sides are swapped. ``rotation`` is per frame
    [rad], shape (T,).
    """
    matrix = in_plane_matrix(rotation, flip)
    keypoints3d = results["keypoints3d"].copy()
    keypoints3d[..., :3] = keypoints3d[..., :3] @ matrix.transpose(0, 2, 1)
    rotmat = results["smpl_rotmat"].copy()
    rotmat[:, 0] = in_plane_matrix(rotation) @ rotmat[:, 0]
    if flip:
        rotmat = (rotmat * _MIRROR_SIGNS)[:, _MIRROR_JOINTS]
        keypoints3d = keypoints3d[:, _MIRROR_KEYPOINTS]
        results["keypoints2d"] = results["keypoints2d"][:, _MIRROR_KEYPOINTS]
    results["keypoints3d"], results["smpl_rotmat"] = keypoints3d, rotmat
