"""Public sets in native layout -> HumanData: joints, sides, pixels, units, rates, bodies; filters; errors; resuming."""

from __future__ import annotations

import json
import pickle
import shutil

import native_sets
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mviper.body.rotations import axis_angle_to_matrix
from mviper.body.smpl import OPEN_BODY, SMPL
from mviper.datasets import HumanDataset
from mviper.datasets.converters.base import HumanDataConverter
from mviper.datasets.converters.bodies import refit_betas
from mviper.datasets.index import INDEX_NAME, read_index
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import load_npz
from mviper.registry import DATA_CONVERTERS
from mviper.structures import Motion
from mviper.structures.human_data import HumanData
from mviper.structures.joints import KEYPOINTS


def build(kind: str, root, **options):
    return DATA_CONVERTERS.build({"type": f"mviper.{kind}Converter", "root": str(root), **options})


def at(data: HumanData, *names: str) -> list[int]:
    return [data.names.index(name) for name in names]


def pose(data: HumanData) -> np.ndarray:
    return np.concatenate([data.smpl["global_orient"][:, None], data.smpl["body_pose"]], 1)


@torch.no_grad()
def posed(body, data: HumanData, betas) -> np.ndarray:
    """The body's joints from a file's rotations, relative to its pelvis."""
    rotmat = axis_angle_to_matrix(torch.from_numpy(pose(data)).double()).float()
    joints = body(torch.as_tensor(betas).float().expand(len(data), 10), rotmat).joints
    return (joints - joints[:, :1]).numpy()


def test_every_converter_is_tested_here(request):
    DATA_CONVERTERS.import_from_location()
    source = request.path.read_text()
    for name, converter in DATA_CONVERTERS.module_dict.items():
        assert f'build("{name.removesuffix("Converter")}"' in source or f'("{name.removesuffix("Converter")}"' in source
        assert converter.name and converter.splits and converter.licence and "http" in converter.source
        assert "ROOT/" in converter.layout


def test_lsp(tmp_path):
    joints = native_sets.write_lsp(tmp_path / "lsp")
    converter = build("LSP", tmp_path / "lsp")
    data = converter.read("train", "train")
    assert len(data) == 2 and data.image_path == ["images/im0001.jpg", "images/im0002.jpg"]
    order = "right_ankle right_knee right_hip_extra left_hip_extra left_knee left_ankle right_wrist right_elbow "
    order += "right_shoulder left_shoulder left_elbow left_wrist neck_extra headtop"
    places = at(data, *order.split())
    np.testing.assert_allclose(data.keypoints2d[:, places, :2], joints[:2, :, :2] - 1, atol=1e-4)  # pixels from 0
    assert (data.keypoints2d[..., 2] == 1).all()  # hidden joints are also labelled
    np.testing.assert_array_equal(data.visibility[:, places], 1 - joints[:2, :, 2])  # the flag means hidden
    summary = converter.convert(tmp_path / "out", "train")
    assert summary.rows == 1 and dict(summary.dropped) == {"smaller than 60 px": 1}
    assert converter.convert(tmp_path / "out", "test").rows == 2
    loaded = HumanData.load(tmp_path / "out/lsp/train/train.npz")
    assert loaded.names == KEYPOINTS and loaded.keypoints2d[0, :, 2].sum() == 14
    np.testing.assert_allclose(loaded.bbox_xywh[0, :2], joints[0, :, :2].min(0) - 1, atol=1e-4)
    np.testing.assert_allclose(loaded.bbox_xywh[0, 2:4], np.ptp(joints[0, :, :2], axis=0), atol=1e-4)


@pytest.mark.parametrize("high_resolution", [False, True])
def test_lsp_extended(tmp_path, high_resolution):
    joints = native_sets.write_lsp_extended(tmp_path, high_resolution)
    converter = build("LSPExtended", tmp_path)
    data = converter.read("train", "train")
    np.testing.assert_array_equal(data.visibility, joints[..., 2])  # the flag means seen
    assert (data.keypoints2d[0, 3] == 0).all() and data.image_path[1].endswith("png" if high_resolution else "jpg")
    summary = converter.convert(tmp_path / "out", "train")
    assert summary.rows == 2 and dict(summary.dropped) == {"fewer than 6 visible joints": 1}


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.shared_data), "written"])
def annotations(request, samples):
    """Samples of COCO and MPII, real and synthetic."""
    return samples if request.param == "written" else request.getfixturevalue("shared_data") / "annotations"


def test_mpii_of_samples(tmp_path, annotations):
    samples = annotations / "mpii"
    people = json.loads((samples / "test_mpii.json").read_text())
    people[1]["joints_vis"][0] = people[1]["joints_vis"][1] = 0
    native_sets.write_mpii(tmp_path, people)
    shutil.copytree(samples, tmp_path / "images")
    converter = build("MPII", tmp_path)
    data = converter.read("train", "train")
    assert len(data) == len(people) == 5
    order = "right_ankle right_knee right_hip_extra left_hip_extra left_knee left_ankle pelvis_extra thorax_extra "
    order += "neck_extra headtop right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist"
    places = at(data, *order.split())
    for row, person in enumerate(people):
        joints = np.array(person["joints"])
        labelled = joints[:, 0] >= 0
        np.testing.assert_array_equal(data.keypoints2d[row, places, 2], labelled)
        np.testing.assert_allclose(data.keypoints2d[row, places, :2][labelled], joints[labelled] - 1, atol=1e-3)
    assert data.visibility[1, places].tolist() == people[1]["joints_vis"]
    assert data.visibility[0].all() and data.image_path[0] == "images/005808361.jpg"
    assert converter.convert(tmp_path / "out", "train").rows == 5


def test_coco_of_samples(tmp_path, annotations):
    content = native_sets.write_coco(tmp_path, annotations / "coco")
    converter = build("COCO", tmp_path)
    data = converter.read("val2017", "val2017")
    people = [p for p in content["annotations"] if p["num_keypoints"] and not p["iscrowd"]]
    order = [
        name.replace("_hip", "_hip_extra") for name in content["categories"][0]["keypoints"]
    ]  # COCO's own names, except for the hips
    places = at(data, *order)
    assert len(data) == len(people) > 5
    for row, person in enumerate(people):
        keypoints = np.array(person["keypoints"], float).reshape(17, 3)
        labelled = keypoints[:, 2] > 0
        np.testing.assert_array_equal(data.keypoints2d[row, places, 2], labelled)
        np.testing.assert_allclose(data.keypoints2d[row, places, :2], keypoints[:, :2] * labelled[:, None])
        np.testing.assert_array_equal(data.visibility[row, places], keypoints[:, 2] == 2)
    assert converter.convert(tmp_path / "out", "val2017").rows == len(people)  # only training splits are filtered


def test_human36m(tmp_path):
    pytest.importorskip("cdflib")
    truth = native_sets.write_h36m(tmp_path / "h36m")
    converter = build("Human36M", tmp_path / "h36m")
    names = converter.sequences("test")
    assert names == [f"{s}_Walking 1.{c}" for s in ("S9", "S11") for c in ("54138969", "60457274")]
    data = converter.read("test", names[0])
    assert data.frame_idx.tolist() == [0, 5, 10, 15, 20]  # 50 -> 10 frames/s
    assert len(converter.read("train", "S1_Walking 1.54138969")) == 11  # -> 25
    of_set = {"left_hip_extra": 6, "right_hip_extra": 1, "left_ankle": 8, "right_wrist": 27, "head_extra": 15}
    places = at(data, *of_set)
    np.testing.assert_allclose(
        data.keypoints3d[:, places, :3], truth["D3_Positions_mono"][::5, list(of_set.values())] / 1000, rtol=1e-6
    )
    np.testing.assert_allclose(data.keypoints2d[:, places, :2], truth["D2_Positions"][::5, list(of_set.values())])
    assert data.video_path == "S9/Videos/Walking 1.54138969.mp4" and data.smpl is None
    (tmp_path / "h36m/S9/Videos/Walking 1.60457274.mp4").unlink()
    with pytest.raises(MissingDataError, match=r"1 of 8 videos and files .* missing.*S9/Videos"):
        build("Human36M", tmp_path / "h36m", require_all=True).sequences("test")


def test_mpi_inf_3dhp(tmp_path):
    pytest.importorskip("h5py")
    truth = native_sets.write_mpi_inf_3dhp(tmp_path)
    converter = build("MPIINF3DHP", tmp_path)
    names = converter.sequences("train")
    assert len(names) == 8 * 2 * 8 and names[:2] == ["S1_Seq1_0", "S1_Seq1_1"]
    data = converter.read("train", "S1_Seq1_2")
    of_set = {"pelvis_extra": 4, "headtop": 7, "left_wrist": 11, "right_hip_extra": 23, "right_ankle": 25}
    places, columns = at(data, *of_set), list(of_set.values())
    np.testing.assert_allclose(data.keypoints3d[:, places, :3], (truth["annot3"][:, columns] + 2) / 1000, rtol=1e-6)
    np.testing.assert_allclose(data.keypoints2d[:, places, :2], truth["annot2"][:, columns] + 2, rtol=1e-6)
    assert data.video_path == "S1/Seq1/imageSequence/video_2.avi" and data.meta["fps"] == 25
    assert converter.read("train", "S1_Seq2_0").frame_idx.tolist() == [0, 2, 4]  # this one is filmed at 50
    pictures = converter.read("train", "S1_Seq1_1")
    assert not pictures.video_path and pictures.image_path[0] == "S1/Seq1/video_1/frame_000001.jpg"
    test = converter.read("test", "TS1")
    assert test.frame_idx.tolist() == [1, 2, 4]  # the valid ones
    pelvis = test.keypoints3d[:, at(test, "pelvis_extra")[0], :3]
    np.testing.assert_allclose(pelvis, truth["test3"][[1, 2, 4], 14] / 1000, rtol=1e-5)
    assert test.image_path[-1] == "mpi_inf_3dhp_test_set/TS1/imageSequence/img_000005.jpg"


def test_pw3d_agrees_with_its_body(tmp_path, body):
    truth = native_sets.write_pw3d(tmp_path / "3dpw", body)
    converter = build("PW3D", tmp_path / "3dpw")
    assert converter.sequences("test") == ["downtown_walk_00_0", "downtown_walk_00_1"]
    data = converter.read("test", "downtown_walk_00_0")
    assert data.frame_idx.tolist() == [0, 1, 2, 4, 5, 6, 7] and data.meta["gender"][0] == "m"
    assert data.body_model == "smpl_male"  # not the name of a known body: these betas are not used
    joints = posed(body, data, truth["betas"][0])
    np.testing.assert_allclose(
        data.keypoints3d[:, :24, :3], joints[:, :24] + data.keypoints3d[:, :1, :3], atol=1e-4
    )  # root rotated to camera axes
    with torch.no_grad():
        rest = body.rest_joints(torch.from_numpy(truth["betas"][0])[None].float())[0, 0].numpy()
    np.testing.assert_allclose(data.smpl["transl"] + rest, data.keypoints3d[:, 0, :3], atol=1e-5)
    image = data.keypoints3d[:, :24, :3] @ truth["cam_intrinsics"].T
    np.testing.assert_allclose(data.keypoints2d[:, :24, :2], image[..., :2] / image[..., 2:], atol=1e-4)
    nose = truth["poses2d"][0][data.frame_idx][:, :, 0]
    np.testing.assert_array_equal(data.keypoints2d[:, at(data, "nose")[0], 2], nose[:, 2] > 0)
    index_folder = converter.convert(tmp_path / "out", "test").folder
    assert read_index(index_folder).runs["downtown_walk_00_0"] == [
        [0, 3],
        [3, 4],
    ]  # the track breaks at a skipped frame


def test_pw3d_of_another_size_than_its_camera_is_refused(tmp_path, body):
    """Regression: images scaled by half and a mirroring camera were accepted, with misplaced people."""
    native_sets.write_pw3d(tmp_path, body, frames=4)
    path = tmp_path / "sequenceFiles/test/downtown_walk_00.pkl"
    content = pickle.loads(path.read_bytes(), encoding="latin1")
    content["cam_poses"] = content["cam_poses"] @ np.diag([-1.0, 1, 1, 1])
    path.with_stem("mirrored").write_bytes(pickle.dumps(content))
    shutil.copytree(tmp_path / "imageFiles/downtown_walk_00", tmp_path / "imageFiles/mirrored")
    for picture in (tmp_path / "imageFiles/downtown_walk_00").iterdir():
        native_sets.write_picture(picture, (120, 100))
    converter = build("PW3D", tmp_path)
    with pytest.raises(FileFormatError, match=r"00000\.jpg: it has 120 x 100 pixels, the middle.*\[120.0, 100.0\]"):
        converter.read("test", "downtown_walk_00_0")
    with pytest.raises(FileFormatError, match="'cam_poses' contains a matrix that is not a rotation"):
        converter.read("test", "mirrored_0")
    content["poses"][0][2, 5] = np.nan
    path.with_stem("mirrored").write_bytes(pickle.dumps(content))
    with pytest.raises(FileFormatError, match="'poses' contains a value that is not a usable number"):
        converter.read("test", "mirrored_0")


def test_betas_of_a_known_body_are_named_or_refitted(tmp_path, body):
    truth = native_sets.write_pw3d(tmp_path / "3dpw", body)
    arrays = load_npz(OPEN_BODY)
    models = tmp_path / "models"
    models.mkdir()
    for name in ("SMPL_MALE", "SMPL_FEMALE"):
        (models / f"{name}.pkl").write_bytes(pickle.dumps(arrays, protocol=4))
    twice = {**arrays, "shapedirs": 2 * arrays["shapedirs"], "name": np.array("twice")}
    (models / "twice.pkl").write_bytes(pickle.dumps(twice, protocol=4))

    data = build("PW3D", tmp_path / "3dpw", body_models=models).read("test", "downtown_walk_00_0")
    assert data.body_model == SMPL(models / "SMPL_MALE.pkl").body_model_id
    np.testing.assert_allclose(data.smpl["betas"][0], truth["betas"][0], rtol=1e-6)
    assert (data.keypoints3d[..., 3] == 1).all()  # the surface joints come from the body
    joints = posed(body, data, truth["betas"][0])
    np.testing.assert_allclose(data.keypoints3d[..., :3], joints + data.keypoints3d[:, :1, :3], atol=1e-4)

    converter = build("PW3D", tmp_path / "3dpw", body_models=models, refit_to=models / "twice.pkl")
    data = converter.read("test", "downtown_walk_00_1")
    assert data.body_model == SMPL(models / "twice.pkl").body_model_id
    np.testing.assert_allclose(data.smpl["betas"][0], truth["betas"][1] / 2, atol=0.02)
    with pytest.raises(MissingDataError, match="--body-models"):
        build("PW3D", tmp_path / "3dpw", refit_to=models / "twice.pkl")


def write_licensed_bodies(folder):
    """The open body under the licensed files' names."""
    folder.mkdir()
    for name in ("SMPL_MALE", "SMPL_FEMALE", "SMPL_NEUTRAL"):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(load_npz(OPEN_BODY), protocol=4))
    return folder


def test_emdb_in_the_camera_and_in_its_world(tmp_path, body, run_tool):
    truth = native_sets.write_emdb(tmp_path / "emdb", body)
    converter = build("EMDB", tmp_path / "emdb", body_models=write_licensed_bodies(tmp_path / "models"))
    assert converter.sequences("emdb1") == ["P0_09_walk", "P0_10_turn"]
    assert converter.sequences("emdb2") == ["P0_09_walk"]
    data = converter.read("emdb2", "P0_09_walk")
    assert data.frame_idx.tolist() == [0, 1, 2, 4, 5, 6, 7] and data.meta["gender"][0] == "f"
    assert data.body_model == SMPL(tmp_path / "models" / "SMPL_FEMALE.pkl").body_model_id
    world = (data.keypoints3d[..., :3] - data.camera.t[:, None]) @ data.camera.R
    np.testing.assert_allclose(world, truth["joints"][data.frame_idx], atol=1e-5)
    joints = posed(body, data, truth["smpl"]["betas"])
    np.testing.assert_allclose(data.keypoints3d[..., :3], joints + data.keypoints3d[:, :1, :3], atol=1e-4)
    with torch.no_grad():
        rest = body.rest_joints(torch.from_numpy(truth["smpl"]["betas"])[None].float())[0, 0].numpy()
    np.testing.assert_allclose(data.smpl["transl"] + rest, data.keypoints3d[:, 0, :3], atol=1e-5)
    image = data.keypoints3d[..., :3] @ truth["camera"]["intrinsics"].T
    np.testing.assert_allclose(data.keypoints2d[..., :2], image[..., :2] / image[..., 2:], atol=1e-6)
    assert read_index(converter.convert(tmp_path / "out", "emdb2").folder).runs["P0_09_walk"] == [[0, 3], [3, 4]]
    with pytest.raises(MissingDataError, match="--body-models must name"):
        build("EMDB", tmp_path / "emdb").read("emdb1", "P0_10_turn")

    # The true motion from another viewpoint has no error in the world.
    poses = np.concatenate([truth["smpl"]["poses_root"][:, None], truth["smpl"]["poses_body"].reshape(-1, 23, 3)], 1)
    turn = Rotation.from_rotvec([0.2, 1.0, -0.3])
    poses[:, 0] = (turn * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
    transl = turn.apply(truth["smpl"]["trans"] + rest) - rest + [3.0, 0, 1]
    motion = Motion(poses, transl, truth["smpl"]["betas"], 30.0, body.body_model_id, "walk")
    motion.save(tmp_path / "walk.npz", first_frame=np.int64(0))
    result = run_tool(
        "world_errors.py", tmp_path / "walk.npz", tmp_path / "out/emdb/emdb2/P0_09_walk.npz",
        "--json", tmp_path / "f.json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["frames"] == 7 and figures["jitter_10m_s3"] > 0
    assert all(figures[name] < 1e-2 for name in ("WA-MPJPE_mm", "W-MPJPE_mm", "RTE_percent"))


def test_bedlam_gives_pose_and_2d_joints(tmp_path):
    truth = native_sets.write_bedlam(tmp_path / "bedlam")
    converter = build("BEDLAM", tmp_path / "bedlam")
    scene, closeup = converter.sequences("train")
    data = converter.read("train", scene)
    assert len(data) == 4 and data.keypoints3d is None and data.body_model == "smplx"  # the last has no picture
    assert data.image_path[0] == f"training_images/{scene}/png/seq_000000/seq_000000_0000.png"
    np.testing.assert_allclose(pose(data)[:, :22].reshape(4, 66), truth["pose_cam"][:4, :66])
    assert not pose(data)[:, 22:].any()
    np.testing.assert_allclose(data.keypoints2d[..., :2], truth["gtkps"][:4, :22])
    assert data.visibility[0, at(data, "left_ankle")[0]] == 0 == data.visibility.size - data.visibility.sum() - 1
    np.testing.assert_allclose(data.smpl["transl"], truth["trans_cam"][:4] + np.array([0.1, 0.2, 7.0]))
    assert len(converter.read("train", closeup)) == 0
    folder = converter.convert(tmp_path / "out", "train").folder
    assert read_index(folder).dropped["in close-up scenes, whose images are rotated"] == 5
    data_set = HumanDataset(
        str(tmp_path / "out"), "bedlam/train", clip_length=4, body_model={"type": "SMPL"}
    )  # fmt: skip
    sample = data_set[0]["data_sample"]
    assert [float(sample.get(f"has_{kind}")) for kind in ("keypoints3d", "smpl", "betas")] == [0, 1, 0]
    assert sample.smpl_rotmat.shape == (4, 24, 3, 3) and len(data_set) == 4


def test_refitted_betas_of_another_mesh_keep_sizes(body):
    """If the meshes differ, the keypoints are used: here the same body with reordered faces."""
    other = SMPL()
    other.faces = other.faces[::-1]
    betas = torch.randn(3, 10, generator=torch.Generator().manual_seed(0))
    refitted = refit_betas(body, other, betas)
    with torch.no_grad():
        wanted, found = (b.rest_joints(v) for b, v in ((body, betas), (other, refitted)))
    assert (wanted.diff(dim=1) - found.diff(dim=1)).norm(dim=-1).max() < 2e-3


def test_surreal_is_the_mirrored_body(tmp_path, body):
    truth = native_sets.write_surreal(tmp_path, body)
    converter = build("SURREAL", tmp_path)
    names = converter.sequences("train")
    assert names[0] == "run0__01_01__01_01_c0001" and len(names) == 3
    data = converter.read("train", names[0])
    # The body of the converted parameters (same betas, mirrored pose) has the converted joints, sides included.
    joints = posed(body, data, truth[0]["betas"])[:, :24]
    labelled = data.keypoints3d[..., :3] - data.keypoints3d[:, :1, :3]
    assert np.abs(joints - labelled).max() < 4e-3
    left, right = at(data, "left_wrist", "right_wrist")
    assert np.abs(joints - labelled)[:, [left, right]].max() < np.abs(joints[:, left] - labelled[:, right]).max() / 10
    # Pixels are those of the set's camera: 600 px focal length, x_image grows against world z.
    relative = truth[0]["joints_world"][0, 0] - truth[0]["place"]
    expected = [600 * relative[2] / relative[0] + 159.5, -600 * relative[1] / relative[0] + 119.5]
    np.testing.assert_allclose(data.keypoints2d[0, 0, :2], expected, atol=1e-3)
    assert data.body_model == "smpl_female" and converter.read("train", names[1]).body_model == "smpl_male"
    assert data.video_path == "train/run0/01_01/01_01_c0001.mp4"


def test_amass(tmp_path):
    poses = native_sets.write_amass(tmp_path)
    converter = build("AMASS", tmp_path)
    assert converter.sequences("train") == ["CMU__01__01_01_poses"]
    assert converter.sequences("val") == ["SFU__01__01_01_poses"]
    assert converter.sequences("test") == ["SSM_synced__01__01_01_poses"]
    assert converter.convert(tmp_path / "out", "train").rows == 4  # 120 -> 30 frames/s
    data = HumanData.load(tmp_path / "out/amass/train/CMU__01__01_01_poses.npz")
    np.testing.assert_allclose(pose(data)[:, :22], poses[::4, :66].reshape(4, 22, 3), rtol=1e-5)
    assert (pose(data)[:, 22:] == 0).all() and data.body_model == "smplh_female"
    np.testing.assert_allclose(data.smpl["betas"], np.tile(np.arange(10.0), (4, 1)))


def test_ucf101(tmp_path):
    names = native_sets.write_ucf101(tmp_path)
    converter = build("UCF101", tmp_path)
    folder = converter.convert(tmp_path / "out", "train01").folder
    videos = json.loads((folder / "videos.json").read_text())
    assert [video["video"] for video in videos] == [str(tmp_path / "UCF-101" / name) for name in names[:2]]
    assert videos[0]["action"] == "Archery" and videos[0]["group"] == "v_Archery_g01"
    (tmp_path / "UCF-101" / names[0]).unlink()
    with pytest.raises(MissingDataError, match="1 of 2 videos are missing"):
        build("UCF101", tmp_path, require_all=True).sequences("train01")


def test_conversion_goes_on_where_it_was_stopped(tmp_path, body):
    native_sets.write_surreal(tmp_path / "surreal", body)

    def stop(done: int, total: int, name: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    converter, folder = build("SURREAL", tmp_path / "surreal"), tmp_path / "out/surreal/train"
    with pytest.raises(KeyboardInterrupt):
        converter.convert(tmp_path / "out", "train", stop)
    assert not read_index(folder).complete and len(read_index(folder).runs) == 2
    with (folder / INDEX_NAME).open("a") as file:
        file.write('{"sequence": "run0__cut')  # what a killed run leaves behind
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert converter.convert(tmp_path / "out", "train").sequences == 3
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert len(before) == 2 and len(after) == 3 and before.items() <= after.items()
    assert read_index(folder).complete and read_index(folder).rows == 18
    with pytest.raises(ConfigError, match="another fps"):
        build("SURREAL", tmp_path / "surreal", fps=15).convert(tmp_path / "out", "train")


@pytest.mark.parametrize(
    ("kind", "split"),
    [
        ("LSP", "train"), ("LSPExtended", "train"), ("MPII", "train"), ("COCO", "train2017"), ("Human36M", "test"),
        ("MPIINF3DHP", "train"), ("PW3D", "test"), ("SURREAL", "train"), ("AMASS", "train"), ("UCF101", "train01"),
    ],
)  # fmt: skip
def test_missing_set_says_what_to_put_where(tmp_path, kind, split):
    with pytest.raises(MissingDataError, match=r"(?s)is missing.*can be downloaded from.*ROOT/"):
        build(kind, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    converter = build(kind, tmp_path / "empty")
    with pytest.raises(MissingDataError, match=r"(?s)can be downloaded from.*ROOT/"):
        converter.convert(tmp_path / "out", split)
    with pytest.raises(ConfigError, match="has no split 'trian'"):
        converter.convert(tmp_path / "out", "trian")


def test_half_unpacked_and_damaged_sets(tmp_path, samples, body):
    native_sets.write_lsp(tmp_path / "lsp")
    (tmp_path / "lsp/images/im0002.jpg").unlink()
    with pytest.raises(MissingDataError, match=r"1 of 2 pictures are missing.*the first: images/im0002.jpg"):
        build("LSP", tmp_path / "lsp", require_all=True).convert(tmp_path / "out", "train")
    native_sets.write_lsp(tmp_path / "lsp")
    content = (tmp_path / "lsp/joints.mat").read_bytes()
    (tmp_path / "lsp/joints.mat").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match="not a readable MATLAB file"):
        build("LSP", tmp_path / "lsp").read("train", "train")

    native_sets.write_coco(tmp_path / "coco", samples / "coco")
    (tmp_path / "coco/val2017/000000000785.jpg").unlink()
    with pytest.raises(MissingDataError, match="1 of 4 pictures are missing"):
        build("COCO", tmp_path / "coco", require_all=True).read("val2017", "val2017")
    (tmp_path / "coco/annotations/person_keypoints_val2017.json").write_text('{"images": [')
    with pytest.raises(FileFormatError, match="not COCO's person keypoints"):
        build("COCO", tmp_path / "coco").read("val2017", "val2017")

    native_sets.write_pw3d(tmp_path / "3dpw", body)
    path = tmp_path / "3dpw/sequenceFiles/test/downtown_walk_00.pkl"
    path.write_bytes(b"cos\nsystem\n(S'touch evil'\ntR.")
    with pytest.raises(FileFormatError, match="cannot be unpickled safely"):
        build("PW3D", tmp_path / "3dpw").convert(tmp_path / "out", "test")


AMASS_BROKEN = {
    "two rates": (dict(mocap_framerate=np.array([120.0, 60.0])), "'mocap_framerate' has shape"),
    "rate": (dict(mocap_framerate=5e5), "500000 frames a second"),
    "three dimensions": (dict(poses=np.zeros((13, 165, 2))), "'poses' has shape"),
    "degrees": (dict(poses=np.full((13, 156), 20.0)), "expected radians"),
    "NaN": (dict(trans=np.full((13, 3), np.nan)), "'trans' contains a value that is not a usable number"),
    "text": (dict(betas=np.array(["a"] * 16)), "'betas' contains a value that is not a usable number"),
    "imaginary": (dict(poses=np.ones((13, 156), np.complex64)), "'poses' contains a value that is not a usable number"),
}


@pytest.mark.parametrize("problem", AMASS_BROKEN)
def test_amass_of_unusable_numbers(tmp_path, problem):
    changes, message = AMASS_BROKEN[problem]
    native_sets.write_amass(tmp_path)
    path = tmp_path / "CMU/01/01_01_poses.npz"
    np.savez(path, **(load_npz(path) | changes))
    with pytest.raises(FileFormatError, match=message):
        build("AMASS", tmp_path).read("train", "CMU__01__01_01_poses")


def test_names_that_no_file_can_have_are_missing(tmp_path, samples):
    """Regression: overlong names ended in OSError."""
    native_sets.write_coco(tmp_path / "coco", samples / "coco")
    path = tmp_path / "coco/annotations/person_keypoints_val2017.json"
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "9" * 999 + ".jpg"
    path.write_text(json.dumps(content))
    data = build("COCO", tmp_path / "coco").read("val2017", "val2017")
    assert 0 < len(data) < len(content["annotations"])
    native_sets.write_ucf101(tmp_path / "ucf101")
    path = tmp_path / "ucf101/ucfTrainTestlist/trainlist01.txt"
    path.write_text(path.read_text() + f"Archery/{'a' * 999}.avi 1\nArchery/a\0.avi 1\n")
    assert len(build("UCF101", tmp_path / "ucf101").sequences("train01")) == 2


def test_command(tmp_path, run_tool):
    native_sets.write_lsp(tmp_path / "lsp")

    def run(*arguments):
        return run_tool("convert_dataset.py", *arguments)

    done = run("lsp", tmp_path / "lsp", "--out", tmp_path / "out", "--min-side", 10)
    assert done.returncode == 0, done.stderr
    assert "lsp train: 2 annotated frames" in done.stdout and "ann_file='lsp/train'" in done.stdout
    failed = run("lsp", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert failed.returncode == 1 and "ROOT/joints.mat" in failed.stderr and "Traceback" not in failed.stderr
    assert "lsp_dataset_original.zip" in run("lsp", "--help").stdout


class _Unnumbered(HumanDataConverter):
    """A custom converter that does not say which frames of its video it annotates."""

    name, splits = "own", ("train",)
    licence = source = layout = ""

    def sequences(self, split):
        return ["walk"]

    def read(self, split, sequence):
        return HumanData(np.ones((4, 44, 3)), None, np.zeros((4, 5)), None, video_path="walk.mp4")


def test_frames_of_videos_need_numbers(tmp_path):
    with pytest.raises(TypeError, match=r"_Unnumbered.read gives frames of videos, but no frame_idx"):
        _Unnumbered(tmp_path, min_visible=0, min_side=0).convert(tmp_path / "out", "train")
