"""Stage 1 on the paper's whole mix: the factory's videos, Human3.6M, MPI-INF-3DHP and stills, frame by frame."""

_base_ = ["frame_r50.py", "_base_/public_sets.py"]

_factory = _base_.train_dataloader.dataset
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_base_.mix,
        datasets=[_factory, *_base_.public_sets],
        shared={key: _factory[key] for key in ("clip_length", "body_model", "pipeline")},
    ),
)
