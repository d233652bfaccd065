"""The console command ``mviper``: ``mviper train CONFIG`` runs ``tools/train.py CONFIG``, from any folder."""

from __future__ import annotations

import ast
import difflib
import re
import sys
import types
from pathlib import Path

from mviper import __version__
from mviper.shipped import SHIPPED

TOOLS = SHIPPED / "tools"


def main(arguments: list[str] | None = None) -> None:
    """Runs a subcommand, which ends the process as the tool does.

    Args:
        arguments: The words after ``mviper``; None takes them from the command line.
    """
    words = sys.argv[1:] if arguments is None else arguments
    name = words[0] if words else "--help"
    if name in ("-h", "--help"):
        print(_overview())
    elif name == "--version":
        print(__version__)
    else:
        path = TOOLS / f"{name.replace('-', '_')}.py"
        if path not in _tools():
            near = difflib.get_close_matches(name, map(_subcommand, _tools()), n=1)
            hint = f"did you mean {near[0]}?" if near else "mviper --help lists all"
            sys.exit(f"Error: there is no subcommand {name!r}; {hint}")
        sys.argv = [f"mviper {name}", *words[1:]]
        sys.path.insert(0, str(TOOLS))  # as Python does for a script: tools import their neighbours
        try:
            _run(path)
        except ImportError as error:
            message = missing_library(error)
            if message is None:
                raise
            sys.exit(f"Error: {message}")


def _run(tool: Path) -> None:
    """Runs a tool as Python runs a script, except for its module name; spawned processes find it the same way."""
    script = types.ModuleType("__main__")
    script.__file__ = str(tool)
    sys.modules["__main__"] = script
    exec(compile(tool.read_text(), tool, "exec"), vars(script))


def missing_library(error: ImportError) -> str | None:
    """What to install if a system's shared library is missing; None for any other error.

    Args:
        error: Raised by Python when it cannot load a binary module.
    """
    found = re.match(r"(lib\S+\.so\S*): cannot open shared object file", str(error))
    if found is None:
        return None
    library = found.group(1)
    for line in (TOOLS / "system_libraries.txt").read_text().splitlines():
        soname, *packages = line.partition("#")[0].split() or [""]
        if soname == library:
            debian, fedora = packages
            return (
                f"the system library {library} is missing. Debian, Ubuntu: sudo apt-get install {debian}; "
                f"Fedora: sudo dnf install {fedora}"
            )
    return f"the system library {library} is missing; install the system package that provides it"


def _tools() -> list[Path]:
    return sorted(TOOLS.glob("*.py"))


def _subcommand(tool: Path) -> str:
    return tool.stem.replace("_", "-")


def _overview() -> str:
    width = max(len(tool.stem) for tool in _tools())
    lines = ["usage: mviper SUBCOMMAND ...", "", "Every subcommand has a --help. A config is given by its path or name",
             "(configs/mviper_r50.py, mviper_r50, demo/frame).", ""]  # fmt: skip
    for tool in _tools():
        described = ast.get_docstring(ast.parse(tool.read_text())) or ""
        summary = described.partition("\n\n")[0].replace("\n", " ").replace("``", "")
        lines.append(f"  {_subcommand(tool):{width}}  {summary}")
    return "\n".join(lines)
