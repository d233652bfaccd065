"""Mutated annotation and body files: converters and the body's reader accept them or raise the project's errors.

``MVIPER_FUZZ`` is the number of mutations per file (default: 10).
"""

from __future__ import annotations

import os
import pickle

import native_sets
import numpy as np
import pytest
from motion.sources.test_fuzz import mutate, mutate_npz

from mviper.body.smpl import OPEN_BODY, SMPL, load_body_arrays
from mviper.datasets.clips import read_annotation
from mviper.errors import MviperError
from mviper.registry import DATA_CONVERTERS
from mviper.structures import Camera, HumanData
from mviper.structures.joints import KEYPOINTS

EACH = int(os.environ.get("MVIPER_FUZZ", "10"))


def toy_body() -> dict:
    """Eight vertices, so that it can be read a thousand times."""
    corners = np.stack(np.meshgrid([-0.2, 0.2], [-1.0, 0.7], [-0.1, 0.1], indexing="ij"), -1).reshape(-1, 3)
    return dict(
        v_template=corners, shapedirs=np.zeros((8, 3, 10)), posedirs=np.zeros((8, 3, 207)),
        J_regressor=np.full((24, 8), 1 / 8), weights=np.full((8, 24), 1 / 24), f=np.array([[0, 1, 2], [1, 3, 2]]),
        kintree_table=load_body_arrays(OPEN_BODY)["kintree_table"], extra_regressor=np.full((20, 8), 1 / 8),
    )  # fmt: skip


#: Set, converter, split, mutated file.
SETS = {
    "lsp": ("LSP", "train", "joints.mat"),
    "lsp_extended": ("LSPExtended", "train", "joints.mat"),
    "mpii": ("MPII", "train", "mpii_human_pose_v1_u12_1.mat"),
    "coco": ("COCO", "val2017", "annotations/person_keypoints_val2017.json"),
    "h36m 2d": ("Human36M", "test", "S9/MyPoseFeatures/D2_Positions/Walking 1.54138969.cdf"),
    "h36m 3d": ("Human36M", "test", "S9/MyPoseFeatures/D3_Positions_mono/Walking 1.54138969.cdf"),
    "mpi_inf_3dhp train": ("MPIINF3DHP", "train", "S1/Seq1/annot.mat"),
    "mpi_inf_3dhp test": ("MPIINF3DHP", "test", "mpi_inf_3dhp_test_set/TS1/annot_data.mat"),
    "pw3d": ("PW3D", "test", "sequenceFiles/test/downtown_walk_00.pkl"),
    "surreal": ("SURREAL", "train", "train/run0/01_01/01_01_c0001_info.mat"),
    "amass": ("AMASS", "train", "CMU/01/01_01_poses.npz"),
    "ucf101": ("UCF101", "train01", "ucfTrainTestlist/trainlist01.txt"),
    "human_data": ("HumanData", "", "a.npz"),
    "body pkl": ("", "", "toy.pkl"),
    "body npz": ("", "", "toy.npz"),
}


def write_human_data(root) -> None:
    """Three frames with every kind of annotation."""
    rng = np.random.default_rng(11)
    camera = Camera(np.diag([100.0, 100.0, 1.0]), np.tile(np.eye(3), (3, 1, 1)), np.ones((3, 3)), 64, 48, "a")
    smpl = dict(global_orient=(3,), body_pose=(23, 3), betas=(10,), transl=(3,))
    HumanData(
        rng.random((3, len(KEYPOINTS), 3)), rng.random((3, len(KEYPOINTS), 4)), rng.random((3, 5)),
        {key: rng.normal(size=(3, *shape)) for key, shape in smpl.items()}, "open_body:abc",
        np.ones((3, len(KEYPOINTS)), np.uint8), ["0.jpg", "1.jpg", "2.jpg"], "", np.arange(3), camera,
        dict(gender=["n"] * 3, height=[48] * 3, width=[64] * 3),
    ).save(root / "a.npz", compressed=True)  # fmt: skip


def write(name: str, root) -> None:
    writers = {
        "lsp": native_sets.write_lsp, "lsp_extended": lambda root: native_sets.write_lsp_extended(root, False),
        "mpii": lambda root: native_sets.write_mpii(root, mpii_people(root)), "h36m": native_sets.write_h36m,
        "mpi_inf_3dhp": native_sets.write_mpi_inf_3dhp, "amass": native_sets.write_amass,
        "pw3d": lambda root: native_sets.write_pw3d(root, SMPL(), 5), "ucf101": native_sets.write_ucf101,
        "surreal": lambda root: native_sets.write_surreal(root, SMPL(), 1, 3), "coco": write_coco,
        "human_data": write_human_data,
        "body": lambda root: ((root / "toy.pkl").write_bytes(pickle.dumps(toy_body())),
                              np.savez(root / "toy.npz", **toy_body())),
    }  # fmt: skip
    root.mkdir()
    writers[name](root)


def mpii_people(root) -> list[dict]:
    native_sets.write_picture(root / "images/a.jpg")
    points = np.random.default_rng(0).uniform(20, 150, (16, 2)).tolist()
    return [dict(image="a.jpg", joints=points, joints_vis=[1] * 16, scale=1.0)]


def write_coco(root) -> None:
    native_sets.write_picture(root / "val2017/1.jpg")
    (root / "annotations").mkdir()
    points = [v for k in range(17) for v in (20 + 9 * k, 30 + 9 * k, 2)]
    text = '{"images": [{"id": 1, "file_name": "1.jpg", "width": 240, "height": 200}], "annotations": [{"id": 1, '
    text += (
        f'"image_id": 1, "category_id": 1, "num_keypoints": 17, "iscrowd": 0, "keypoints": {points}}}], "categories":'
    )
    text += ' [{"id": 1, "name": "person", "keypoints": ["' + '", "'.join(_NAMES) + '"]}]}'
    (root / "annotations/person_keypoints_val2017.json").write_text(text)


_NAMES = """nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist
right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle""".split()


@pytest.mark.filterwarnings("ignore")  # warnings of scipy, numpy and cdflib about their input
@pytest.mark.parametrize("name", SETS)
def test_mutated_files_raise_only_our_errors(name, tmp_path, monkeypatch):
    kind, split, file = SETS[name]
    monkeypatch.setattr("mviper.apart._CDF_SECONDS", 0.5)  # one in seventy mutated CDF files takes all of it
    pytest.importorskip({"h36m": "cdflib", "mpi": "h5py"}.get(name.partition(" ")[0].partition("_")[0], "numpy"))
    write(name.partition(" ")[0], tmp_path / "set")
    path = tmp_path / "set" / file
    content = path.read_bytes()

    def read():
        if not kind:
            return SMPL(path)
        if kind == "HumanData":
            return read_annotation(HumanData.load(path), path)
        converter = DATA_CONVERTERS.build({"type": f"mviper.{kind}Converter", "root": str(tmp_path / "set")})
        sequences = converter.sequences(split)
        return sequences if kind == "UCF101" else converter.read(split, sequences[0])

    read()
    rng = np.random.default_rng(len(name))
    change = mutate_npz if path.suffix == ".npz" else mutate
    refused = 0
    for number in range(EACH):
        changed = change(content, rng)
        path.write_bytes(changed)
        try:
            read()
        except MviperError as error:
            assert str(tmp_path) in str(error)
            refused += 1
        except BaseException:
            (tmp_path / "culprit").write_bytes(changed)
            print(f"{name}, mutation {number}: {tmp_path / 'culprit'}")
            raise
    print(f"{name}: {refused} of {EACH} refused")
    assert refused > EACH / 20
