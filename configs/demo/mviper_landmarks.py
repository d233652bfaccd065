"""The demo's MVIPER on landmarks, from the demo's frame model. About 2 minutes on 2 cores."""

_base_ = ["../mviper_landmarks.py"]

load_from = "work_dirs/demo/frame_landmarks"

in_pictures = dict(data_root="data/demo", synthesis_config="configs/demo/data.py")
train_dataloader = dict(
    num_workers=0,  # on two cores a separate loading process costs more than it saves
    persistent_workers=False,
    dataset=dict(
        data_root="data/demo_motions/train",
        synthesis_config="configs/demo/motions.py",
        noise=(1.0, 1.0),  # small errors: few steps are enough to learn from them
        mistakes=0.15,
    ),
)
val_dataloader = dict(dataset=in_pictures)
test_dataloader = dict(dataset=in_pictures)

param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=20, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=5e-6, by_epoch=False),  # to the last step
]
train_cfg = dict(max_iters=150, val_interval=50, val_begin=0)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=50))
