# One to five people in a scene, who pass close by and hide each other, before cameras that show all of them. With
# segmentation, `tools/convert_dataset.py synthetic --as coco webdataset` has instance masks.
_base_ = ["outfits.py"]

source = dict(type="DeepMimicMotion")
splits = dict(val=["*jump*", "*spinkick*"], test=["*dance_b*", "*kick"])
people = dict(count=(1, 5))
lights = dict(count=0)  # only the surroundings' light
_size = dict(count=4, resolution=500)
cameras = dict(
    _delete_=True,
    type="MixedCameras",
    cameras=[
        dict(type="HandheldCameras", **_size),
        dict(type="TripodCameras", **_size),
        dict(type="OrbitCameras", **_size),
    ],
)
passes = ["segmentation", "garments"]
