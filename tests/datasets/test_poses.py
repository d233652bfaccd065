"""Unpaired poses and shapes: read from every file type, drawn by seed, never with another body's betas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mviper.datasets import AdversarialDataset, PoseLibrary, gather_annotations
from mviper.datasets.poses import read_poses
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import save_npz
from mviper.structures import Motion
from mviper.structures.human_data import HumanData

OTHER = "other:" + "0" * 64


def write_files(folder, body_model):
    """The factory's motion, AMASS's two layouts, HumanData; distinguished by the values of the first joint."""
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 0.3, (30, 24, 3))
    (folder / "train" / "walk__00").mkdir(parents=True)
    Motion(poses, np.zeros((30, 3)), np.full(10, 0.5), 30.0, body_model).save(folder / "train/walk__00/motion.npz")
    (folder / "amass").mkdir()
    rows = rng.normal(0, 0.3, (240, 156))
    save_npz(
        folder / "amass/a_poses.npz", poses=rows, betas=np.full(16, 2.0), trans=np.zeros((240, 3)),
        mocap_framerate=np.float64(120), gender=np.str_("female"),
    )  # fmt: skip
    human = HumanData(
        keypoints2d=np.zeros((4, 0, 3)), keypoints3d=None, bbox_xywh=np.zeros((4, 5)),
        smpl=dict(
            global_orient=np.zeros((4, 3)), body_pose=poses[:4, 1:], betas=np.full((4, 10), -0.5),
            transl=np.zeros((4, 3)),
        ),
        body_model=OTHER, names=(),
    )  # fmt: skip
    human.save(folder / "amass/h.npz")
    return poses, rows


def test_every_kind_of_file(tmp_path, body):
    poses, rows = write_files(tmp_path, body.body_model_id)
    own = read_poses(tmp_path / "train/walk__00/motion.npz", fps=10)
    np.testing.assert_allclose(own.poses, poses[::3, 1:], atol=1e-6)
    assert own.betas.shape == (10, 10) and own.body_model == body.body_model_id
    amass = read_poses(tmp_path / "amass/a_poses.npz", fps=10)
    np.testing.assert_allclose(amass.poses[:, :21], rows[::12, 3:66].reshape(20, 21, 3), atol=1e-6)
    assert not amass.poses[:, 21:].any() and amass.body_model == ""
    human = read_poses(tmp_path / "amass/h.npz", fps=10)
    np.testing.assert_allclose(human.poses, poses[:4, 1:], atol=1e-6)
    assert human.body_model == OTHER
    data = HumanData.load(tmp_path / "amass/h.npz")
    data.meta["fps"] = 30.0  # as stated by converted AMASS
    data.save(tmp_path / "amass/thinned.npz")
    np.testing.assert_allclose(read_poses(tmp_path / "amass/thinned.npz", fps=10).poses, poses[:4:3, 1:], atol=1e-6)


def test_poses_of_all_but_betas_of_this_body_alone(tmp_path, body):
    write_files(tmp_path, body.body_model_id)
    library = PoseLibrary(str(tmp_path), ["train/*/motion.npz", "amass/*.npz"], body_model=body.body_model_id)
    assert len(library) == 10 + 20 + 4 and library.betas.shape == (10, 10)
    np.random.seed(3)
    rotmat, betas = library.draw(200)
    assert rotmat.shape == (200, 23, 3, 3) and (betas == 0.5).all()
    torch.testing.assert_close(torch.linalg.det(rotmat), torch.ones(200, 23), atol=1e-5, rtol=0)
    np.random.seed(3)
    assert torch.equal(library.draw(200)[0], rotmat)


def test_damaged_and_missing_files(tmp_path, body):
    write_files(tmp_path, body.body_model_id)
    np.savez(tmp_path / "amass/z.npz", poses=np.full((5, 156), np.nan), betas=np.zeros(16))
    for bad, problem in (
        ({"poses": np.zeros((5, 7)), "betas": np.zeros(10)}, r"\(5, 7\)"),
        ({"x": np.zeros(3)}, "lacks"),
        ({"poses": np.full((5, 156), 20.0), "betas": np.zeros(10)}, "expected radians"),
    ):
        np.savez(tmp_path / "amass/bad.npz", **bad)
        with pytest.raises(FileFormatError, match=problem):
            read_poses(tmp_path / "amass/bad.npz")
    library = PoseLibrary(str(tmp_path), ["train/*/motion.npz", "amass/*.npz"], body_model=body.body_model_id)
    assert len(library) == 34  # the damaged ones are left out, with a warning each
    with pytest.raises(MissingDataError, match=r"no poses.*tools/generate\.py"):
        PoseLibrary(str(tmp_path / "none"), body_model=body.body_model_id)
    with pytest.raises(MissingDataError, match="no betas of the body"):
        PoseLibrary(str(tmp_path), ["amass/*.npz"], body_model=body.body_model_id)
    with pytest.raises(ConfigError, match="body_model"):
        PoseLibrary(str(tmp_path))


def test_samples_carry_real_bodies_by_seed(tmp_path):
    from sequence_files import write_sequences

    root = write_sequences(tmp_path / "data", frames=8)
    config = dict(type="SyntheticHumanVideo", data_root=str(root), clip_length=4)
    data = AdversarialDataset(config, dict(data_root=str(root), files=["train/*/*.npz"]))
    assert len(data) == 2 and data.metainfo["frames"] == 8 and len(gather_annotations(data)["betas"]) == 8
    np.random.seed(5)
    sample = data[1]["data_sample"]
    assert sample.real_rotmat.shape == (4, 23, 3, 3) and sample.real_betas.shape == (4, 10)
    np.random.seed(5)
    assert torch.equal(data[1]["data_sample"].real_rotmat, sample.real_rotmat)
