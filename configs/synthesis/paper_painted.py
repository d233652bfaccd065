# paper.py's people, motions and places with clothes painted onto the skin, as SURREAL has them (figure 4).
_base_ = ["paper.py"]

simulator = dict(type="PaintedCloth")
