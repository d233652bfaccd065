# BVH files of any human skeleton: CMU's conversions (cgspeed.com), Mixamo, 3ds Max, ...; what is not inferred correctly
# can be set: source.joints, rest, scale, up (mviper/motion/sources/bvh.py).
_base_ = ["base.py"]

source = dict(type="BVHMotion", root="data/bvh")
splits = dict(val=["0[1-4]_*"], test=["0[5-8]_*"])
