"""The frame model on BlazePose's frozen network, which was trained on people; learns from stored features."""

_base_ = ["_base_/default_runtime.py", "_base_/schedule.py", "_base_/blazepose_data.py"]

model = dict(
    type="ImageBodyModelEstimator",
    backbone=dict(type="BlazePoseEncoder", maps="backbone_16", map_size=4, features="all", frozen_stages=7),
    data_preprocessor=dict(channels_last=True),
    head=dict(type="IEFHead", hidden=1024, iterations=3, dropout=0.3),
    body_model=_base_.body_model,
    losses=dict(
        projection=dict(type="ProjectionLoss"),
        # In camera axes the loss is dominated by the heading, in the body's own axes by the pose: equal weights learn
        # both.
        joint3d=dict(type="Joint3DLoss", loss_weight=5.0),
        joint3d_body=dict(type="Joint3DLoss", frame="body", loss_weight=5.0),
        smpl=dict(type="SMPLParameterLoss", beta_weight=0.01),
    ),
)
train_dataloader = dict(batch_size=256, dataset=dict(clip_length=1))

optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=200, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=5e-6, by_epoch=False),  # to the last step
]
train_cfg = dict(max_iters=3_000, val_interval=1_500)
