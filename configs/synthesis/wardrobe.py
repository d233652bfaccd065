# Ten motions that test clothes from gentle to hard, captured (the pybullet wheel's) and defined by key poses.
# tools/benchmark.py wardrobe draws garments, bodies and motions from here.
_base_ = ["base.py"]

source = dict(
    type="MixedMotion",
    sources=[
        dict(
            type="DeepMimicMotion",
            names=["walk", "run", "dance_b", "spinkick", "cartwheel", "crawl"],
            min_seconds=3.0,
        ),
        dict(type="KeyPoseMotion"),  # squat, sit, arms_down, arms_overhead
    ],
)
splits = dict(val=["squat"], test=["dance_b", "spinkick"])
max_frames = 60
motion_quality = dict(penetration=0.1)  # clothes are tested here: stout bodies sink into the floor when they crawl
clip_part = "busiest"  # the flip, not the steps before it
