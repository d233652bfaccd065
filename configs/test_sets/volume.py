# The factory's test clips in simulated clothes, path-traced, for `python tools/test.py CONFIG CHECKPOINT --on
# configs/test_sets/volume.py` and `tools/benchmark.py model`: none of its clips, bodies or outfits were trained on.
# Data: MVIPER_DATA=... python tools/generate.py configs/volume/test.py --splits test --out $MVIPER_DATA/test
body_model = dict(type="SMPL")

test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticHumanVideo",
        data_root="{{$MVIPER_DATA:data}}/test",
        split="test",
        clip_length=None,
        body_model=body_model,
        synthesis_config="configs/volume/test.py",
    ),
)
test_evaluator = [
    dict(type="JointError"),
    dict(type="VertexError", body_model=body_model),
    dict(type="ShapeError", body_model=body_model),
    dict(type="TemporalVariation", body_model=body_model),
    dict(type="AccelerationError"),
]
