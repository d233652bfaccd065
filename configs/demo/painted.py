# The demo's data with clothes painted onto the skin: what the demo's HMR learns from.
_base_ = ["data.py"]

simulator = dict(_delete_=True, type="PaintedCloth")
