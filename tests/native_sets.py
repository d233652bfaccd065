"""Small public data sets in their native layout, for the converters' tests.

Every function returns the numbers it wrote, so that tests know the expected result.
"""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import scipy.io
import torch
from scipy.spatial.transform import Rotation

from mviper.body.rotations import axis_angle_to_matrix
from mviper.graphics.video import write_video


def write_picture(path: Path, size: tuple[int, int] = (240, 200), value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))


def write_lsp(root: Path, count: int = 4) -> np.ndarray:
    """x, y (MATLAB's, from 1) and hidden (1), shape (count, 14, 3); the second picture's person is tiny."""
    rng = np.random.default_rng(1)
    joints = np.concatenate([rng.uniform(20, 180, (count, 14, 2)), rng.random((count, 14, 1)) < 0.2], -1)
    joints[1, :, :2] = 50 + rng.uniform(0, 20, (14, 2))
    for number in range(count):
        write_picture(root / f"images/im{number + 1:04d}.jpg", value=40 + 10 * number)
    scipy.io.savemat(root / "joints.mat", {"joints": joints.transpose(2, 1, 0)})
    return joints


def write_lsp_extended(root: Path, high_resolution: bool) -> np.ndarray:
    """x, y (MATLAB's) and seen (1), shape (3, 14, 3); of the last picture only 5 joints are seen."""
    rng = np.random.default_rng(2)
    joints = np.concatenate([rng.uniform(20, 180, (3, 14, 2)), np.ones((3, 14, 1))], -1)
    joints[0, 3] = -700, -900, 0
    joints[2, 5:, 2] = 0
    for number in range(3):
        name = f"im{number + 1:05d}.png" if high_resolution else f"images/im{number + 1:05d}.jpg"
        write_picture(root / name)
    scipy.io.savemat(root / "joints.mat", {"joints": joints.transpose(1, 2, 0)})
    return joints


def struct_array(*elements: dict) -> np.ndarray:
    """A MATLAB struct array for ``scipy.io.savemat``."""
    keys = list(elements[0])
    array = np.empty((1, len(elements)), [(key, object) for key in keys])
    for place, element in enumerate(elements):
        array[0, place] = tuple(element[key] for key in keys)
    return array


def write_mpii(root: Path, people: list[dict]) -> None:
    """MPII's RELEASE from its re-format (``image``, ``joints``, ``joints_vis``): one picture each.

    As in the original: the flag of head and neck is empty, others are numbers or text; one picture of the test set and
    one without annotation follow.
    """
    pictures = []
    for person in people:
        points = []
        for joint, ((x, y), seen) in enumerate(zip(person["joints"], person["joints_vis"])):
            if x < 0:  # not labelled: left out
                continue
            flag = np.zeros((0, 0)) if joint in (8, 9) else (str(int(seen)) if joint % 2 else float(seen))
            points.append({"x": x, "y": y, "id": float(joint), "is_visible": flag})
        rect = {"scale": person["scale"], "annopoints": {"point": struct_array(*points)}, "x1": 1.0}
        nobody = {"scale": 1.0, "annopoints": np.zeros((0, 0)), "x1": 1.0}
        pictures.append({"image": {"name": person["image"]}, "annorect": struct_array(rect, nobody)})
    pictures.append({"image": {"name": "of_the_test_set.jpg"}, "annorect": struct_array({"x1": 1.0})})
    pictures.append({"image": {"name": "without_people.jpg"}, "annorect": np.zeros((0, 0))})
    for_training = np.array([[*([1] * len(people)), 0, 1]])
    release = {"annolist": struct_array(*pictures), "img_train": for_training, "version": 12}
    root.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(root / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})


def write_h36m(root: Path) -> dict[str, np.ndarray]:
    """Two cameras of one action per subject; returns 2D [px] and 3D [mm] of S9's first camera, (F, 32, 2 or 3)."""
    from cdflib.cdfwrite import CDF

    rng = np.random.default_rng(3)
    frames = 21
    arrays = {}
    for subject in ("S1", "S5", "S6", "S7", "S8", "S9", "S11"):
        for camera in ("54138969", "60457274"):
            stem = f"Walking 1.{camera}"
            positions = {
                "D2_Positions": rng.uniform(300, 700, (frames, 32, 2)),
                "D3_Positions_mono": rng.normal((0, 0, 5000), 500, (frames, 32, 3)),
            }
            for kind, values in positions.items():
                path = root / subject / "MyPoseFeatures" / kind / f"{stem}.cdf"
                path.parent.mkdir(parents=True, exist_ok=True)
                width = values.shape[1] * values.shape[2]
                with CDF(str(path), {"Encoding": 6}) as file:
                    spec = {
                        "Variable": "Pose", "Data_Type": 44, "Num_Elements": 1, "Rec_Vary": True,
                        "Var_Type": "zVariable", "Dim_Sizes": [frames, width],
                    }  # fmt: skip
                    file.write_var(spec, var_data=values.reshape(1, frames, width).astype(np.float32))
                arrays.setdefault(f"{subject} {camera}", {})[kind] = values.astype(np.float32).astype(np.float64)
            video = root / subject / "Videos" / f"{stem}.mp4"
            video.parent.mkdir(parents=True, exist_ok=True)
            if subject == "S9" and camera == "54138969":
                write_video(video, [np.full((1002, 1000, 3), 10 * frame, np.uint8) for frame in range(frames)], 50)
            else:
                video.touch()
    return arrays["S9 54138969"]


def write_mpi_inf_3dhp(root: Path) -> dict[str, np.ndarray]:
    """All sequences alike, 6 frames; S1/Seq1 camera 1 as images. Returns positions of a camera and a test sequence."""
    import h5py

    rng = np.random.default_rng(4)
    annot2, annot3 = rng.uniform(500, 1500, (6, 28, 2)), rng.normal((0, 0, 3500), 400, (6, 28, 3))
    cells = {"annot2": np.empty((14, 1), object), "annot3": np.empty((14, 1), object)}
    for camera in range(14):
        cells["annot2"][camera, 0] = annot2.reshape(6, 56) + camera
        cells["annot3"][camera, 0] = annot3.reshape(6, 84) + camera
    for subject in range(1, 9):
        for take in (1, 2):
            folder = root / f"S{subject}/Seq{take}"
            (folder / "imageSequence").mkdir(parents=True)
            scipy.io.savemat(folder / "annot.mat", cells)
            for camera in (0, 1, 2, 4, 5, 6, 7, 8):
                if (subject, take, camera) != (1, 1, 1):
                    (folder / f"imageSequence/video_{camera}.avi").touch()
    for frame in range(6):
        write_picture(root / f"S1/Seq1/video_1/frame_{frame + 1:06d}.jpg", (2048, 2048), value=30 + frame)
    test2, test3 = rng.uniform(300, 900, (5, 1, 17, 2)), rng.normal(0, 400, (5, 1, 17, 3))
    for number in range(1, 7):
        folder = root / f"mpi_inf_3dhp_test_set/TS{number}"
        for frame in (1, 2, 4):
            size = (2048, 2048) if number < 5 else (1920, 1080)
            write_picture(folder / f"imageSequence/img_{frame + 1:06d}.jpg", size)
        with h5py.File(folder / "annot_data.mat", "w") as file:
            file["annot2"], file["annot3"] = test2, test3
            file["valid_frame"] = np.array([[0], [1], [1], [0], [1]])
    return {"annot2": annot2, "annot3": annot3, "test2": test2[:, 0], "test3": test3[:, 0]}


class Python2Pickler(pickle._Pickler):
    """Writes arrays and text like Python 2, whose pickles 3DPW contains."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, text: bytes | str) -> None:
        data = text if isinstance(text, bytes) else text.encode("latin1")
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_string


@torch.no_grad()
def moving_body(body, frames: int, seed: int) -> dict[str, np.ndarray]:
    """A body in motion in its own axes: ``poses`` (T, 24, 3), ``betas`` (10,), ``joints`` (T, 44, 3) without transl."""
    rng = np.random.default_rng(seed)
    poses = 0.3 * rng.normal(size=(24, 3)) + 0.2 * rng.normal(size=(24, 3)) * np.linspace(0, 1, frames)[:, None, None]
    betas = rng.normal(size=10)
    rotmat = axis_angle_to_matrix(torch.from_numpy(poses)).float()
    joints = body(torch.from_numpy(betas).float().expand(frames, 10), rotmat).joints.double().numpy()
    return {"poses": poses, "betas": betas, "joints": joints}


def write_pw3d(root: Path, body, frames: int = 8) -> dict:
    """One test sequence of two people in front of a moving camera; person 0's frame 3 has no valid camera."""
    rng = np.random.default_rng(5)
    people = [moving_body(body, frames, seed) for seed in (6, 7)]
    transl = [rng.normal(size=(1, 3)) + np.linspace(0, 0.1, frames)[:, None] for _ in people]
    extrinsics = np.tile(np.eye(4), (frames, 1, 1))
    extrinsics[:, :3, :3] = Rotation.from_rotvec([[np.pi + 0.01 * f, 0.02 * f, 0] for f in range(frames)]).as_matrix()
    extrinsics[:, :3, 3] = [0.1, 0.2, 6.0]
    valid = np.ones((2, frames))
    valid[0, 3] = 0
    detected = rng.uniform(10, 200, (2, frames, 3, 18))
    detected[:, :, 2] = rng.random((2, frames, 18)) < 0.8
    content = {
        "sequence": "downtown_walk_00",
        "poses": [person["poses"].reshape(frames, 72) for person in people],
        "betas": [person["betas"] for person in people],
        "trans": transl,
        "jointPositions": [(p["joints"][:, :24] + t[:, None]).reshape(frames, 72) for p, t in zip(people, transl)],
        "poses2d": list(detected),
        "cam_poses": extrinsics,
        "cam_intrinsics": np.array([[200.0, 0, 119.5], [0, 200, 99.5], [0, 0, 1]]),
        "campose_valid": list(valid),
        "genders": ["m", "f"],
    }
    path = root / "sequenceFiles/test/downtown_walk_00.pkl"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump(content)
    for frame in range(frames):
        write_picture(root / f"imageFiles/downtown_walk_00/image_{frame:05d}.jpg", value=20 + 10 * frame)
    return {**content, "people": people}


def write_emdb(root: Path, body, frames: int = 8) -> dict:
    """One sequence in both selections and one only in EMDB 1; frame 3 is not good. Returns the first."""
    rng = np.random.default_rng(12)
    extrinsics = np.tile(np.eye(4), (frames, 1, 1))
    extrinsics[:, :3, :3] = Rotation.from_rotvec([[np.pi + 0.01 * f, 0.02 * f, 0] for f in range(frames)]).as_matrix()
    extrinsics[:, :3, 3] = [0.1, 0.2, 6.0]
    found = {}
    for name, selections in (("09_walk", (True, True)), ("10_turn", (True, False))):
        person = moving_body(body, frames, 13)
        transl = rng.normal(size=3) + np.linspace([0, 0, 0], [0.4, 0, 0.1], frames)
        good = np.ones(frames, bool)
        good[3] = False
        content = {
            "gender": "female", "name": f"P0_{name}", "emdb1": selections[0], "emdb2": selections[1],
            "n_frames": frames, "good_frames_mask": good,
            "camera": {
                "intrinsics": np.array([[200.0, 0, 119.5], [0, 200, 99.5], [0, 0, 1]]), "extrinsics": extrinsics,
                "width": 240, "height": 200,
            },
            "smpl": {
                "poses_root": person["poses"][:, 0], "poses_body": person["poses"][:, 1:].reshape(frames, 69),
                "trans": transl, "betas": person["betas"],
            },
            "kp2d": np.zeros((frames, 24, 2)), "bboxes": {"bboxes": np.zeros((frames, 4)), "invalid_idxs": []},
        }  # fmt: skip
        path = root / "P0" / name / f"P0_{name}_data.pkl"
        path.parent.mkdir(parents=True)
        path.write_bytes(pickle.dumps(content, protocol=4))
        for frame in range(frames):
            write_picture(path.parent / f"images/{frame:05d}.jpg", value=20 + 10 * frame)
        found[name] = {**content, "joints": person["joints"] + transl[:, None]}
    return found["09_walk"]


def write_bedlam(root: Path, rows: int = 5) -> dict[str, np.ndarray]:
    """A scene of images, one of which is missing, and a close-up scene; returns the first's annotation."""
    rng = np.random.default_rng(14)
    for scene in ("20221010_3_1000_batch01hand_6fps", "20221013_3_250_batch01hand_orbit_closeup_6fps"):
        arrays = {
            "imgname": np.array([f"seq_00000{row}/seq_00000{row}_0000.png" for row in range(rows)]),
            "pose_cam": rng.normal(0, 0.5, (rows, 165)), "shape": rng.normal(size=(rows, 11)),
            "trans_cam": rng.normal(size=(rows, 3)), "cam_ext": np.tile(np.eye(4), (rows, 1, 1)),
            "cam_int": np.tile(np.diag([500.0, 500, 1]), (rows, 1, 1)), "gtkps": rng.uniform(20, 180, (rows, 127, 2)),
            "gender": np.array(["neutral"] * rows, object),
        }  # fmt: skip
        arrays["cam_ext"][:, :3, 3] = [0.1, 0.2, 7.0]
        arrays["gtkps"][0, 7] = [-5.0, 50.0]
        (root / "training_labels").mkdir(parents=True, exist_ok=True)
        np.savez(root / "training_labels" / f"{scene}.npz", **arrays)
        for name in arrays["imgname"][:-1]:
            write_picture(root / "training_images" / scene / "png" / name)
    return dict(np.load(root / "training_labels/20221010_3_1000_batch01hand_6fps.npz", allow_pickle=True))


def write_surreal(root: Path, body, clips: int = 3, frames: int = 6) -> list[dict]:
    """Training clips whose people are the open body; renderings are mirrored, as in the set."""
    rng = np.random.default_rng(8)
    written = []
    for clip in range(clips):
        person = moving_body(body, frames, 9 + clip)
        turn = rng.uniform(-3, 3)
        world = Rotation.from_euler("x", np.pi / 2).as_matrix() @ Rotation.from_rotvec([0, 0, turn]).as_matrix()
        # SMPL rotates about its pelvis: relative to it, rotating the root rotates all joints.
        joints = (person["joints"][:, :24] - person["joints"][:, :1]) @ world.T + 0.2
        place = np.array([7.0, -0.2, 0.1])
        folder = root / "train/run0/01_01"
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"01_01_c{clip + 1:04d}"
        scipy.io.savemat(
            folder / f"{stem}_info.mat",
            {
                "camLoc": place.reshape(3, 1), "gender": np.full((frames, 1), clip % 2, np.uint8),
                "joints3D": joints.transpose(2, 1, 0), "joints2D": np.zeros((2, 24, frames)),
                "pose": person["poses"].reshape(frames, 72).T, "shape": np.tile(person["betas"][:, None], frames),
                "zrot": np.full((frames, 1), turn),
            },
        )  # fmt: skip
        write_video(
            folder / f"{stem}.mp4", [np.full((240, 320, 3), 20 * frame, np.uint8) for frame in range(frames)], 50
        )
        written.append({**person, "joints_world": joints, "place": place})
    return written


def write_amass(root: Path) -> np.ndarray:
    """One motion each of a training, a validation and a test subset, 120 frames/s; SMPL-H poses (13, 156)."""
    poses = np.random.default_rng(10).normal(0, 0.3, (13, 156))
    for subset in ("CMU", "SFU", "SSM_synced"):
        folder = root / subset / "01"
        folder.mkdir(parents=True)
        np.savez(
            folder / "01_01_poses.npz", poses=poses, trans=np.ones((13, 3)), betas=np.arange(16.0), gender="female",
            mocap_framerate=120.0, dmpls=np.zeros((13, 8)),
        )  # fmt: skip
    return poses


def write_ucf101(root: Path) -> list[str]:
    """Three videos of two actions."""
    names = [
        f"{action}/v_{action}_g01_c{clip:02d}.avi" for action, clip in (("Archery", 1), ("Archery", 2), ("Surf", 1))
    ]
    for name in names:
        path = root / "UCF-101" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    for number in (1, 2, 3):
        (lists / f"trainlist{number:02d}.txt").write_text("".join(f"{name} 1\n" for name in names[:2]))
        (lists / f"testlist{number:02d}.txt").write_text(f"{names[2]}\n")
    return names


def write_samples(root: Path) -> None:
    """``coco/`` and ``mpii/`` like the shared samples of COCO and MPII, with people at random positions."""
    rng = np.random.default_rng(6)
    names = "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    names += "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
    sizes = {785: (640, 425), 40083: (500, 333), 196141: (640, 429), 197388: (640, 392)}
    pictures = [{"id": k, "file_name": f"{k:012d}.jpg", "width": w, "height": h} for k, (w, h) in sizes.items()]
    people = []
    for number, (picture, (width, height)) in enumerate((k, size) for k, size in sizes.items() for _ in range(3)):
        corner, size = rng.uniform(0, 0.4, 2) * (width, height), rng.uniform(0.4, 0.6, 2) * (width, height)
        seen = rng.choice([0, 1, 2], 17, p=[0.1, 0.1, 0.8]) * (number != 5)  # one person has no keypoints
        places = np.rint(corner + rng.uniform(0, 1, (17, 2)) * size) * (seen > 0)[:, None]
        keypoints = np.concatenate([places, seen[:, None]], 1).astype(int).ravel().tolist()
        people.append({
            "id": number + 1, "image_id": picture, "category_id": 1, "iscrowd": 0, "keypoints": keypoints,
            "num_keypoints": int((seen > 0).sum()), "bbox": [*corner.tolist(), *size.tolist()],
            "area": float(size.prod()),
        })  # fmt: skip
    for picture in pictures:
        write_picture(root / "coco" / picture["file_name"], (picture["width"], picture["height"]))
    categories = [{"id": 1, "name": "person", "keypoints": names.split()}]
    content = {"images": pictures, "annotations": people, "categories": categories}
    (root / "coco/test_coco.json").write_text(json.dumps(content))

    people = []
    for name in ("005808361", "052475643", "051423444", "004645041", "060754485"):
        write_picture(root / f"mpii/{name}.jpg", (1280, 720))
        joints = rng.uniform(100, 700, (16, 2))
        people.append({
            "image": f"{name}.jpg", "joints": joints.tolist(), "joints_vis": [1] * 16, "scale": 3.2,
            "center": joints.mean(0).tolist(),
        })  # fmt: skip
    (root / "mpii/test_mpii.json").write_text(json.dumps(people))


def write_coco(root: Path, samples: Path) -> dict:
    """COCO's samples in its own layout, as val2017."""
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    content = (samples / "test_coco.json").read_text()
    (root / "annotations/person_keypoints_val2017.json").write_text(content)
    for picture in samples.glob("*.jpg"):
        (root / "val2017" / picture.name).write_bytes(picture.read_bytes())
    return json.loads(content)
