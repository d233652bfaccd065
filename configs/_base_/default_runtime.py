# Shared by all training configs: log, checkpoints, hooks, seed.
default_scope = "mviper"
randomness = dict(seed=0)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(type="ResumableCheckpointHook", interval=1000, keep=2, best="MPJPE_mm"),
)
custom_hooks = [
    dict(type="MeanPhiHook"),
    dict(type="NonFiniteLossHook"),
    dict(type="ProgressBarHook"),
    dict(type="SampleOverlayHook", frames=4),
    dict(type="MetricsPlotHook"),
]
log_processor = dict(by_epoch=False, window_size=50)
env_cfg = dict(mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0), dist_cfg=dict(backend="nccl"))
