# Videos of validation clips, to tune on.
#   MVIPER_DATA=... python tools/generate.py configs/recovery/val.py --out $MVIPER_DATA/recovery_val
_base_ = ["base.py"]

seed = 1902
source = dict(
    type="MixedMotion",
    sources=[
        dict(type="CMUMotion", root=_base_.mocap + "/asf_amc", names=["07_02", "49_20"]),
        dict(type="BVHMotion", root=_base_.mocap + "/bvh", names=["dab"]),
        dict(
            type="BVHMotion",
            root=_base_.mocap + "/cmu_dance",
            names=["indian_14", "martial_03", "salsa_09", "salsa_24"],
        ),
        dict(type="DeepMimicMotion", min_seconds=2.0, names=["jump", "spinkick"]),
    ],
)
