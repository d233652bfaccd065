"""A garment from outside the package: importing this registers it."""

from projects.poncho.poncho import Poncho

__all__ = ["Poncho"]
