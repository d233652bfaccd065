# The factory's videos: T = 4 frames per clip, 16 clips per batch (as in the paper), tested on whole sequences.
data_root = "data/mviper"
synthesis_config = "configs/synthesis/paper.py"  # named in the message if the data are missing
body_model = dict(type="SMPL")  # or dict(type="SMPL", model_path="data/body_models/SMPL_NEUTRAL.pkl")
clip_length = 4
image_size = 224

train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="ResumableSampler", shuffle=True),
    dataset=dict(
        type="SyntheticHumanVideo",
        data_root=data_root,
        split="train",
        clip_length=clip_length,
        stride=clip_length,
        body_model=body_model,
        synthesis_config=synthesis_config,
        pipeline=[
            dict(type="AugmentClip"),
            dict(type="CropClip", size=image_size),
            dict(type="JitterClip"),
            dict(type="PackBodySample"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticHumanVideo",
        data_root=data_root,
        split="val",
        clip_length=None,
        body_model=body_model,
        synthesis_config=synthesis_config,
        pipeline=[dict(type="CropClip", size=image_size), dict(type="PackBodySample")],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticHumanVideo",
        data_root=data_root,
        split="test",
        clip_length=None,
        body_model=body_model,
        synthesis_config=synthesis_config,
        pipeline=[dict(type="CropClip", size=image_size), dict(type="PackBodySample")],
    ),
)
val_evaluator = [dict(type="JointError")]
test_evaluator = [
    dict(type="JointError"),
    dict(type="VertexError", body_model=body_model),
    dict(type="ShapeError", body_model=body_model),
    dict(type="TemporalVariation", body_model=body_model),
    dict(type="AccelerationError"),
]
