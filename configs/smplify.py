"""SMPLify, the paper's third baseline, on annotated 2D joints; on detected ones, as in the paper: smplify_detected.py.

Each test frame is fitted independently.

Nothing is trained: `python tools/test.py configs/smplify.py`. One shape and smooth motion for each sequence:
--cfg-options model.temporal=True.
"""

_base_ = ["_base_/default_runtime.py", "_base_/synthetic_data.py"]

model = dict(type="SMPLifyEstimator", body_model=_base_.body_model, temporal=False)

train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict()
