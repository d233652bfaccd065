"""configs/mviper_r50.py with VIBE's neck in place of MVIPER's, averaged weights and clipped gradients."""

_base_ = ["../../../configs/mviper_r50.py"]
custom_imports = dict(imports=["projects.vibe_gru"])

model = dict(neck=dict(_delete_=True, type="TemporalGRU", hidden=1024, layers=2, bidirectional=False))
optim_wrapper = dict(clip_grad=dict(max_norm=1.0))
custom_hooks = [*_base_.custom_hooks, dict(type="EMAHook", momentum=1e-3)]
