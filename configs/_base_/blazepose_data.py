# The factory's videos for BlazePose's network: crops as it was trained (256 pixels, the torso upright). Training reads
# what the frozen network made of them once: python tools/extract_features.py CONFIG
_base_ = ["synthetic_data.py"]

image_size = 256
crop = dict(type="CropClip", size=image_size, alignment="torso")
test_pipeline = [crop, dict(type="PackBodySample")]
# What the features are of. Crops are aligned by joints: the augmentation is as wrong as a detector's joints may be.
pictures = dict(
    type="SyntheticHumanVideo",
    data_root=_base_.data_root,
    split="train",
    clip_length=_base_.clip_length,
    stride=_base_.clip_length,
    body_model=_base_.body_model,
    synthesis_config=_base_.synthesis_config,
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
        data_root="data/features",
        pictures=pictures,
        copies=4,
        clip_length=_base_.clip_length,
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
