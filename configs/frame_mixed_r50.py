"""Stage 1 on the paper's whole mix: the factory's videos, Human3.6M, MPI-INF-3DHP and stills, frame by frame.

Take out of ``_base_/public_sets.py`` what you lack.
"""

_base_ = ["frame_r50.py", "_base_/public_sets.py"]

factory = _base_.train_dataloader.dataset
public = dict(
    type="HumanDataset",
    data_root="data/converted",
    clip_length=factory.clip_length,
    body_model=_base_.body_model,
    pipeline=factory.pipeline,
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="MixedDataset",
        datasets=[factory, *[dict(ann_file=name, **public) for name in _base_.public_sets]],
        ratios=[1 - sum(_base_.public_sets.values()), *_base_.public_sets.values()],
    ),
)
