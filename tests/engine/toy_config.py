custom_imports = dict(imports=["toy_components"])
model = dict(type="ToyModel")
train_dataloader = dict(
    batch_size=3, num_workers=0, dataset=dict(type="ToyData"), sampler=dict(type="ResumableSampler", shuffle=True)
)
val_dataloader = dict(
    batch_size=3, num_workers=0, dataset=dict(type="ToyData"), sampler=dict(type="DefaultSampler", shuffle=False)
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ToyMetric")
test_evaluator = val_evaluator
train_cfg = dict(type="ResumableTrainLoop", max_iters=20, val_interval=6)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=0.01))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, begin=0, end=4, by_epoch=False),
    dict(type="CosineAnnealingLR", begin=4, eta_min=1e-4, by_epoch=False),
]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=5),
    checkpoint=dict(type="ResumableCheckpointHook", interval=7, keep=2, best="toy/mean"),
)
custom_hooks = [dict(type="NonFiniteLossHook"), dict(type="ProgressBarHook")]
log_processor = dict(by_epoch=False)
randomness = dict(seed=3)
