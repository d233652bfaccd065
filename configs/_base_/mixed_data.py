# The paper's training mix (section 5): stills, Human3.6M, MPI-INF-3DHP and the factory's videos. The paper does not
# give its shares; these are ours. Every public set is converted first (docs/data_sets.md); take out what you lack.
_base_ = ["synthetic_data.py"]

converted_root = "data/converted"
pipeline = _base_.train_dataloader.dataset.pipeline
public = dict(type="HumanDataset", data_root=converted_root, clip_length=_base_.clip_length, pipeline=pipeline,
              body_model=_base_.body_model)  # fmt: skip

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="MixedDataset",
        datasets=[
            _base_.train_dataloader.dataset,
            dict(ann_file="h36m/train", **public),
            dict(ann_file="mpi_inf_3dhp/train", **public),
            dict(ann_file="coco/train2017", **public),
            dict(ann_file="mpii/train", **public),
            dict(ann_file="lsp/train", **public),
            dict(ann_file="lsp_extended/train", **public),
        ],
        ratios=[0.4, 0.2, 0.1, 0.12, 0.08, 0.05, 0.05],
    ),
)
