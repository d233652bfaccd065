"""Joint order of each public set, in this project's names (``mviper.structures.joints``).

An anatomical hip, as annotators click it or marker systems place it, is ``left_hip_extra``: SMPL's own hip joints lie
about 6 cm further inwards. ``None`` marks joints without a counterpart among our keypoints.
"""

from __future__ import annotations

_LIMBS = ("right_ankle", "right_knee", "right_hip_extra", "left_hip_extra", "left_knee", "left_ankle")
_ARMS = ("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist")

#: Leeds Sports Pose and its extension (README.txt): 14 joints, sides as the person has them.
LSP = (*_LIMBS, *_ARMS, "neck_extra", "headtop")

#: MPII (http://human-pose.mpi-inf.mpg.de, annotation description): 16 joints by their id.
MPII = (*_LIMBS, "pelvis_extra", "thorax_extra", "neck_extra", "headtop", *_ARMS)

#: COCO (https://cocodataset.org/#format-data): 17 keypoints.
COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip_extra", "right_hip_extra", "left_knee", "right_knee",
    "left_ankle", "right_ankle",
)  # fmt: skip

#: The 18 keypoints of OpenPose's COCO model, used in 3DPW's ``poses2d``.
OPENPOSE_18 = (
    "nose", "neck_extra", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip_extra", "right_knee", "right_ankle", "left_hip_extra", "left_knee", "left_ankle", "right_eye",
    "left_eye", "right_ear", "left_ear",
)  # fmt: skip

#: Human3.6M: the 17 joints in use, by index among the 32 of its files (the rest are copies and ends of chains).
#: Joint 14 ("neck/nose") lies at the jaw, 15 ("head") in the upper head, below the top of the skull.
H36M = {
    11: "pelvis_extra", 6: "left_hip_extra", 7: "left_knee", 8: "left_ankle", 1: "right_hip_extra", 2: "right_knee",
    3: "right_ankle", 12: "spine_extra", 24: "neck_extra", 14: "jaw_extra", 15: "head_extra", 17: "left_shoulder",
    18: "left_elbow", 19: "left_wrist", 25: "right_shoulder", 26: "right_elbow", 27: "right_wrist",
}  # fmt: skip

#: MPI-INF-3DHP, training (util/mpii_get_joint_set.m, 'all'): of 28 joints the 17 that correspond to Human3.6M's.
MPI_INF_3DHP = {
    4: "pelvis_extra", 3: "spine_extra", 5: "neck_extra", 6: "jaw_extra", 7: "headtop", 9: "left_shoulder",
    10: "left_elbow", 11: "left_wrist", 14: "right_shoulder", 15: "right_elbow", 16: "right_wrist",
    18: "left_hip_extra", 19: "left_knee", 20: "left_ankle", 23: "right_hip_extra", 24: "right_knee",
    25: "right_ankle",
}  # fmt: skip

#: MPI-INF-3DHP, test set ('relevant'): 17 joints.
MPI_INF_3DHP_TEST = (
    "headtop", "neck_extra", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip_extra", "right_knee", "right_ankle", "left_hip_extra", "left_knee", "left_ankle",
    "pelvis_extra", "spine_extra", "jaw_extra",
)  # fmt: skip
