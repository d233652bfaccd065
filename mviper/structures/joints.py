"""Names and order of the project's keypoints, in MMHuman3D's terms.

``x_extra`` is the surface joint that annotators label (such as the bump of the hip); ``x`` alone is SMPL's joint.
"""

from __future__ import annotations

import numpy as np

#: SMPL's 24 joints in SMPL's order.
SMPL_JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine_1", "left_knee", "right_knee", "spine_2", "left_ankle",
    "right_ankle", "spine_3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand",
    "right_hand",
)  # fmt: skip

#: Parent of each SMPL joint; the root's is -1.
SMPL_PARENTS = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21])

#: Joints regressed from the surface: those that LSP-14, Human3.6M-17 and COCO-17 (+ feet) label beyond SMPL's 24.
SURFACE_JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_heel", "right_heel", "left_bigtoe",
    "right_bigtoe", "left_smalltoe", "right_smalltoe", "left_hip_extra", "right_hip_extra", "neck_extra",
    "headtop", "pelvis_extra", "thorax_extra", "spine_extra", "jaw_extra", "head_extra",
)  # fmt: skip

#: The J = 44 keypoints of a training sample: SMPL's 24, then the surface joints.
KEYPOINTS = SMPL_JOINTS + SURFACE_JOINTS


def mirror_indices(names: tuple[str, ...] = KEYPOINTS) -> np.ndarray:
    """Index of each keypoint's left-right partner (itself on the midline).

    Args:
        names: Keypoint names, sides as ``left_`` and ``right_``.

    Returns:
        (J,) int64; ``mirrored = keypoints[mirror_indices()]``.
    """
    swap = {"left": "right", "right": "left"}
    partner = ["_".join(swap.get(part, part) for part in name.split("_")) for name in names]
    return np.array([names.index(name) for name in partner])
