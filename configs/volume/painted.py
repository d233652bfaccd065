# Painted clothes over every clip at hand, drawn by the z-buffer: the cheapest people there are, from cameras as films
# and phones have them.
_base_ = ["simulations.py"]

simulator = dict(_delete_=True, type="PaintedCloth")
lead_in = dict(frames=2, still=1)
cameras = dict(
    _delete_=True,
    type="MixedCameras",
    cameras=[
        dict(type="CompassCameras"),
        dict(type="HandheldCameras"),
        dict(type="OrbitCameras"),
        dict(type="WideAngleCameras"),
    ],
    weights=[0.2, 0.4, 0.2, 0.2],
)
renderer = dict(_delete_=True, type="RasterRenderer")
passes = []
