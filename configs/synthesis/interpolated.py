# Captured motion mixed with motions between contrasting poses that nobody captured (paper, section 3).
_base_ = ["base.py"]

splits = dict(val=["*jump*"], test=["*dance_b*", "*kick*"])
source = dict(
    type="MixedMotion",
    sources=[
        dict(type="DeepMimicMotion"),
        # Pairs are found within each split; any other source (CMUMotion, ...) or several of them will do.
        dict(type="InterpolatedMotion", sources=[dict(type="DeepMimicMotion")], count=20, uses=3, splits=splits),
    ],
)
