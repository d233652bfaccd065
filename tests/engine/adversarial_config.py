# A small HMR on sequence_files' data without anything that depends on the rank: dropout off, BatchNorm in eval mode.
default_scope = "mviper"
data_root = "data"
pipeline = [dict(type="AugmentClip"), dict(type="CropClip", size=64), dict(type="PackBodySample")]
model = dict(
    type="ImageBodyModelEstimator",
    backbone=dict(type="ResNetEncoder", depth=18, norm_eval=True),
    head=dict(type="IEFHead", hidden=32, dropout=0.0),
    body_model=dict(type="SMPL"),
    losses=dict(
        projection=dict(type="ProjectionLoss"),
        joint3d=dict(type="Joint3DLoss"),
        smpl=dict(type="SMPLParameterLoss"),
        adversarial=dict(type="AdversarialLoss", discriminator=dict(type="SMPLDiscriminator", pose_hidden=32)),
    ),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="ResumableSampler", shuffle=True),
    dataset=dict(
        type="AdversarialDataset",
        dataset=dict(
            type="SyntheticHumanVideo", data_root=data_root, clip_length=1, stride=1, pipeline=pipeline, cache_images=20
        ),
        poses=dict(type="PoseLibrary", data_root=data_root, files=["train/*/*.npz"]),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="SyntheticHumanVideo", data_root=data_root, split="val", clip_length=None, pipeline=pipeline[1:]),
)
val_evaluator = dict(type="JointError")
train_cfg = dict(type="ResumableTrainLoop", max_iters=6, val_interval=3)
val_cfg = dict()
optim_wrapper = dict(
    constructor="SeparateOptimizers",
    generator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=2e-4)),
    discriminator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3)),
)
param_scheduler = [dict(type="LinearLR", start_factor=0.1, begin=0, end=4, by_epoch=False)]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=1), checkpoint=dict(type="ResumableCheckpointHook", interval=6, keep=1)
)
custom_hooks = [
    dict(type="MeanPhiHook"),
    dict(type="NonFiniteLossHook"),
    dict(type="EMAHook", momentum=0.2),
    dict(type="SampleOverlayHook", frames=2),
    dict(type="MetricsPlotHook"),
]
log_processor = dict(by_epoch=False, window_size=1)
randomness = dict(seed=3)
