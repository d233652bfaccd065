"""SMPLify on the 2D joints that a detector finds in each test picture, as the paper ran it (MediaPipe here).

`python tools/test.py configs/smplify_detected.py`. Detections are cached in data/detected. On annotated joints:
smplify.py.
"""

_base_ = ["smplify.py"]
custom_imports = dict(imports=["mviper.inference.detected"])

# MediaPipe's joints have a constant bias against the body's in every frame, which must not be fitted by the shape.
model = dict(keypoints="detected_keypoints2d", settings=dict(keypoint_noise=0.03, shape_weight=50.0))
test_dataloader = dict(
    num_workers=0,
    dataset=dict(
        pipeline=[
            dict(type="CropClip", size=_base_.image_size),
            dict(type="DetectKeypoints", cache="data/detected"),
            dict(type="PackBodySample"),
        ]
    ),
)
