"""The frame model with the last two stages of BlazePose's network fine-tuned on images at a low learning rate.

Stage 2 on top of it freezes the tuned stages: ``tools/extract_features.py configs/mviper_blazepose.py --checkpoint
work_dirs/frame_blazepose_tuned`` with a ``data_root`` and a ``load_from`` of its own.
"""

_base_ = ["frame_blazepose.py"]

load_from = "work_dirs/frame_blazepose"  # of configs/frame_blazepose.py

model = dict(backbone=dict(frozen_stages=5))
train_dataloader = dict(batch_size=32, dataset={"_delete_": True, **_base_.pictures, "clip_length": 1, "stride": 1})

optim_wrapper = dict(optimizer=dict(lr=3e-5))
train_cfg = dict(max_iters=50_000, val_interval=2_000)
