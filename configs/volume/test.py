# The test set: every test clip in clothes that are simulated, four views each, path-traced. Bodies, outfits and fabrics
# are drawn by a seed of their own. The hard clips of it (configs/_base_/held_out.py) are also measured by themselves.
_base_ = ["simulations.py"]

seed = 1911
variants = 2
max_frames = 60
cameras = dict(
    _delete_=True,
    type="MixedCameras",
    cameras=[dict(type="CompassCameras"), dict(type="HandheldCameras")],
    weights=[0.5, 0.5],
)
renderer = dict(_delete_=True, type="CyclesRenderer", samples=4, denoise=True)
