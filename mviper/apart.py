"""Third-party binary formats, read in a separate process with limits: damaged files crash or stall some readers.

This module is imported by that process, so it imports neither torch nor the data sets.
"""

from __future__ import annotations

import functools
import multiprocessing
import resource
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from mviper.errors import FileFormatError, MviperError
from mviper.extras import import_extra
from mviper.files import what_it_is

#: Memory of the process [bytes].
_MEMORY = 8 * 2**30

#: CPU time for one file [s]. Human3.6M's largest file (2 MB) takes 0.1 s, MPII's single file (13 MB) half a minute.
_CDF_SECONDS, _MAT_SECONDS = 5.0, 300.0


def load_mat(path: Path, **options: Any) -> dict[str, Any]:
    """Reads a MATLAB file (up to version 7). scipy's reader crashes on some damaged files.

    Args:
        path: The file.
        **options: Of ``scipy.io.loadmat``.

    Raises:
        FileFormatError: It cannot be read.
    """
    return _read(path, "MATLAB file", _MAT_SECONDS, scipy.io.loadmat, **options)


def load_cdf(path: Path, variable: str) -> np.ndarray:
    """Reads a variable of a CDF file. On damaged files, cdflib's reader may loop 2**31 times or forever.

    Raises:
        FileFormatError: It cannot be read, or lacks the variable.
    """
    import_extra("cdflib")
    return _read(path, f"CDF file with {variable!r}", _CDF_SECONDS, _cdf_variable, variable=variable)


def _cdf_variable(path: str, variable: str) -> np.ndarray:
    return np.asarray(import_extra("cdflib").CDF(path).varget(variable))


def _read(path: Path, kind: str, seconds: float, read: Callable, **options: Any) -> Any:
    process = _process()
    try:
        # Absolute: the process keeps the folder in which it was started.
        return process.submit(_within, seconds, read, str(path.absolute()), **options).result()
    except BrokenProcessPool as error:
        _process.cache_clear()
        raise FileFormatError(path, f"not a readable {kind}: it is damaged, its reader crashes") from error
    except Exception as error:  # these readers raise many kinds on damaged files
        what = what_it_is(path)
        raise FileFormatError(path, f"it is {what}" if what else f"not a readable {kind}: {error}") from error


@functools.cache
def _process() -> ProcessPoolExecutor:
    process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_limit_memory)
    try:
        process.submit(_limit_memory).result()
    except BrokenProcessPool as error:  # the new process runs the script again
        raise MviperError(
            "the reader's process ended: does the script call it under if __name__ == '__main__'?"
        ) from error
    return process


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _within(seconds: float, read: Callable, *arguments: Any, **options: Any) -> Any:
    """Calls the reader; raises an error after some seconds of CPU time."""

    def interrupt(*_: object) -> None:
        raise TimeoutError(f"it is damaged, its reader was still busy after {seconds:.0f} s")

    signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return read(*arguments, **options)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
