# Clothed motions for large data sets: the whole wardrobe over all available clips. Only one small view is rendered,
# since the other configs of this folder render the stored simulations (motion.npz, garments.npz) many times.
# Data are large and take hours: they are stored under $MVIPER_DATA, the motion capture in $MVIPER_DATA/mocap.
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
max_frames = 60
betas = dict(scale=1.0, limit=2.5)
cameras = dict(views=["south"], resolution=128)
renderer = dict(samples=1, denoise=False)
