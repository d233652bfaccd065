# The demo's data: a few seconds of real motion capture, small enough for two CPU cores. Training, validation and test
# share no clip, and no body, since each sequence draws its own.
_base_ = ["../synthesis/base.py"]

source = dict(
    type="DeepMimicMotion",
    names=["walk", "jump", "kick", "spin", "punch", "run"],
    min_seconds=1.4,
)
splits = dict(val=["punch"], test=["run"])
variants = 2
max_frames = 32
lead_in = dict(frames=20, still=4)
outfit = [dict(type="Trousers", edge_length=0.03), dict(type="TShirt", edge_length=0.03)]
