# Painted clothes over all available clips, rendered by the z-buffer: the cheapest data, mostly with phone cameras and
# phone recording.
_base_ = ["simulations.py"]

_captured = _base_.source.sources
source = dict(
    _delete_=True,
    type="MixedMotion",
    in_turn=True,
    sources=[
        dict(type="RecombinedMotion", sources=[*_captured], variants=8, splits=_base_.held_out),
        dict(type="InterpolatedMotion", sources=[*_captured], count=200, uses=10, splits=_base_.held_out),
    ],
)
variants = 4
max_frames = 48  # short, for many people, clothes and surroundings
simulator = dict(_delete_=True, type="PaintedCloth")
lead_in = dict(frames=15, still=3)
cameras = dict(
    _delete_=True,
    type="MixedCameras",
    cameras=[
        dict(type="CompassCameras"),
        dict(type="PhoneCameras", fill=(0.4, 0.95)),
        dict(type="OrbitCameras"),
        dict(type="WideAngleCameras"),
    ],
    weights=[0.2, 0.5, 0.15, 0.15],
)
lights = dict(count=0)  # only the surroundings' light
renderer = dict(_delete_=True, type="RasterRenderer")
renders_per_simulation = 3  # painting takes as long as two renders
recording = dict(_delete_=True, type="PhoneRecording")
passes = []
