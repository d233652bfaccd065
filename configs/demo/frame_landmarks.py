"""The demo's frame model: learns from simulated landmarks, finds them in pictures. About 3 minutes on 2 cores."""

_base_ = ["../frame_landmarks.py"]

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
    dict(type="LinearLR", start_factor=0.05, begin=0, end=50, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=1e-5, by_epoch=False),  # to the last step
]
train_cfg = dict(max_iters=600, val_interval=200, val_begin=0)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))
