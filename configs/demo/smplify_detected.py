"""SMPLify on the 2D joints that a detector finds: `python tools/test.py configs/demo/smplify_detected.py`."""

_base_ = ["smplify.py"]
custom_imports = dict(imports=["mviper.inference.detected"])

model = dict(keypoints="detected_keypoints2d", settings=dict(keypoint_noise=0.03, shape_weight=50.0))
test_dataloader = dict(
    num_workers=0,
    dataset=dict(
        pipeline=[
            dict(type="CropClip", size=256),  # the detector's own size
            dict(type="DetectKeypoints", cache="data/detected"),
            dict(type="PackBodySample"),
        ]
    ),
)
