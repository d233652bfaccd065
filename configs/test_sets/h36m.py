# Human3.6M's protocols, for `python tools/test.py CONFIG CHECKPOINT --on configs/test_sets/h36m.py`: subjects 9 and
# 11, each frame repeated to a clip (the paper's frame-based protocols), 14 joints, means of the actions' means.
# Data: python tools/convert_dataset.py h36m FOLDER_OF_THE_SET --out data/converted
test_dataloader = dict(
    batch_size=16,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="HumanDataset", data_root="data/converted", ann_file="h36m/test", as_stills=True, clip_length=4),
)
protocol = dict(type="JointError", joints="lsp14", root=["pelvis_extra"], average="actions")
test_evaluator = [
    dict(**protocol, prefix="P1"),  # all four cameras
    dict(**protocol, prefix="P2", cameras=["60457274"]),  # the frontal one
    dict(type="KeypointAccuracy", root=["pelvis_extra"]),
]
