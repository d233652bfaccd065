# Painted clothes over every clip at hand, drawn by the z-buffer: the cheapest people there are, from cameras as films
# and phones have them.
_base_ = ["simulations.py"]

_captured = _base_.source.sources
source = dict(
    _delete_=True,
    type="MixedMotion",
    sources=[
        dict(type="RecombinedMotion", sources=[*_captured], variants=8, splits=_base_.held_out),
        dict(type="InterpolatedMotion", sources=[*_captured], count=200, uses=10, splits=_base_.held_out),
    ],
)
variants = 4
simulator = dict(_delete_=True, type="PaintedCloth")
lead_in = dict(frames=15, still=3)
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
