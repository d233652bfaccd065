"""HMR (Kanazawa et al. 2018), the paper's rival: the frame model with an adversarial prior on pose and shape.

It never sees simulated clothes: it learns from painted ones and from stills, and is tested on simulated ones.
"""

_base_ = ["_base_/default_runtime.py", "_base_/schedule.py", "_base_/painted_and_stills.py"]

model = dict(
    type="ImageBodyModelEstimator",
    backbone=dict(  # ImageNet's weights: see frame_r50.py
        type="ResNetEncoder", depth=50, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50")
    ),
    head=dict(type="IEFHead", hidden=1024, iterations=3, dropout=0.5),
    body_model=_base_.body_model,
    losses=dict(
        projection=dict(type="ProjectionLoss"),
        joint3d=dict(type="Joint3DLoss"),
        smpl=dict(type="SMPLParameterLoss"),
        adversarial=dict(type="AdversarialLoss", discriminator=dict(type="SMPLDiscriminator"), loss_weight=1 / 60),
    ),
    data_preprocessor=dict(type="BodyDataPreprocessor"),
)

optim_wrapper = dict(
    _delete_=True,
    constructor="SeparateOptimizers",
    generator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-5, fused=True)),
    discriminator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4, fused=True)),
)
