"""MVIPER on the landmarks of BlazePose's network: attention over landmarks, T = 16; recovery's default network."""

_base_ = ["_base_/default_runtime.py", "_base_/schedule.py", "_base_/landmark_data.py"]

load_from = "work_dirs/frame_landmarks"  # of configs/frame_landmarks.py

model = dict(
    type="VideoBodyModelEstimator",
    backbone=_base_.encoder,
    data_preprocessor=dict(channels_last=True),
    neck=dict(type="AttentionLSTM", hidden=512, attention_hidden=128, residual=True),
    head=dict(type="IEFHead", hidden=1024, iterations=3, dropout=0.1),
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
train_dataloader = dict(batch_size=32, dataset=dict(shared=dict(clip_length=16)))

optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=200, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=5e-6, by_epoch=False),  # to the last step
]
train_cfg = dict(max_iters=1_500, val_interval=1_500)
