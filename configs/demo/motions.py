# The motions that the demo's networks learn from: whole clips, also mirrored, with exchanged limbs, and between poses.
# None of the demo's validation and test clips, nor any that configs/_base_/held_out.py names.
_base_ = ["data.py"]

_captured = [
    dict(
        type="DeepMimicMotion",
        names=["walk", "spin", "punch", "dance_a", "backflip", "crawl", "getup_faceup", "roll"],
        min_seconds=3.0,
    )
]
source = dict(
    _delete_=True,
    type="MixedMotion",
    sources=[
        *_captured,
        dict(type="RecombinedMotion", sources=_captured, variants=12, splits=_base_.splits),
        dict(type="InterpolatedMotion", sources=_captured, count=40, uses=20, splits=_base_.splits),
    ],
)
