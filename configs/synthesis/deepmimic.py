# The clips that come with pybullet: real motion capture where nothing but a package registry is at hand.
_base_ = ["base.py"]

source = dict(type="DeepMimicMotion")
splits = dict(val=["*jump*"], test=["*dance_b*", "*kick*"])
