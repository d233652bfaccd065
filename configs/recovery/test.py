# Videos of test clips, seven of them hard (hard_test); the twentieth is the first clip with another body and camera.
# Never tuned on.
#   MVIPER_DATA=... python tools/generate.py configs/recovery/test.py --out $MVIPER_DATA/recovery_test --limit 20
_base_ = ["base.py"]

seed = 1901
variants = 2
source = dict(
    type="MixedMotion",
    sources=[
        dict(
            type="CMUMotion",
            root=_base_.mocap + "/asf_amc",
            names=["07_12", "09_06", "131_04", "zombie", "charleston2", "49_19"],
        ),
        dict(type="BVHMotion", root=_base_.mocap + "/bvh", names=["13_26", "jumping_jacks", "wave_hello", "salsa_10"]),
        dict(
            type="BVHMotion",
            root=_base_.mocap + "/cmu_dance",
            names=["indian_08", "salsa_20", "salsa_30", "martial_06", "martial_10"],
        ),
        dict(type="DeepMimicMotion", min_seconds=2.0, names=["kick", "cartwheel", "getup_facedown", "dance_b"]),
    ],
)
