# cmu_asf_amc.py's people, places and motions with clothes painted onto the skin, as SURREAL has them: HMR's data.
_base_ = ["cmu_asf_amc.py"]

simulator = dict(type="PaintedCloth")
