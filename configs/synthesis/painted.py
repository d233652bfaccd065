# Clothes painted onto the skin as in SURREAL; otherwise the same as deepmimic.py.
_base_ = ["deepmimic.py"]

simulator = dict(type="PaintedCloth")
