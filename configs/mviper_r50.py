"""Stage 2, MVIPER as in the paper: ResNet-50, hidden width 2048, T = 4, batch 16, Adam 1e-5 (eq. 11-19).

On the paper's mix: the factory's videos and _base_/public_sets.py. Starts from the frame model's encoder and regressor.
"""

_base_ = [
    "_base_/default_runtime.py",
    "_base_/schedule.py",
    "_base_/synthetic_data.py",
    "_base_/public_sets.py",
]

load_from = "work_dirs/frame_r50"  # of configs/frame_r50.py; None trains both at once

model = dict(
    type="VideoBodyModelEstimator",
    # ImageNet's weights, read only where load_from=None: see frame_r50.py
    backbone=dict(
        type="ResNetEncoder", depth=50, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50")
    ),
    neck=dict(type="AttentionLSTM", attention_hidden=512, condition_on_state=True),  # as wide as the encoder: 2048
    head=dict(type="IEFHead", hidden=1024, iterations=3, dropout=0.5),
    body_model=_base_.body_model,
    projection=dict(type="WeakPerspective"),  # eq. 6
    ief_start="mean",
    frame_weight=1.0,  # lambda of eq. 19
    losses=dict(
        projection=dict(type="ProjectionLoss"),
        joint3d=dict(type="Joint3DLoss"),
        smpl=dict(type="SMPLParameterLoss"),
        shape=dict(type="ShapeSmoothnessLoss"),
    ),
    data_preprocessor=dict(type="BodyDataPreprocessor"),
    test_cfg=dict(state="carry"),
)

_factory = _base_.train_dataloader.dataset
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_base_.mix,
        datasets=[
            {key: _factory[key] for key in ("type", "data_root", "split", "synthesis_config")},
            *_base_.public_sets,
        ],
        shared={key: _factory[key] for key in ("clip_length", "stride", "body_model", "pipeline")},
    ),
)
