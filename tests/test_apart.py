"""Binary files that crash or stall their readers are errors, and other files can still be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import native_sets
import numpy as np
import pytest
import scipy.io

from mviper.apart import load_cdf, load_mat
from mviper.errors import FileFormatError


def crash(path: str) -> None:
    os.abort()


def test_a_file_that_crashes_its_reader_is_an_error(tmp_path, monkeypatch):
    """As in scipy 1.17, which looks up the number type beyond the end of a table."""
    path = tmp_path / "joints.mat"
    scipy.io.savemat(path, {"joints": np.eye(3)})
    with monkeypatch.context() as patch:
        patch.setattr(scipy.io, "loadmat", crash)
        with pytest.raises(
            FileFormatError, match=r"joints\.mat: not a readable MATLAB file: it is damaged, its reader cr"
        ):
            load_mat(path)
    np.testing.assert_array_equal(load_mat(path)["joints"], np.eye(3))
    content = bytearray(path.read_bytes())
    content[content.index(b"joints\0\0") + 8] = 0x68  # where scipy reads beyond its table, possibly without a crash
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"joints\.mat: not a readable MATLAB file"):
        load_mat(path)


@pytest.mark.parametrize("place", [48, 52], ids=["dimensions", "variables"])
def test_a_number_does_not_keep_a_reader_busy(place, tmp_path, monkeypatch):
    """Two billion dimensions or variables, which cdflib reads one by one: minutes and gigabytes."""
    pytest.importorskip("cdflib")
    written = native_sets.write_h36m(tmp_path)["D2_Positions"]
    path = tmp_path / "S9/MyPoseFeatures/D2_Positions/Walking 1.54138969.cdf"
    np.testing.assert_allclose(load_cdf(path, "Pose").ravel(), written.ravel(), rtol=1e-6)
    content = path.read_bytes()
    start = int.from_bytes(content[20:28], "big") + 8 + place  # in the file's main record, after its size
    path.write_bytes(content[:start] + b"\x7f\xff\xff\xff" + content[start + 4 :])
    monkeypatch.setattr("mviper.apart._CDF_SECONDS", 0.5)
    with pytest.raises(
        FileFormatError, match="not a readable CDF file with 'Position': it is damaged, its reader was st"
    ):
        load_cdf(path, "Position")


def test_a_script_that_is_not_guarded_is_told_so(tmp_path):
    """The new process runs the script anew; the file was called damaged."""
    scipy.io.savemat(tmp_path / "a.mat", {"joints": np.eye(3)})
    script = tmp_path / "script.py"
    script.write_text(f"from mviper.apart import load_mat\nload_mat({str(tmp_path / 'a.mat')!r})\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert "MviperError" in done.stderr and "under if __name__ == '__main__'" in done.stderr
    assert "damaged" not in done.stderr


def test_a_relative_name_counts_from_the_present_folder(tmp_path, monkeypatch):
    scipy.io.savemat(tmp_path / "first.mat", {"joints": np.eye(3)})
    load_mat(tmp_path / "first.mat")  # the process has started
    (tmp_path / "sub").mkdir()
    scipy.io.savemat(tmp_path / "sub" / "second.mat", {"joints": np.ones(3)})
    monkeypatch.chdir(tmp_path / "sub")
    assert load_mat(Path("second.mat"))["joints"].sum() == 3
