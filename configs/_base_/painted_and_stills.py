# HMR's training data: people in painted clothes, never simulated ones, and stills that people labelled, both frame by
# frame; beside them poses and shapes without pictures for its adversarial prior. Testing is on the simulated clothes.
# The paper does not give shares; these are ours. Take out the public sets that you lack (docs/data_sets.md).
_base_ = ["synthetic_data.py"]

painted_root = "data/painted"
converted_root = "data/converted"
painted = dict(data_root=painted_root, synthesis_config="configs/synthesis/painted_cmu.py")
stills = dict(
    type="HumanDataset",
    data_root=converted_root,
    clip_length=1,
    body_model=_base_.body_model,
    pipeline=_base_.train_dataloader.dataset.pipeline,
)

train_dataloader = dict(
    batch_size=_base_.train_dataloader.batch_size * _base_.clip_length,  # as many frames as the video model has
    dataset=dict(
        _delete_=True,
        type="AdversarialDataset",
        dataset=dict(
            type="MixedDataset",
            datasets=[
                {**_base_.train_dataloader.dataset, **painted, "clip_length": 1, "stride": 1},
                dict(ann_file="coco/train2017", **stills),
                dict(ann_file="mpii/train", **stills),
                dict(ann_file="lsp/train", **stills),
                dict(ann_file="lsp_extended/train", **stills),
            ],
            ratios=[0.5, 0.2, 0.14, 0.08, 0.08],
        ),
        # AMASS beside them: files=["painted/train/*/motion.npz", "converted/amass/train/*.npz"], data_root="data"
        poses=dict(type="PoseLibrary", data_root=painted_root, files=["train/*/motion.npz"]),
    ),
)
val_dataloader = dict(dataset=dict(**painted))
