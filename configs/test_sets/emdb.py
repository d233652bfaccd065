# EMDB 1, for `python tools/test.py CONFIG CHECKPOINT --on configs/test_sets/emdb.py`: whole sequences, SMPL's 24 joints
# relative to the hips' midpoint, in camera axes. Motion in the world (EMDB 2): tools/world_errors.py.
# Data: python tools/convert_dataset.py emdb FOLDER_OF_THE_SET --body-models FOLDER --out data/converted
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="HumanDataset", data_root="data/converted", ann_file="emdb/emdb1", clip_length=None),
)
_hips = ["left_hip", "right_hip"]
test_evaluator = [dict(type="JointError", root=_hips), dict(type="AccelerationError", root=_hips)]
