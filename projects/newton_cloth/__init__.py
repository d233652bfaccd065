"""Newton's cloth solver for MVIPER, plugged in by ``custom_imports = dict(imports=["projects.newton_cloth"])``."""

from projects.newton_cloth.simulator import NewtonCloth

__all__ = ["NewtonCloth"]
