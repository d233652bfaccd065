"""MVIPER on sequences packed into tars of JPEG (docs/scale.md), so that training does not wait for data.

Data: python tools/convert_dataset.py synthetic data/mviper --out data/packed
"""

_base_ = ["mviper_r50.py"]

_packed = dict(type="PackedHumanVideo", data_root="data/packed", split="train")
train_dataloader = dict(dataset=dict(datasets=[_packed, *_base_.public_sets]))
