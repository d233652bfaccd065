# The CMU Graphics Lab motion capture database (http://mocap.cs.cmu.edu) as .asf and .amc files.
_base_ = ["base.py"]

source = dict(type="CMUMotion", root="data/cmu")
# Splits by subject: no subject is in two of them.
splits = dict(val=["0[1-4]_*"], test=["0[5-8]_*"])
