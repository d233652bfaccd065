"""SMPLify on the demo's test sequences, each frame independently: `python tools/test.py configs/demo/smplify.py`."""

_base_ = ["../_base_/default_runtime.py", "../_base_/demo_data.py"]

model = dict(type="SMPLifyEstimator", body_model=_base_.body_model, temporal=False)

train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict()
