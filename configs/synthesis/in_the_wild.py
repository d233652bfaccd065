# Other places and cameras than the paper's: photographs behind the people and on their clothes (any folders of
# pictures), and cameras that circle, sway and come close, of small and large lenses (docs/scenes.md).
_base_ = ["deepmimic.py"]

background = dict(
    _delete_=True,
    type="MixedBackground",
    backgrounds=[dict(type="SphericalBackground"), dict(type="PhotoBackground", root="data/places365/test_256")],
)
lights = dict(count=0)  # only the surroundings' light
fabric = dict(
    _delete_=True,
    type="MixedFabric",
    fabrics=[dict(type="ProceduralFabric"), dict(type="PhotoFabric", root="data/dtd/images")],
)
_size = dict(count=4, resolution=250)
cameras = dict(
    _delete_=True,
    type="MixedCameras",
    cameras=[
        dict(type="CompassCameras", resolution=250),
        dict(type="OrbitCameras", **_size),
        dict(type="PhoneCameras", **_size),
        dict(type="WideAngleCameras", **_size),
    ],
)
recording = dict(_delete_=True, type="PhoneRecording", aperture=(0.0, 0.03))
