# Clothes painted onto the skin as SURREAL has them: what deepmimic.py makes, but for the cloth.
_base_ = ["deepmimic.py"]

simulator = dict(type="PaintedCloth")
