"""Last transform of a pipeline: packs plain arrays for the data preprocessor and the metrics."""

from __future__ import annotations

import numpy as np
import torch

from mviper.registry import TRANSFORMS
from mviper.sample import BodySample

#: Annotation that becomes float32 tensors of the sample.
DATA_FIELDS = ("keypoints2d", "keypoints3d", "smpl_rotmat", "betas", "has_keypoints3d", "has_smpl", "has_betas")
#: Keys of its metainfo. ``crop_rotation`` (T,) [rad] and ``crop_flip`` complete the map from ``crop`` to the picture.
META_FIELDS = ("sequence", "frame_indices", "video_path", "crop", "crop_rotation", "crop_flip")


@TRANSFORMS.register_module()
class PackBodySample:
    """Makes ``dict(inputs=uint8 tensor (T, 3, S, S), data_sample=BodySample)``.

    ``inputs`` is a view with channels last in memory: no copy, and faster convolutions. Without ``frames`` (annotation
    only) there are no ``inputs``.
    """

    def __call__(self, results: dict) -> dict:
        """Packs the pipeline's dict."""
        sample = BodySample(metainfo={name: results[name] for name in META_FIELDS if name in results})
        for name in DATA_FIELDS:
            sample.set_field(torch.from_numpy(np.asarray(results[name], np.float32)), name)
        if "detected_keypoints2d" in results:
            sample.set_field(torch.from_numpy(results["detected_keypoints2d"]), "detected_keypoints2d")
        packed: dict[str, BodySample | torch.Tensor] = {"data_sample": sample}
        if "frames" in results:
            packed["inputs"] = torch.from_numpy(results["frames"]).permute(0, 3, 1, 2)
        return packed
