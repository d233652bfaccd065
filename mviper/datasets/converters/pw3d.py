"""3D Poses in the Wild (von Marcard et al., ECCV 2018)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.datasets.converters.base import HumanDataConverter, check_numbers, check_shape, inside
from mviper.datasets.converters.conventions import OPENPOSE_18
from mviper.errors import FileFormatError
from mviper.files import restricted_unpickle
from mviper.registry import DATA_CONVERTERS
from mviper.structures import KEYPOINTS, SMPL_JOINTS, Camera, HumanData, is_rotation

#: Largest offset of the principal point from the middle of the pictures, as a share of their sides.
_OFF_CENTRE = 0.1

_SPLITS = {"train": "train", "val": "validation", "test": "test"}


@DATA_CONVERTERS.register_module()
class PW3DConverter(HumanDataConverter):
    """3DPW: pictures at 30 frames/s with SMPL parameters and a moving camera; one file for each tracked person.

    3D joints are the set's own ``jointPositions`` (SMPL's 24, of the person's body), moved into the camera; SMPL's root
    and translation likewise. 2D joints are their projections, and OpenPose's detections (``poses2d``) for the face and
    the surface hips. With ``body_models`` the person's body also gives the 3D surface joints. Frames whose camera pose
    is marked invalid are left out. The set does not mark hidden joints.
    """

    name = "pw3d"
    splits = ("train", "val", "test")
    licence = "research, by registration, no redistribution"
    source = "https://virtualhumans.mpi-inf.mpg.de/3DPW (imageFiles.zip, sequenceFiles.zip)"
    layout = """  ROOT/sequenceFiles/{train,validation,test}/*.pkl
  ROOT/imageFiles/downtown_arguing_00/image_00000.jpg ..."""

    def sequences(self, split: str) -> list[str]:
        """``<sequence>_<person>``."""
        paths = self.find(f"sequenceFiles/{_SPLITS[split]}/*.pkl")
        there = self.present([f"imageFiles/{path.stem}" for path in paths], "sequences' folders of pictures")
        return [
            f"{path.stem}_{person}" for path in itertools.compress(paths, there) for person in range(self._people(path))
        ]

    def read(self, split: str, sequence: str) -> HumanData:
        """One person of one sequence."""
        stem, _, number = sequence.rpartition("_")
        path = self.root / "sequenceFiles" / _SPLITS[split] / f"{stem}.pkl"
        content, person = self._load(path), int(number)
        try:
            poses, transl, joints, valid = (
                np.asarray(content[key][person]) for key in ("poses", "trans", "jointPositions", "campose_valid")
            )
            detected = np.asarray(content["poses2d"][person], np.float64)
            extrinsics = np.asarray(content["cam_poses"], np.float64)
            K = np.asarray(content["cam_intrinsics"], np.float64)
            betas, gender = np.asarray(content["betas"][person], np.float64).ravel()[:10], content["genders"][person]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise FileFormatError(path, f"not a sequence file of 3DPW: {error!r}") from error
        count = len(poses)
        for key, array, shape in (
            ("poses", poses, (count, 72)), ("trans", transl, (count, 3)), ("jointPositions", joints, (count, 72)),
            ("campose_valid", valid, (count,)), ("poses2d", detected, (count, 3, 18)),
            ("cam_poses", extrinsics, (count, 4, 4)), ("cam_intrinsics", K, (3, 3)), ("betas", betas, (10,)),
        ):  # fmt: skip
            check_shape(path, key, array, shape)
        check_numbers(path, "betas", betas, (10,))
        check_numbers(path, "cam_intrinsics", K, (3, 3))
        if gender not in ("m", "f"):
            raise FileFormatError(path, f"gender {gender!r} of person {person}, expected 'm' or 'f'")

        frames = np.flatnonzero(valid > 0)
        self.dropped["without a valid camera"] += count - len(frames)
        frames = frames[self.thinned(len(frames), self.frame_step(split, 30.0))]
        names = [f"imageFiles/{stem}/image_{frame:05d}.jpg" for frame in frames]
        there = self.rows_with_pictures(names)
        frames, names = frames[there], list(itertools.compress(names, there))
        for key, array in (("poses", poses), ("trans", transl), ("jointPositions", joints), ("cam_poses", extrinsics)):
            check_numbers(path, key, array[frames], (len(frames), *array.shape[1:]))
        R, t = extrinsics[frames, :3, :3], extrinsics[frames, :3, 3]
        if not is_rotation(R):
            raise FileFormatError(path, "'cam_poses' contains a matrix that is not a rotation")
        joints = joints[frames].reshape(-1, 24, 3).astype(np.float64)
        in_camera = np.einsum("tij,tnj->tni", R, joints) + t[:, None]
        poses = poses[frames].reshape(-1, 24, 3).astype(np.float64)
        poses[:, 0] = Rotation.from_matrix(R @ Rotation.from_rotvec(poses[:, 0]).as_matrix()).as_rotvec()
        pelvis = joints[:, 0] - transl[frames]  # of the rest pose: SMPL rotates a body about it
        own_betas = np.tile(betas, (len(frames), 1))
        stored_betas, body_model = self.bodies.betas(own_betas, gender)

        keypoints3d = np.zeros((len(frames), len(KEYPOINTS), 4))
        keypoints3d[:, : len(SMPL_JOINTS)] = np.concatenate([in_camera, np.ones((*in_camera.shape[:2], 1))], -1)
        surface = self.bodies.joints(gender, own_betas, poses)
        if surface is not None:
            keypoints3d[:, len(SMPL_JOINTS) :, :3] = surface[:, len(SMPL_JOINTS) :] + in_camera[:, :1]
            keypoints3d[:, len(SMPL_JOINTS) :, 3] = 1
        size = self.picture_sizes(names[:1])[0] if names else np.array([1080, 1920])
        if (np.abs(K[:2, 2] - size / 2) > _OFF_CENTRE * size).any():
            raise FileFormatError(
                self.root / (names or [stem])[0],
                f"it has {size[0]} x {size[1]} pixels, the middle of its camera's is at {K[:2, 2].round().tolist()}: "
                "it was scaled, cropped or turned; unpack the originals",
            )
        return HumanData(
            keypoints2d=(keypoints2d := _keypoints2d(keypoints3d, K, detected[frames])),
            keypoints3d=keypoints3d,
            bbox_xywh=np.zeros((len(frames), 5)),
            smpl={
                "global_orient": poses[:, 0],
                "body_pose": poses[:, 1:],
                "betas": stored_betas,
                "transl": in_camera[:, 0] - pelvis,
            },
            body_model=body_model,
            visibility=(inside(keypoints2d, size) & (keypoints2d[..., 2] > 0)).astype(np.uint8),
            image_path=names,
            frame_idx=frames,
            camera=Camera(K, R, t, int(size[0]), int(size[1])),
            meta={
                "gender": [gender] * len(frames),
                "width": int(size[0]),
                "height": int(size[1]),
                "frame_step": self.frame_step(split, 30.0),
            },
        )

    def _people(self, path: Path) -> int:
        try:
            return len(self._load(path)["poses"])
        except FileFormatError:
            return 1  # reading it reports the error

    @staticmethod
    def _load(path: Path) -> dict:
        try:
            with path.open("rb") as file:
                content = restricted_unpickle(file, path, encoding="latin1")
        except OSError as error:
            raise FileFormatError(path, f"cannot be opened: {error.strerror}") from error
        if not isinstance(content, dict) or not isinstance(content.get("poses"), list | tuple):
            raise FileFormatError(path, "not a sequence file of 3DPW: it has no 'poses' of people")
        return content


def _keypoints2d(keypoints3d: np.ndarray, K: np.ndarray, detected: np.ndarray) -> np.ndarray:
    """Projections of the 3D joints, and OpenPose's detections of the other joints; (N, J, 3)."""
    points, found = detected.transpose(0, 2, 1), np.zeros((*keypoints3d.shape[:2], 3))
    for place, name in enumerate(OPENPOSE_18):
        found[:, KEYPOINTS.index(name)] = points[:, place]
    found[..., 2] = found[..., 2] > 0
    image = keypoints3d[..., :3] @ K.T
    with np.errstate(divide="ignore", invalid="ignore"):
        image = image[..., :2] / image[..., 2:]
    projected = keypoints3d[..., 3:] > 0
    return np.where(projected, np.concatenate([image, projected], -1), found * (found[..., 2:] > 0))
