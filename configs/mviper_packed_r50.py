"""MVIPER on sequences that were packed into tars of JPEG first (docs/scale.md), for training that must not wait.

Data: python tools/convert_dataset.py synthetic data/mviper --out data/packed
"""

_base_ = ["mviper_r50.py"]

_videos = _base_.train_dataloader.dataset
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="PackedHumanVideo",
        data_root="data/packed",
        **{key: _videos[key] for key in ("split", "clip_length", "stride", "body_model", "pipeline")},
    ),
)
