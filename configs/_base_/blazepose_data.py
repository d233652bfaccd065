# Large video data for BlazePose's network: crops as in its training (256 pixels, the torso upright). Training reads the
# frozen network's features, extracted once. Large data are stored under $MVIPER_DATA:
#   python tools/generate.py configs/volume/simulations.py --splits train val --out $MVIPER_DATA/simulations
#   python tools/generate.py configs/volume/raster.py --splits train val --out $MVIPER_DATA/raster
#   python tools/extract_features.py configs/frame_blazepose.py
#   python tools/generate.py configs/volume/test.py --splits test --out $MVIPER_DATA/test
_base_ = ["synthetic_data.py"]

data_root = "{{$MVIPER_DATA:data}}/raster"
synthesis_config = "configs/volume/raster.py"
image_size = 256
crop = dict(type="CropClip", size=image_size, alignment="torso")
test_pipeline = [crop, dict(type="PackBodySample")]
# The features' input. Crops are aligned by joints: the augmentation covers the errors of a detector's joints.
pictures = dict(
    type="SyntheticHumanVideo",
    data_root=data_root,
    split="train",
    clip_length=_base_.clip_length,
    stride=_base_.clip_length,
    body_model=_base_.body_model,
    synthesis_config=synthesis_config,
    pipeline=[
        dict(type="AugmentClip", rotation=0.2, scale=0.15, shift=0.05),
        crop,
        dict(type="JitterClip"),
        dict(type="PackBodySample"),
    ],
)

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="FeatureStore",
        data_root="{{$MVIPER_DATA:data}}/features",
        pictures=pictures,
        copies=2,
        clip_length=_base_.clip_length,
    ),
)
val_dataloader = dict(dataset=dict(data_root=data_root, synthesis_config=synthesis_config, pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(
        data_root="{{$MVIPER_DATA:data}}/test", synthesis_config="configs/volume/test.py", pipeline=test_pipeline
    )
)
