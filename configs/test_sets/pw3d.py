# 3DPW's test split, for `python tools/test.py CONFIG CHECKPOINT --on configs/test_sets/pw3d.py`: whole sequences, the
# set's own SMPL joints. With surface joints (converted with --body-models) the field's 14 are
# --cfg-options test_evaluator.0.joints=lsp14 "test_evaluator.0.root=['left_hip_extra','right_hip_extra']".
# Data: python tools/convert_dataset.py pw3d FOLDER_OF_THE_SET --out data/converted
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="HumanDataset", data_root="data/converted", ann_file="pw3d/test", clip_length=None),
)
test_evaluator = [dict(type="JointError"), dict(type="AccelerationError")]
