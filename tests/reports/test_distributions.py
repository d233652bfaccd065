"""The page with a data set's distributions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sequence_files import write_sequences

from mviper.datasets.check import check_dataset
from mviper.datasets.sequences import find_sequences
from mviper.errors import FileFormatError
from mviper.reports.distributions import measure_distributions, write_dataset_page


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_sequences(tmp_path_factory.mktemp("data"), frames=4, views=("south", "side"))


def test_distributions_say_what_was_made(root):
    found = measure_distributions(find_sequences(root))
    assert found.pose_angles.shape == (24, 24) and found.betas.shape == (3, 10) and found.visible.all()
    assert found.pose_angles[:, 1:16].max() < 0.1  # only the shoulders move,
    np.testing.assert_allclose(found.pose_angles[:4, 16], np.degrees(np.abs(np.linspace(-1, 1, 4))), atol=1e-3)
    views = found.azimuth.reshape(3, 2, 4)  # and the second camera is rotated by 90 degrees
    np.testing.assert_allclose(np.abs(views[:, 0]), np.degrees(0.3), atol=0.5)
    np.testing.assert_allclose(np.abs(views[:, 1]), np.degrees(1.87), atol=0.5)
    assert np.abs(found.elevation).max() < 0.5
    assert 0.3 < found.box_side.min() and found.box_side.max() < 1
    assert found.brightness.shape == (6, 2) and abs(found.brightness[:, 0].mean() - 90 / 255) < 0.05
    assert (found.brightness[:, 1] > found.brightness[:, 0]).all()  # the figure is brighter than the background


def test_page(root, tmp_path):
    sequences = find_sequences(root)
    check = check_dataset(root)
    found = measure_distributions(sequences)
    found.skipped["x.mp4"] = "cut"
    html = write_dataset_page(tmp_path, sequences, found, check, {"train/wave__00": "a.jpg"}).read_text()
    for words in (
        "do not follow the on-disk format",
        "not measured: cut",
        "3 sequences, 24 frames",
        'src="a.jpg"',
        "Distrib",
    ):
        assert words in html
    assert (tmp_path / "dataset_files/distributions_dark.png").stat().st_size > 20_000


def test_the_tool_says_what_is_wrong(root, run_tool, tmp_path):
    done = run_tool("browse.py", "dataset", root, "--out", tmp_path, "--sheets", "1", "--split", "val")
    assert done.returncode == 1, done.stderr  # these sequences lack motion.npz
    assert "NOT OK: 1 sequences, 8 frames checked, 1 with problems" in done.stdout
    assert "val/wave__01: " in done.stdout and "motion.npz: no such file" in done.stdout
    assert (tmp_path / "val_wave__01.jpg").is_file() and (tmp_path / "index.html").is_file()


def test_nothing_readable(root, tmp_path):
    folder = tmp_path / "train" / "x"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(dict(frames=4, views=["south"])))
    with pytest.raises(FileFormatError, match=r"south\.npz"):
        measure_distributions(find_sequences(tmp_path))
