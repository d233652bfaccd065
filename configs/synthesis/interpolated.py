# Captured motion mixed with synthetic motions between contrasting poses (paper, section 3).
_base_ = ["base.py"]

splits = dict(val=["*jump*"], test=["*dance_b*", "*kick*"])
source = dict(
    type="MixedMotion",
    sources=[
        dict(type="DeepMimicMotion"),
        # Pairs are found within each split; any other source (CMUMotion, ...) or several of them can be used.
        dict(type="InterpolatedMotion", sources=[dict(type="DeepMimicMotion")], count=20, uses=3, splits=splits),
    ],
)
