# The simulations of simulations.py, each rendered many times by the z-buffer: other fabrics, skin, light, surroundings
# and cameras each time. Run simulations.py first; simulations may be added between runs.
_base_ = ["painted.py"]

source = dict(_delete_=True, type="StoredSimulations", data_root="{{$MVIPER_DATA:data}}/simulations")
variants = 1
