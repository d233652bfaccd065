"""A body file may be renamed or copied: ownership of betas depends on its content, everywhere."""

from __future__ import annotations

import json
import logging
import pickle
import shutil

import native_sets
import numpy as np
import pytest
import torch
from sequence_files import write_sequences

from mviper.body import SMPL
from mviper.body.identity import distinct_bodies, same_body
from mviper.body.smpl import OPEN_BODY, load_body_arrays
from mviper.datasets import MixedDataset, PoseLibrary, SyntheticHumanVideo, gather_annotations
from mviper.datasets.check import check_dataset
from mviper.datasets.packing import pack_split
from mviper.datasets.sequences import find_sequences
from mviper.errors import ConfigError
from mviper.export import export_motions
from mviper.files import load_npz
from mviper.registry import DATA_CONVERTERS, METRICS, MOTION_SOURCES
from mviper.reports.browse import _vertices
from mviper.reports.report import _other_body_section
from mviper.reports.surfaces import true_vertices
from mviper.structures import Motion
from mviper.structures.human_data import HumanData

CROP = [dict(type="CropClip", size=64), dict(type="PackBodySample")]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One body under two of the names of SMPL's file; licensed files contain no name."""
    folder = tmp_path_factory.mktemp("bodies")
    arrays = {key: value for key, value in load_body_arrays(OPEN_BODY).items() if key != "name"}
    first, second = folder / "basicmodel_neutral_lbs_10_207_0_v1.1.0.npz", folder / "SMPL_NEUTRAL.npz"
    np.savez(first, **arrays)
    shutil.copy(first, second)
    return first, second


@pytest.fixture(scope="module")
def bodies(files) -> tuple[SMPL, SMPL]:
    return SMPL(files[0]), SMPL(files[1])


@pytest.fixture(scope="module")
def motion(bodies) -> Motion:
    """A motion of the first, with nonzero betas."""
    poses = np.zeros((6, 24, 3))
    poses[:, 0, 0] = np.pi / 2
    return Motion(poses, np.tile([0, 0, 1.0], (6, 1)), np.ones(10), 30.0, bodies[0].body_model_id, "walk", "1")


@pytest.fixture(scope="module")
def renamed_data(bodies, tmp_path_factory):
    """Sequences made with the open body, the same content under a third name."""
    return write_sequences(tmp_path_factory.mktemp("data"), views=("east", "north"))


def test_ids(bodies):
    first, second = (body.body_model_id for body in bodies)
    assert first != second  # the name is kept for readability
    assert same_body(first, second) and same_body(second, SMPL().body_model_id)
    assert not same_body(first, SMPL(num_betas=4).body_model_id)  # other betas
    assert not same_body("smpl:" + "0" * 64, "smpl:" + "1" * 64)
    # Files of sets without the body file contain a bare name, which equals no body's id.
    assert same_body("smpl_male", "smpl_male") and not same_body("smpl_male", "smpl_female")
    assert not same_body("", first) and not same_body("smpl_male", first)
    assert distinct_bodies([first, second, "other:1", first, ""]) == [first, "other:1", ""]


def test_exports_and_pictures(bodies, motion, tmp_path):
    (path,) = export_motions([motion], tmp_path / "a.bvh", bodies[1])
    (own,) = export_motions([motion], tmp_path / "b.bvh", bodies[0])
    assert path.read_text() == own.read_text()
    shaped = _vertices(motion, bodies[1], np.arange(2))
    np.testing.assert_array_equal(shaped, _vertices(motion, bodies[0], np.arange(2)))
    with pytest.raises(ConfigError, match="betas belong to other:1"):
        export_motions([Motion(motion.poses, motion.transl, motion.betas, 30.0, "other:1")], tmp_path / "c.bvh", SMPL())


def test_motion_sources_keep_betas(bodies, motion, tmp_path, caplog):
    motion.save(tmp_path / "walk.npz")
    source = MOTION_SOURCES.build(dict(type="SMPLMotion", root=tmp_path))
    with caplog.at_level(logging.WARNING):
        same = source.load_for_body(next(source.clips()), bodies[1], motion.betas)
    assert "dropped" not in caplog.text
    np.testing.assert_array_equal(same.transl, motion.transl)


def test_training_metrics_and_reports(bodies, renamed_data, tmp_path):
    data = [SyntheticHumanVideo(renamed_data, body_model=b.body_model_id, clip_length=2, pipeline=CROP) for b in bodies]
    assert all(float(each[0]["data_sample"].has_betas) == 1 for each in data)
    assert gather_annotations(data[0])["has_betas"].all()
    assert len(MixedDataset(data)) == sum(map(len, data))
    with pytest.raises(ConfigError, match="body models differ"):
        MixedDataset([data[0], SyntheticHumanVideo(renamed_data, body_model="other:1", clip_length=2, pipeline=CROP)])
    metric = METRICS.build(dict(type="VertexError", body_model=bodies[1]))
    metric.dataset_meta = {"body_model": bodies[0].body_model_id}
    metric.process(None, [])
    metric.dataset_meta = {"body_model": "other:" + "0" * 64}
    with pytest.raises(ConfigError, match="belong to body other"):
        metric.process(None, [])
    sequences = find_sequences(renamed_data)
    assert _other_body_section(sequences, bodies[0]) == ""
    assert true_vertices(HumanData.load(renamed_data / "train/wave__00/east.npz"), np.arange(2), bodies[1]) is not None


def test_pose_library(bodies, motion, tmp_path):
    motion.save(tmp_path / "train/walk__00/motion.npz")
    library = PoseLibrary(str(tmp_path), body_model=bodies[1].body_model_id)
    assert (library.betas == 1).all()


def test_packing_and_checking(bodies, renamed_data, motion, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(renamed_data, root)
    path = root / "train/wave__00/north.npz"
    data = HumanData.load(path)
    data.body_model = bodies[1].body_model_id
    data.save(path)
    summary = pack_split(find_sequences(root), tmp_path, "train", "human_data")
    assert summary.views == 6 and same_body(
        HumanData.load(tmp_path / "train_human_data.npz").body_model, data.body_model
    )
    # The check: motion, manifest and views may have been made with copies of one file.
    motion.save(root / "train/wave__00/motion.npz")
    manifest = json.loads((root / "train/wave__00/manifest.json").read_text())
    manifest |= dict(body_model=bodies[1].body_model_id, betas=[1.0] * 10)
    (root / "train/wave__00/manifest.json").write_text(json.dumps(manifest))
    problems = " ".join(check_dataset(root, SMPL(), split="train").problems["train/wave__00"])
    assert "different bodies" not in problems and "another body" not in problems
    assert "north: keypoints3d are" in problems  # recomputed from another motion


def test_conversion_goes_on_with_a_renamed_body(files, tmp_path):
    body = SMPL()
    native_sets.write_pw3d(tmp_path / "3dpw", body)
    (tmp_path / "models").mkdir()
    for name in ("SMPL_MALE", "SMPL_FEMALE"):
        (tmp_path / "models" / f"{name}.pkl").write_bytes(pickle.dumps(load_npz(OPEN_BODY), protocol=4))
    for file in files:
        converter = DATA_CONVERTERS.build(
            dict(type="PW3DConverter", root=str(tmp_path / "3dpw"), body_models=tmp_path / "models", refit_to=file)
        )
        summary = converter.convert(tmp_path / "out", "test")
    assert summary.sequences == 2
    assert torch.equal(SMPL(files[0]).template, body.template)
