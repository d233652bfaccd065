"""MVIPER on the landmarks of BlazePose's network: attention over landmarks, T = 16; recovery's default network."""

_base_ = ["_base_/default_runtime.py", "_base_/schedule.py", "_base_/landmark_data.py"]

load_from = "work_dirs/frame_landmarks"  # of configs/frame_landmarks.py

model = dict(
    type="VideoBodyModelEstimator",
    backbone=_base_.encoder,
    context=_base_.context,
    data_preprocessor=dict(channels_last=True),
    neck=dict(type="AttentionLSTM", hidden=512, attention_hidden=128, residual=True),
    head=dict(type="IEFHead", hidden=512, iterations=3, dropout=0.0),
    body_model=_base_.body_model,
    losses=dict(
        projection=dict(type="ProjectionLoss", loss_weight=0.2),
        joint3d=dict(type="Joint3DLoss", squared=False),
        joint3d_body=dict(type="Joint3DLoss", squared=False, frame="body"),
        smpl=dict(type="SMPLParameterLoss", loss_weight=0.3, beta_weight=0.5),
        shape=dict(type="ShapeSmoothnessLoss", loss_weight=0.5),
        velocity=dict(type="JointVelocityLoss", loss_weight=2.0),
    ),
    test_cfg=dict(state="carry"),
)
train_dataloader = dict(batch_size=64, dataset=dict(clip_length=16))

optim_wrapper = dict(type="BF16OptimWrapper", optimizer=dict(lr=3e-4), clip_grad=dict(max_norm=20.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=100, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=5e-6, by_epoch=False),  # to the last step
]
train_cfg = dict(max_iters=1_000, val_interval=1_000)
