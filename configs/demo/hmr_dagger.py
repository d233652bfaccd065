"""A small HMR-dagger: the small HMR (hmr.py), fine-tuned on simulated clothes."""

_base_ = ["hmr.py"]

load_from = "work_dirs/demo/hmr"

simulated = dict(data_root=_base_.data_root, synthesis_config=_base_.synthesis_config)

train_dataloader = dict(dataset=dict(dataset=dict(**simulated), poses=dict(data_root=_base_.data_root)))
val_dataloader = dict(dataset=dict(**simulated))

optim_wrapper = dict(generator=dict(optimizer=dict(lr=2e-4)))
train_cfg = dict(max_iters=200, val_interval=40)
default_hooks = dict(checkpoint=dict(interval=40))
