"""The list of system libraries is exactly what the environment's shared objects need."""

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("elftools", reason="pyelftools is not installed: requirements/tests.txt")

import check_system_libraries

#: Opened by name when Blender renders, so not in any dynamic section.
OPENED_AT_RUN_TIME = {"libEGL.so.1"}


@pytest.fixture(scope="module")
def needed():
    import torch

    return check_system_libraries.needed_libraries(Path(torch.__file__).parents[1])


def test_list_is_what_the_environment_needs(needed):
    listed = check_system_libraries.listed_libraries()
    assert set(needed) == set(listed) - OPENED_AT_RUN_TIME


def test_a_library_that_is_not_listed_is_reported(needed, tmp_path, monkeypatch, capsys):
    shorter = tmp_path / "list.txt"
    lines = check_system_libraries.LIST.read_text().splitlines()
    shorter.write_text("\n".join(line for line in lines if not line.startswith("libgthread")))
    monkeypatch.setattr(check_system_libraries, "LIST", shorter)
    monkeypatch.setattr(check_system_libraries, "needed_libraries", lambda environment: needed)
    monkeypatch.setattr("sys.argv", ["check"])
    assert check_system_libraries.main() == 1
    assert "not in list.txt: libgthread-2.0.so.0, needed by opencv" in capsys.readouterr().out


@pytest.mark.parametrize(("tool", "command"), [("apt-get", "Debian"), ("dnf", "Fedora")])
def test_missing_libraries_are_named_by_package(repository, tmp_path, tool, command):
    """The script run by a user without root rights, on a system without any of the libraries."""
    for name, body in {"ldconfig": "exit 0", "id": "echo 1000"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", repository / "tools" / "install_system_libraries.sh"], capture_output=True, text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 1
    packages = {
        check_system_libraries.listed_libraries()[key][command == "Fedora"] for key in ("libGL.so.1", "libSM.so.6")
    }
    line = next(line for line in done.stderr.splitlines() if command in line)
    assert tool in line and packages <= set(line.split())
