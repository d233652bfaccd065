"""The frame model on landmarks of BlazePose's network in a window of nine frames; its training needs no pictures."""

_base_ = ["_base_/default_runtime.py", "_base_/schedule.py", "_base_/landmark_data.py"]

model = dict(
    type="ImageBodyModelEstimator",
    backbone=_base_.encoder,
    context=_base_.context,
    data_preprocessor=dict(channels_last=True),
    head=dict(type="IEFHead", hidden=512, iterations=3, dropout=0.0),
    body_model=_base_.body_model,
    losses=dict(
        projection=dict(type="ProjectionLoss", loss_weight=0.2),
        # In camera axes the heading decides, in the body's own axes the pose: with equal weights both are learned.
        joint3d=dict(type="Joint3DLoss", squared=False),
        joint3d_body=dict(type="Joint3DLoss", squared=False, frame="body"),
        smpl=dict(type="SMPLParameterLoss", loss_weight=0.3, beta_weight=0.5),
    ),
)
train_dataloader = dict(batch_size=256, dataset=dict(clip_length=4))

optim_wrapper = dict(type="BF16OptimWrapper", optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=20.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=100, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=1e-5, by_epoch=False),  # to the last step
]
train_cfg = dict(max_iters=4_000, val_interval=4_000)
