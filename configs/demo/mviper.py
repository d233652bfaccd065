"""A small MVIPER, from the small frame model (frame.py). About 3 minutes on 2 cores."""

_base_ = ["../_base_/default_runtime.py", "../_base_/schedule.py", "../_base_/demo_data.py"]

load_from = "work_dirs/demo/frame"

model = dict(
    type="VideoBodyModelEstimator",
    backbone=dict(type="EfficientNetLiteEncoder", pretrained=True, norm_eval=True, frozen_stages=3),
    neck=dict(type="AttentionLSTM", attention_hidden=128, init_hidden=512),
    head=dict(type="IEFHead", hidden=512, iterations=3, dropout=0.2),
    body_model=_base_.body_model,
    losses=dict(
        projection=dict(type="ProjectionLoss"),
        joint3d=dict(type="Joint3DLoss", loss_weight=5.0),
        joint3d_body=dict(type="Joint3DLoss", frame="body", loss_weight=5.0),
        smpl=dict(type="SMPLParameterLoss", beta_weight=0.01),
        shape=dict(type="ShapeSmoothnessLoss"),
    ),
    data_preprocessor=dict(type="BodyDataPreprocessor", mean=[127.0] * 3, std=[128.0] * 3),
)
train_dataloader = dict(batch_size=8, dataset=dict(stride=1))

optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=20, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=3e-6, by_epoch=False),  # until the last step
]
train_cfg = dict(max_iters=200, val_interval=40, val_begin=0)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=40))
