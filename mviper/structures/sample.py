"""One training or test sample: a clip's annotation, and later its prediction."""

from __future__ import annotations

from mmengine.structures import BaseDataElement


class BodySample(BaseDataElement):
    """Annotation and prediction of one clip of T frames (float32 tensors).

    Data fields: ``keypoints2d`` (T, J, 3) in [-1, 1] over the crop, third = chi; ``keypoints3d`` (T, J, 4) [m] in
    camera axes minus SMPL joint 0, fourth = valid; ``smpl_rotmat`` (T, 24, 3, 3); ``betas`` (T, 10);
    ``has_keypoints3d``, ``has_smpl``, ``has_betas`` (). Predictions: ``pred_rotmat``, ``pred_betas``, ``pred_camera``
    (T, 3) = (s, tx, ty), ``pred_keypoints3d`` (T, J, 3), ``pred_keypoints2d`` (T, J, 2).

    For adversarial training also ``real_rotmat`` (T, 23, 3, 3) and ``real_betas`` (T, 10), which have nothing to do
    with the clip.

    Metainfo: ``sequence``, ``frame_indices`` (T,), ``crop`` (T, 3) = centre x, centre y, side [px], ``video_path``.
    """
