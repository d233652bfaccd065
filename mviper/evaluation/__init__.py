"""Measuring: pure batched functions, the registered metrics on top, and the mean-pose baseline."""

from mviper.evaluation.baseline import mean_pose_figures, predict_constant
from mviper.evaluation.metrics import AccelerationError, JointError, KeypointAccuracy, TemporalVariation, VertexError

__all__ = [
    "AccelerationError",
    "JointError",
    "KeypointAccuracy",
    "TemporalVariation",
    "VertexError",
    "mean_pose_figures",
    "predict_constant",
]
