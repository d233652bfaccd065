"""Extensions of mmengine 0.10.7 for current torch: runner, checkpoints, exact resuming, mixed precision, CPU DDP."""

from mviper.engine.checkpoints import (
    ResumableCheckpointHook,
    find_checkpoint,
    load_state_dict,
    read_checkpoint,
    released_checkpoint,
    resolve_checkpoint,
    steps_done,
    write_checkpoint,
    write_release,
)
from mviper.engine.distributed import CPUDistributedDataParallel
from mviper.engine.features import extract_features
from mviper.engine.hooks import MeanPhiHook, NonFiniteLossHook, ProgressBarHook
from mviper.engine.loops import ResumableTrainLoop
from mviper.engine.optimizers import JointOptimWrapperDict, SeparateOptimizers
from mviper.engine.pictures import MetricsPlotHook, SampleOverlayHook
from mviper.engine.precision import BF16OptimWrapper, use_mixed_precision
from mviper.engine.runner import Runner, require_inputs, require_model
from mviper.engine.sampling import ResumableSampler, SeededItems, seed_everything
from mviper.engine.testing import FIGURE_COLUMNS, MEAN_POSE, MODEL, TRUTH, Evaluation, use_test_set

__all__ = [
    "FIGURE_COLUMNS", "MEAN_POSE", "MODEL", "TRUTH", "BF16OptimWrapper", "CPUDistributedDataParallel", "Evaluation",
    "JointOptimWrapperDict", "MeanPhiHook", "MetricsPlotHook", "NonFiniteLossHook", "ProgressBarHook",
    "ResumableCheckpointHook", "ResumableSampler", "ResumableTrainLoop", "Runner", "SampleOverlayHook",
    "SeededItems", "SeparateOptimizers", "extract_features", "find_checkpoint", "load_state_dict",
    "read_checkpoint", "released_checkpoint", "require_inputs", "require_model", "resolve_checkpoint",
    "seed_everything", "steps_done", "use_mixed_precision", "use_test_set", "write_checkpoint", "write_release",
]  # fmt: skip
