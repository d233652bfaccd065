# Motion in SMPL's parameters from anywhere: AMASS, HumanData, plain arrays, a recovered motion of ours. What a file
# does not say can be said: source.fps, source.up (mviper/motion/sources/smpl_files.py). AMASS alone has amass.py.
_base_ = ["base.py"]

source = dict(type="SMPLMotion", root="data/smpl")
