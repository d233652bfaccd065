"""configs/synthesis/deepmimic.py with Newton's cloth solver in place of Blender's."""

_base_ = ["../../../configs/synthesis/deepmimic.py"]
custom_imports = dict(imports=["projects.newton_cloth"])
simulator = dict(_delete_=True, type="NewtonCloth")
