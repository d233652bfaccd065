"""Stage 1, the paper's frame model: ResNet-50 and iterative error feedback on single frames (eq. 6-10).

On the paper's mix: the factory's videos and _base_/public_sets.py.
"""

_base_ = [
    "_base_/default_runtime.py",
    "_base_/schedule.py",
    "_base_/synthetic_data.py",
    "_base_/public_sets.py",
]

model = dict(
    type="ImageBodyModelEstimator",
    # The paper starts from ImageNet. Offline: --cfg-options model.backbone.init_cfg=FILE, or None (scratch).
    backbone=dict(
        type="ResNetEncoder", depth=50, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50")
    ),
    head=dict(type="IEFHead", hidden=1024, iterations=3, dropout=0.5),
    body_model=_base_.body_model,
    projection=dict(type="WeakPerspective"),  # eq. 6
    losses=dict(
        projection=dict(type="ProjectionLoss"),
        joint3d=dict(type="Joint3DLoss"),
        smpl=dict(type="SMPLParameterLoss"),
    ),
    data_preprocessor=dict(type="BodyDataPreprocessor"),
)

_factory = _base_.train_dataloader.dataset
train_dataloader = dict(
    batch_size=_base_.train_dataloader.batch_size * _base_.clip_length,  # as many frames as the video model
    dataset=dict(
        _delete_=True,
        **_base_.mix,
        datasets=[
            {key: _factory[key] for key in ("type", "data_root", "split", "synthesis_config")},
            *_base_.public_sets,
        ],
        shared=dict(clip_length=1, stride=1, body_model=_factory.body_model, pipeline=_factory.pipeline),
    ),
)
