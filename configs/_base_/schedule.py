# The paper's optimiser (section 4.2). The number of steps depends on the data: 3 million frames in batches of 16 clips
# of 4 frames are 47,000 steps per epoch. Fused: one pass over weights and averages instead of ten.
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-5, fused=True))
train_cfg = dict(type="ResumableTrainLoop", max_iters=200_000, val_interval=5_000)
val_cfg = dict()
test_cfg = dict()
