"""A small HMR: the small frame model (frame.py) with an adversarial prior, on painted clothes alone."""

_base_ = ["frame.py"]

painted_root = "data/demo_painted"
painted = dict(data_root=painted_root, synthesis_config="configs/demo/painted.py")

model = dict(losses=dict(adversarial=dict(type="AdversarialLoss", loss_weight=1 / 60)))
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="AdversarialDataset",
        dataset={**_base_.train_dataloader.dataset, **painted},
        poses=dict(type="PoseLibrary", data_root=painted_root, files=["train/*/motion.npz"]),
    ),
)
val_dataloader = dict(dataset=dict(**painted))

optim_wrapper = dict(
    _delete_=True,
    constructor="SeparateOptimizers",
    generator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=5e-4, fused=True)),
    discriminator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4, fused=True)),
)
