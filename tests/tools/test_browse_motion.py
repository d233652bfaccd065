"""tools/browse.py motion on real files, a sequence folder, and unreadable files; also without viser."""

from __future__ import annotations

import importlib.util
import shutil
import sys

import cv2
import pytest
from capture_files import write_acclaim

from mviper.body import SMPL
from mviper.errors import MissingDataError
from mviper.motion import DeepMimicMotion, TargetBody
from mviper.motion.sources.library import MotionLibrary


@pytest.fixture
def browse(repository, monkeypatch):
    def run(*arguments):
        spec = importlib.util.spec_from_file_location("browse_tool", repository / "tools" / "browse.py")
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        monkeypatch.setattr(sys, "argv", ["browse.py", *map(str, arguments)])
        return tool.main()

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of mixed contents: ASF/AMC, DeepMimic, a generated sequence, and a truncated file."""
    root, body = tmp_path_factory.mktemp("mocap"), SMPL()
    source = DeepMimicMotion(names=["run", "walk"], min_seconds=1.2, fps=120)
    run, walk = source.clips()
    measures = TargetBody.from_body(body)
    write_acclaim(root, source.load(walk, measures)[:141], measures.rest_joints, "09_06")
    shutil.copy(walk.path, root)
    (root / "humanoid3d_cut.txt").write_text('{"Loop": "wrap",\n"Frames": [[0.1, 2')
    (root / "train" / "run__00").mkdir(parents=True)
    source.load_for_body(run, body, [0.5] * 10).save(root / "train" / "run__00" / "motion.npz")
    return root


def test_library_reads_whatever_lies_there(folder, tmp_path):
    measures = TargetBody.from_body(SMPL())
    library = MotionLibrary(folder)
    loaded = {clip.name: (motion, captured) for clip, motion, captured in library.load(measures)}
    assert set(loaded) == {"run__00", "09_06", "walk"}
    assert loaded["run__00"][1] is None and loaded["run__00"][0].betas[0] == 0.5
    assert len(loaded["walk"][1]) == len(loaded["walk"][0])
    assert {path.name for path in library.failures} == {"humanoid3d_cut.txt"}
    assert {config["type"] for config in library.source_configs()} >= {"CMUMotion", "DeepMimicMotion"}
    for file, frames in (("09_06.amc", 141), ("train/run__00/motion.npz", len(loaded["run__00"][0]))):
        ((_, motion, _),) = MotionLibrary(folder / file).load(measures)
        assert len(motion) == frames
    with pytest.raises(MissingDataError, match="no such"):
        MotionLibrary(folder / "nothing")
    with pytest.raises(MissingDataError, match="CMUMotion"):
        list(MotionLibrary(tmp_path).load(measures))


def test_sheets_and_page(browse, folder, tmp_path, capsys):
    pytest.importorskip("viser")
    browse("motion", folder, "--out", tmp_path, "--pictures", 3)
    printed = capsys.readouterr().out
    assert "humanoid3d_cut.txt:2" in printed and printed.count("within all limits") == 2
    assert "09_06.png: 1.2 s, a joint is " in printed  # the elbows of write_acclaim bend about one axis
    for name in ("09_06", "walk", "run"):
        assert cv2.imread(str(tmp_path / f"{name}.png")).std() > 5
    assert (tmp_path / "index.html").stat().st_size > 1e6


def test_files_that_cannot_be_read_alone_are_a_failure(browse, tmp_path, capsys):
    (tmp_path / "empty.bvh").touch()
    (tmp_path / "corrupt.npz").write_text("no archive")
    assert browse("motion", tmp_path, "--out", tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert "Not read: " in printed and "empty.bvh:1: ends where" in printed and "corrupt.npz: not a" in printed


def test_without_viser_the_sheet_still_comes(browse, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    browse("motion", folder / "humanoid3d_walk.txt", "--out", tmp_path, "--pictures", 2)
    assert (tmp_path / "walk.png").is_file() and not (tmp_path / "index.html").exists()
    assert "pip install -c requirements/constraints.txt" in capsys.readouterr().out
