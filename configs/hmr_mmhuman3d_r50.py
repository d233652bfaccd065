"""The frame model in MMHuman3D's variant of HMR and SPIN, for their checkpoints (tools/convert_checkpoint.py).

Their betas belong to the licensed SMPL: --cfg-options model.body_model.model_path=data/body_models/SMPL_NEUTRAL.pkl.
"""

_base_ = ["frame_r50.py"]

model = dict(
    head=dict(activation="none", rotation_layout="interleaved"),
    projection=dict(type="Perspective", focal_length=5000.0, resolution=_base_.image_size),
)
