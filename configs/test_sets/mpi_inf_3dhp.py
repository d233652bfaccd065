# MPI-INF-3DHP's test set, for `python tools/test.py CONFIG CHECKPOINT --on configs/test_sets/mpi_inf_3dhp.py`: the
# benchmark's 14 joints relative to the pelvis, 3DPCK at 150 mm and its AUC, without and with Procrustes alignment.
# Data: python tools/convert_dataset.py mpi_inf_3dhp FOLDER_OF_THE_SET --out data/converted
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="HumanDataset", data_root="data/converted", ann_file="mpi_inf_3dhp/test", clip_length=None),
)
joints = dict(joints="lsp14", root=["pelvis_extra"])
test_evaluator = [
    dict(type="JointError", **joints),
    dict(type="KeypointAccuracy", **joints),
    dict(type="KeypointAccuracy", **joints, procrustes=True),
]
