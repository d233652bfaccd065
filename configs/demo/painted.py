# The demo's data with clothes painted onto the skin, for the demo's HMR.
_base_ = ["data.py"]

simulator = dict(_delete_=True, type="PaintedCloth")
