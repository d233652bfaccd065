"""Evaluation: pure batched functions, the registered metrics built on them, and the mean-pose baseline."""

from mviper.evaluation import functional
from mviper.evaluation.baseline import mean_pose_figures, predict_constant
from mviper.evaluation.details import WorstFrame, WorstFrames, break_down
from mviper.evaluation.functional import pa_joint_error, similarity_align
from mviper.evaluation.metrics import (
    AccelerationError,
    JointError,
    KeypointAccuracy,
    ShapeError,
    TemporalVariation,
    VertexError,
)
from mviper.evaluation.world import world_figures

__all__ = [
    "AccelerationError",
    "JointError",
    "KeypointAccuracy",
    "ShapeError",
    "TemporalVariation",
    "VertexError",
    "WorstFrame",
    "WorstFrames",
    "break_down",
    "functional",
    "mean_pose_figures",
    "pa_joint_error",
    "predict_constant",
    "similarity_align",
    "world_figures",
]
