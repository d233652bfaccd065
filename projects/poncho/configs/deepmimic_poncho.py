"""configs/synthesis/deepmimic.py with a poncho over the trousers."""

_base_ = ["../../../configs/synthesis/deepmimic.py"]
custom_imports = dict(imports=["projects.poncho"])
outfit = [dict(type="Trousers"), dict(type="Poncho")]
