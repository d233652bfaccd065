"""Files of other body models are recognised by content, whatever their name."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from mviper.body.smpl import OPEN_BODY, SMPL, load_body_arrays
from mviper.datasets.poses import read_poses
from mviper.engine.checkpoints import read_checkpoint
from mviper.errors import FileFormatError
from mviper.models.weights import read_weights
from mviper.structures import Motion
from mviper.structures.human_data import HumanData

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 247530000\n"
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"


def neighbour(vertices: int, joints: int, width: int, **extra) -> dict:
    """The arrays of other models' files, in their own shapes."""
    return dict(
        v_template=np.zeros((vertices, 3)), shapedirs=np.zeros((vertices, 3, 10)),
        posedirs=np.zeros((vertices, 3, width), np.float32), weights=np.zeros((vertices, joints)),
        J_regressor=np.zeros((joints, vertices)), f=np.zeros((4, 3), int), kintree_table=np.zeros((2, joints), int),
        **extra,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "name", "what"),
    [
        (neighbour(6890, 52, 459, hands_meanl=np.zeros(45)), "SMPLH_MALE.pkl", "it is an SMPL-H file"),
        (neighbour(10475, 55, 486, lmk_faces_idx=np.zeros(51)), "SMPLX_NEUTRAL.npz", "it is an SMPL-X file"),
        (neighbour(778, 16, 135, hands_mean=np.zeros(45)), "MANO_RIGHT.pkl", "it is a MANO file"),
        (neighbour(6890, 24, 93), "model.npz", "it is a STAR file"), (neighbour(5023, 5, 36), "x.PKL", "it is a FLAME"),
        ({"poses": np.zeros((2, 156)), "trans": np.zeros((2, 3))}, "walk.npz", "a motion .*it holds poses, trans"),
        ({"a": np.zeros(2), "b\n": 1}, "unknown.npz", r"lacks v_template.*it holds a, b\\n"),
        ({"a": np.zeros(2)}, "unknown.pkl", "it holds a .*smpl.is.tue.mpg.de"),
    ],
)  # fmt: skip
def test_neighbours_of_smpl(tmp_path, content, name, what):
    path = tmp_path / name
    if path.suffix == ".npz":
        np.savez_compressed(path, **content)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(FileFormatError, match=f"{name}: .*{what}"):
        SMPL(path)


@pytest.mark.parametrize("content", [LFS, HTML, bytes(300), b""], ids=["lfs", "html", "zeros", "empty"])
def test_paths_that_are_not_files(tmp_path, content):
    what = {LFS: "a Git LFS pointer.*git lfs pull", HTML: "an HTML page.*download"}.get(content, "nothing but|empty")
    readers = {
        "SMPL_NEUTRAL.pkl": SMPL, "body.npz": SMPL, "motion.npz": Motion.load, "east.npz": HumanData.load,
        "walk.npz": read_poses, "last.pth": read_checkpoint,
        "resnet50.pth": lambda path: read_weights(path, "weights", ""),
    }  # fmt: skip
    for name, read in readers.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileFormatError, match=f"{name}: .*it is ({what})"):
            read(tmp_path / name)


def test_keys_of_an_unknown_npz_are_listed(tmp_path):
    np.savez(tmp_path / "a.npz", joints=np.zeros(3), fps=30)
    for read in (Motion.load, HumanData.load, read_poses):
        with pytest.raises(FileFormatError, match=r"a\.npz: .*lacks .*it holds joints, fps"):
            read(tmp_path / "a.npz")


def test_home_and_capital_endings(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    arrays = load_body_arrays(OPEN_BODY)
    (tmp_path / "OPEN.PKL").write_bytes(pickle.dumps(arrays))
    with (tmp_path / "OPEN.NPZ").open("wb") as file:
        np.savez(file, **arrays)
    for name in ("OPEN.PKL", "OPEN.NPZ"):
        assert torch.equal(SMPL(f"~/{name}").template, SMPL().template)
