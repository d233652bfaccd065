# The simulations of simulations.py, path-traced.
_base_ = ["raster.py"]

renders_per_simulation = 1
renderer = dict(_delete_=True, type="CyclesRenderer", samples=4, denoise=True)
