# People seen by cameras as in films and phone videos: high and low, rolled, panning, handheld. Recovery is evaluated on
# test.py and tuned on val.py; each draws its own bodies.
_base_ = ["../synthesis/base.py", "../_base_/held_out.py"]

mocap = "{{$MVIPER_DATA:data}}/mocap"
splits = {{_base_.held_out}}
fps = 15
max_frames = 48
min_seconds = 1.2
betas = dict(scale=1.0, limit=2.5)
lead_in = dict(frames=15, still=3)
simulator = dict(_delete_=True, type="PaintedCloth")
cameras = dict(
    _delete_=True,
    type="MixedCameras",
    cameras=[
        dict(type="TripodCameras", count=1, resolution=360, lag=2.5, panning=0.6),
        dict(type="HandheldCameras", count=1, resolution=360, lag=2.5, period=15.0, height=(1.0, 2.4)),
    ],
    weights=[0.6, 0.4],
)
renderer = dict(_delete_=True, type="RasterRenderer")
passes = []
