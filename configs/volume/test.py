# The test set: every test clip three times, in simulated clothes, four views each, path-traced. Bodies, outfits and
# fabrics are drawn with their own seed. Its hard clips (configs/_base_/held_out.py) are also measured separately.
_base_ = ["simulations.py"]

seed = 1911
variants = 3
max_frames = 60
cameras = dict(
    _delete_=True,
    type="MixedCameras",
    cameras=[dict(type="CompassCameras"), dict(type="HandheldCameras")],
    weights=[0.5, 0.5],
)
renderer = dict(_delete_=True, type="CyclesRenderer", samples=4, denoise=True)
