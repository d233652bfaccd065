"""HMR on BlazePose's frozen network: the frame model with an adversarial prior, on people with painted clothes.

Data, beside those of frame_blazepose.py:
    python tools/generate.py configs/volume/painted.py --splits train val --out $MVIPER_DATA/painted
    python tools/extract_features.py configs/hmr_blazepose.py
"""

_base_ = ["frame_blazepose.py"]

data_of_painted = "{{$MVIPER_DATA:data}}/painted"
painted = dict(data_root=data_of_painted, synthesis_config="configs/volume/painted.py")
_features = _base_.train_dataloader.dataset

model = dict(
    losses=dict(
        adversarial=dict(type="AdversarialLoss", discriminator=dict(type="SMPLDiscriminator"), loss_weight=1 / 60)
    )
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="AdversarialDataset",
        dataset={
            **_features,
            "data_root": "{{$MVIPER_DATA:data}}/features_painted",
            "pictures": {**_features.pictures, **painted},
        },
        poses=dict(type="PoseLibrary", data_root=data_of_painted, files=["train/*/motion.npz"]),
    ),
)
val_dataloader = dict(dataset=painted)

_adam = dict(type="Adam", lr=5e-4, fused=True)
optim_wrapper = dict(
    _delete_=True,
    constructor="SeparateOptimizers",
    generator=dict(type="OptimWrapper", optimizer=_adam),
    discriminator=dict(type="OptimWrapper", optimizer={**_adam, "lr": 1e-4}),
)
