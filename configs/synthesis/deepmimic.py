# The clips that come with pybullet: real motion capture that needs only a package registry.
_base_ = ["base.py"]

source = dict(type="DeepMimicMotion")
splits = dict(val=["*jump*"], test=["*dance_b*", "*kick*"])
