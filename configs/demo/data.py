# The demo's pictures: a few seconds of real motion capture, small enough for two CPU cores. Training, validation and
# test share no clip, and no body, since each sequence draws its own. `make demo` makes only validation and test.
_base_ = ["../synthesis/base.py"]

source = dict(
    type="DeepMimicMotion",
    names=["walk", "spin", "punch", "dance_a", "jump", "run", "dance_b"],
    min_seconds=1.4,
)
splits = dict(val=["jump"], test=["run", "dance_b"])
variants = 4
# A quarter of a second of each: variety of people, clothes and places is worth more than additional frames of the same.
max_frames = 8
min_seconds = 0.25
lead_in = dict(frames=20, still=4)
outfit = [
    dict(type="Trousers", edge_length=0.03),
    dict(type="TShirt", edge_length=0.03, ease=(0.12, 0.20), sleeve_ease=(0.10, 0.15)),
]
simulator = dict(type="BlenderCloth", solver_steps=(10, 20))  # sequences that need 30 are rejected, to save time
fabric = dict(patterns=["plain", "stripes", "plaid", "dots", "weave"])
