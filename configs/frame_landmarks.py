"""The frame model on the landmarks of BlazePose's network alone: most of its training data need no pictures."""

_base_ = ["_base_/default_runtime.py", "_base_/schedule.py", "_base_/landmark_data.py"]

model = dict(
    type="ImageBodyModelEstimator",
    backbone=_base_.encoder,
    data_preprocessor=dict(channels_last=True),
    head=dict(type="IEFHead", hidden=1024, iterations=3, dropout=0.1),
    body_model=_base_.body_model,
    losses=dict(
        projection=dict(type="ProjectionLoss"),
        # In camera axes the heading decides, in the body's own axes the pose: with equal weights both are learned.
        joint3d=dict(type="Joint3DLoss", loss_weight=5.0),
        joint3d_body=dict(type="Joint3DLoss", frame="body", loss_weight=5.0),
        smpl=dict(type="SMPLParameterLoss", beta_weight=0.01),
    ),
)
train_dataloader = dict(batch_size=32, dataset=dict(shared=dict(clip_length=16)))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=200, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=1e-5, by_epoch=False),  # to the last step
]
train_cfg = dict(max_iters=1_200, val_interval=1_200)
