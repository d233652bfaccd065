# Clothed motions in volume: the whole wardrobe over every clip at hand. Only one small view is rendered, since the
# stored simulations (motion.npz, garments.npz) are rendered again and again by the other configs of this folder.
# Data are large and take hours: they live under $MVIPER_DATA, and the motion capture in $MVIPER_DATA/mocap.
_base_ = ["../synthesis/outfits.py", "../_base_/held_out.py"]

mocap = "{{$MVIPER_DATA:data}}/mocap"
source = dict(
    type="MixedMotion",
    sources=[
        dict(type="CMUMotion", root=mocap + "/asf_amc"),
        dict(type="BVHMotion", root=mocap + "/bvh"),
        dict(type="BVHMotion", root=mocap + "/cmu_dance"),
        dict(type="DeepMimicMotion", min_seconds=3.0),
    ],
)
splits = {{_base_.held_out}}
variants = 20
max_frames = 90
betas = dict(scale=1.0, limit=2.5)
cameras = dict(views=["south"], resolution=128)
renderer = dict(samples=1, denoise=False)
