"""The tutorials' commands and code, run as printed in an empty folder."""

import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sequence_files import write_sequences

from mviper.body.smpl import OPEN_BODY, load_body_arrays

TUTORIALS = sorted((Path(__file__).resolve().parents[2] / "docs" / "tutorials").glob("*.md"))

#: Blocks in these languages are run; ``text`` marks those that take long or need something that tests lack.
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.M | re.S)


def licensed_file(path):
    """A file in SMPL's format: a pickled dictionary of the open body's arrays."""
    path.write_bytes(pickle.dumps(load_body_arrays(OPEN_BODY)))


@pytest.fixture
def folder(tmp_path, repository, monkeypatch):
    """A folder with a tutorial's prerequisites."""
    monkeypatch.chdir(tmp_path)
    for name in ("configs", "projects"):  # pages that add to a checkout
        (tmp_path / name).symlink_to(repository / name)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "mviper").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mviper "$@"\n')
    (bin_folder / "mviper").chmod(0o755)
    return tmp_path


@pytest.fixture
def environment(folder, repository):
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "2"}


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorial_does_what_it_says(page, folder, environment, repository):
    text = page.read_text()
    if "dance.mp4" in text:
        shutil.copy(repository / "mviper" / "app" / "example.mp4", folder / "dance.mp4")
    if '"south.npz"' in text:
        shutil.copy(next(iter(sorted(write_sequences(folder / "made").glob("*/*/east.npz")))), folder / "south.npz")
    if '"SMPL_NEUTRAL.pkl"' in text:
        licensed_file(folder / "SMPL_NEUTRAL.pkl")
    blocks = _BLOCK.findall(text)
    assert blocks, "nothing to run"
    for language, block in blocks:
        if language == "python" and (named := re.match(r"# (\w+\.py)\n", block)):
            (folder / named.group(1)).write_text(block)  # a file that the reader writes
            continue
        words = ["bash", "-euc", block] if language == "bash" else [sys.executable, "-c", block]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=900)
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    for path in folder.glob("*.py"):  # configs that the reader wrote
        if "_base_" in path.read_text():
            subprocess.run(["mviper", "print-config", path], check=True, env=environment, capture_output=True)
