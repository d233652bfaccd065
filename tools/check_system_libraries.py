#!/usr/bin/env python
"""Compares the list of system libraries with those that this Python environment's shared objects need."""

from __future__ import annotations

import argparse
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from mviper.config import run_tool
from mviper.extras import import_extra

LIST = Path(__file__).with_name("system_libraries.txt")

#: Parts of the C library, present wherever Python runs.
C_LIBRARY = {
    "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libdl.so.2", "libm.so.6", "libmvec.so.1",
    "libpthread.so.0", "librt.so.1", "libutil.so.1",
}  # fmt: skip

#: Libraries of optional parts only: plugins are skipped if their library is missing.
OPTIONAL = {
    "libOpenCL.so.1": "OpenVINO's plugin for Intel GPUs",
    "libcuda.so.1": "comes with the GPU's driver",
    "libamdhip64.so.6": "denoising on AMD GPUs",
    "libze_loader.so.1": "denoising on Intel GPUs",
    "libgomp.so.1.0.0": "a thread pool that numba does without",
}

#: MaterialX modules that Blender's wheel ships without their libraries; MVIPER does not import them.
_LEFT_OUT_BY_BLENDER = "libMaterialX"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environment", type=Path, default=Path(sysconfig.get_path("purelib")), metavar="DIR",
                        help="folder of installed packages (default: this interpreter's)")  # fmt: skip
    return parser.parse_args()


def main() -> int:
    """Prints the unlisted libraries and the files that need them."""
    arguments = parse_arguments()
    listed, needed = listed_libraries(), needed_libraries(arguments.environment)
    for library in sorted(needed.keys() - listed.keys()):
        print(f"not in {LIST.name}: {library}, needed by {', '.join(needed[library][:3])}")
    print(f"{len(needed)} system libraries are needed, {len(needed.keys() & listed.keys())} of which are listed")
    return 1 if needed.keys() - listed.keys() else 0


def listed_libraries() -> dict[str, tuple[str, str]]:
    """The listed libraries, each with its packages on Debian and on Fedora."""
    lines = (line.partition("#")[0].split() for line in LIST.read_text().splitlines())
    return {library: (debian, fedora) for library, debian, fedora in filter(None, lines)}


def needed_libraries(environment: Path) -> dict[str, list[str]]:
    """Libraries that the environment's shared objects and programs need but neither it nor the C library provides.

    Args:
        environment: Folder of installed packages.

    Returns:
        The files that need each library; optional libraries are left out.
    """
    needed, brought = defaultdict(list), set()
    for path in environment.rglob("*"):
        if ".so" not in path.name and (path.suffix or not path.is_file() or not path.stat().st_mode & 0o100):
            continue
        brought.add(path.name)
        for kind, library in _linked(path):
            if kind == "DT_SONAME":
                brought.add(library)
            else:
                needed[library].append(str(path.relative_to(environment)))
    return {
        library: files
        for library, files in needed.items()
        if library not in brought | C_LIBRARY | OPTIONAL.keys() and not library.startswith(_LEFT_OUT_BY_BLENDER)
    }


def _linked(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs of a file's own name and a library that its dynamic section names."""
    elffile = import_extra("elftools.elf.elffile")
    if path.is_symlink() or not path.is_file():
        return
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return
        for segment in elffile.ELFFile(file).iter_segments("PT_DYNAMIC"):
            for tag in segment.iter_tags():
                if tag.entry.d_tag in ("DT_NEEDED", "DT_SONAME"):
                    yield tag.entry.d_tag, tag.needed if tag.entry.d_tag == "DT_NEEDED" else tag.soname


if __name__ == "__main__":
    run_tool(main)
