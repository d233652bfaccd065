"""MVIPER on BlazePose's frozen network: attention over its 16 x 16 maps, T = 8; learns from stored features.

Longer clips: ``--cfg-options train_dataloader.dataset.clip_length=16 train_dataloader.batch_size=16``.
"""

_base_ = ["_base_/default_runtime.py", "_base_/schedule.py", "_base_/blazepose_data.py"]

load_from = "work_dirs/frame_blazepose"  # of configs/frame_blazepose.py

model = dict(
    type="VideoBodyModelEstimator",
    backbone=dict(type="BlazePoseEncoder", maps="backbone_16", map_size=4, features="all", frozen_stages=7),
    data_preprocessor=dict(channels_last=True),
    neck=dict(type="AttentionLSTM", hidden=512, attention_hidden=128, residual=True, norm_map=True),
    head=dict(type="IEFHead", hidden=1024, iterations=3, dropout=0.3),
    body_model=_base_.body_model,
    losses=dict(
        projection=dict(type="ProjectionLoss"),
        joint3d=dict(type="Joint3DLoss", loss_weight=5.0),
        joint3d_body=dict(type="Joint3DLoss", frame="body", loss_weight=5.0),
        smpl=dict(type="SMPLParameterLoss", beta_weight=0.01),
        shape=dict(type="ShapeSmoothnessLoss"),
    ),
    test_cfg=dict(state="carry"),
)
train_dataloader = dict(batch_size=32, dataset=dict(clip_length=8))

optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=200, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=3e-6, by_epoch=False),  # to the last step
]
train_cfg = dict(max_iters=1_000, val_interval=500)
