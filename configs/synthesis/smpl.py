# Motion as SMPL parameters from any source: AMASS, HumanData, plain arrays, a motion recovered by MVIPER. What a file
# does not state can be set: source.fps, source.up (mviper/motion/sources/smpl_files.py). For AMASS alone: amass.py.
_base_ = ["base.py"]

source = dict(type="SMPLMotion", root="data/smpl")
