"""Stage 2, MVIPER, on the paper's whole mix: the factory's videos, Human3.6M, MPI-INF-3DHP and stills."""

_base_ = ["mviper_r50.py", "_base_/public_sets.py"]

load_from = "work_dirs/frame_mixed_r50"  # of configs/frame_mixed_r50.py

_factory = _base_.train_dataloader.dataset
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_base_.mix,
        datasets=[_factory, *_base_.public_sets],
        shared={key: _factory[key] for key in ("clip_length", "body_model", "pipeline")},
    ),
)
