"""A small frame model: EfficientNet-Lite0 at 128 pixels, 4 stages trained. About 4 minutes on 2 cores."""

_base_ = ["../_base_/default_runtime.py", "../_base_/schedule.py", "../_base_/demo_data.py"]


model = dict(
    type="ImageBodyModelEstimator",
    backbone=dict(type="EfficientNetLiteEncoder", pretrained=True, norm_eval=True, frozen_stages=3),
    head=dict(type="IEFHead", hidden=512, iterations=3, dropout=0.2),
    body_model=_base_.body_model,
    losses=dict(
        projection=dict(type="ProjectionLoss"),
        # In camera axes the loss is dominated by the heading, in the body's own axes by the pose: equal weights learn
        # both.
        joint3d=dict(type="Joint3DLoss", loss_weight=5.0),
        joint3d_body=dict(type="Joint3DLoss", frame="body", loss_weight=5.0),
        smpl=dict(type="SMPLParameterLoss", beta_weight=0.01),
    ),
    data_preprocessor=dict(type="BodyDataPreprocessor", mean=[127.0] * 3, std=[128.0] * 3),
)
train_dataloader = dict(batch_size=32, dataset=dict(clip_length=1, stride=1))

optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=30, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=5e-6, by_epoch=False),  # until the last step
]
train_cfg = dict(max_iters=600, val_interval=100, val_begin=0)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100))
