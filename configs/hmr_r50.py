"""HMR (Kanazawa et al. 2018), the paper's baseline: the frame model with an adversarial prior on pose and shape.

It learns from the same public sets as MVIPER, in the same proportions, and not from generated images. Its
prior's real samples are poses and shapes without pictures: those of CMU's library, as in HMR, from the factory's
motion.npz. It is validated on the factory's val split; nothing learns from that.
"""

_base_ = [
    "_base_/default_runtime.py",
    "_base_/schedule.py",
    "_base_/synthetic_data.py",
    "_base_/public_sets.py",
]

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

_factory = _base_.train_dataloader.dataset
train_dataloader = dict(
    batch_size=_base_.train_dataloader.batch_size * _base_.clip_length,  # as many frames as the video model
    dataset=dict(
        _delete_=True,
        type="AdversarialDataset",
        dataset=dict(
            **{**_base_.mix, "ratios": _base_.public_shares},
            datasets=_base_.public_sets,
            shared=dict(clip_length=1, stride=1, body_model=_factory.body_model, pipeline=_factory.pipeline),
        ),
        # With AMASS: files=["mviper/train/*/motion.npz", "converted/amass/train/*.npz"], data_root="data"
        poses=dict(type="PoseLibrary", data_root=_base_.data_root, files=["train/*/motion.npz"]),
    ),
)

optim_wrapper = dict(
    _delete_=True,
    constructor="SeparateOptimizers",
    generator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-5, fused=True)),
    discriminator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4, fused=True)),
)
