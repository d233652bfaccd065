"""EMDB, the Electromagnetic Database of Global 3D Human Pose and Shape in the Wild (Kaufmann et al., ICCV 2023)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mviper.datasets.converters.base import HumanDataConverter, check_numbers, check_shape, inside
from mviper.errors import FileFormatError, MissingDataError
from mviper.files import restricted_unpickle
from mviper.registry import DATA_CONVERTERS
from mviper.structures import KEYPOINTS, Camera, HumanData, is_rotation

_GENDERS = {"male": "m", "female": "f", "neutral": "n"}
_FPS = 30.0


@DATA_CONVERTERS.register_module()
class EMDBConverter(HumanDataConverter):
    """EMDB: pictures at 30 frames/s from a moving camera, with SMPL parameters in the world.

    The set holds no 3D joints: they come from SMPL's bodies, so ``body_models`` is needed. ``camera`` is in the true
    world frame, in which EMDB 2 is evaluated. Frames excluded by ``good_frames_mask`` are left out. Splits are the
    set's own selections: ``emdb1`` for poses in the camera, ``emdb2`` for motion in the world; some sequences are in
    both. The set does not mark hidden joints.
    """

    name = "emdb"
    splits = ("emdb1", "emdb2")
    licence = "research, by registration"
    source = "https://emdb.ait.ethz.ch (all parts of the participants)"
    layout = """  ROOT/P0/00_mvs_a/P0_00_mvs_a_data.pkl
  ROOT/P0/00_mvs_a/images/00000.jpg ..."""

    def sequences(self, split: str) -> list[str]:
        """``P0_00_mvs_a``."""
        paths = self.find("P*/*/*_data.pkl")
        there = self.present([f"{self._folder(path)}/images" for path in paths], "sequences' folders of pictures")
        stems = [path.name.removesuffix("_data.pkl") for path in itertools.compress(paths, there)]
        return [stem for stem, path in zip(stems, itertools.compress(paths, there)) if self._is_in(path, split)]

    def read(self, split: str, sequence: str) -> HumanData:
        """One sequence."""
        subject, _, name = sequence.partition("_")
        path = self.root / subject / name / f"{sequence}_data.pkl"
        content = self._load(path)
        try:
            gender, valid = str(content["gender"]), np.asarray(content["good_frames_mask"]).astype(bool)
            smpl, camera = content["smpl"], content["camera"]
            root, body, transl, betas = (
                np.asarray(smpl[key], np.float64) for key in ("poses_root", "poses_body", "trans", "betas")
            )
            K, extrinsics = (np.asarray(camera[key], np.float64) for key in ("intrinsics", "extrinsics"))
            width, height = int(camera["width"]), int(camera["height"])
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(path, f"not a sequence file of EMDB: {error!r}") from error
        count = len(root)
        for key, array, shape in (
            ("poses_root", root, (count, 3)), ("poses_body", body, (count, 69)), ("trans", transl, (count, 3)),
            ("betas", betas, (10,)), ("intrinsics", K, (3, 3)), ("extrinsics", extrinsics, (count, 4, 4)),
            ("good_frames_mask", valid, (count,)),
        ):  # fmt: skip
            check_shape(path, key, array, shape)
        if gender not in _GENDERS:
            raise FileFormatError(path, f"gender {gender!r}, expected one of {', '.join(_GENDERS)}")

        frames = np.flatnonzero(valid)
        self.dropped["marked as not good by the set"] += count - len(frames)
        frames = frames[self.thinned(len(frames), self.frame_step(split, _FPS))]
        names = [f"{subject}/{name}/images/{frame:05d}.jpg" for frame in frames]
        there = self.rows_with_pictures(names)
        frames, names = frames[there], list(itertools.compress(names, there))
        for key, array in (("poses_root", root), ("poses_body", body), ("trans", transl), ("extrinsics", extrinsics)):
            check_numbers(path, key, array[frames], (len(frames), *array.shape[1:]))
        R, t = extrinsics[frames, :3, :3], extrinsics[frames, :3, 3]
        if not is_rotation(R):
            raise FileFormatError(path, "'extrinsics' contains a matrix that is not a rotation")

        poses = np.concatenate([root[frames, None], body[frames].reshape(-1, 23, 3)], axis=1)
        poses[:, 0] = Rotation.from_matrix(R @ Rotation.from_rotvec(poses[:, 0]).as_matrix()).as_rotvec()
        own_betas = np.tile(betas, (len(frames), 1))
        letter = _GENDERS[gender]
        joints, model = self.bodies.joints(letter, own_betas, poses), self.bodies.of(letter)
        if joints is None or model is None:
            raise MissingDataError(
                f"{path}: EMDB has no 3D joints; they are computed with SMPL: --body-models must name the "
                "folder of SMPL_MALE.pkl, SMPL_FEMALE.pkl, SMPL_NEUTRAL.pkl (https://smpl.is.tue.mpg.de)"
            )
        pelvis = model.rest_joints(torch.from_numpy(betas[None]).float())[0, 0].double().numpy()
        in_camera = np.einsum("tij,tj->ti", R, transl[frames] + pelvis) + t
        keypoints3d = np.concatenate([joints + in_camera[:, None], np.ones((*joints.shape[:2], 1))], -1)
        image = keypoints3d[..., :3] @ K.T
        keypoints2d = np.concatenate([image[..., :2] / image[..., 2:], np.ones_like(image[..., :1])], -1)
        size = self.picture_sizes(names[:1])[0] if names else np.array([width, height])
        if tuple(size) != (width, height):
            raise FileFormatError(
                self.root / names[0],
                f"it has {size[0]} x {size[1]} pixels, its camera {width} x {height}: unpack the originals",
            )
        stored_betas, body_model = self.bodies.betas(own_betas, letter)
        return HumanData(
            keypoints2d=keypoints2d,
            keypoints3d=keypoints3d,
            bbox_xywh=np.zeros((len(frames), 5)),
            smpl={
                "global_orient": poses[:, 0],
                "body_pose": poses[:, 1:],
                "betas": stored_betas,
                "transl": in_camera - pelvis,
            },
            body_model=body_model,
            visibility=inside(keypoints2d, size).astype(np.uint8),
            image_path=names,
            frame_idx=frames,
            camera=Camera(K, R, t, width, height),
            meta={
                "gender": [letter] * len(frames),
                "width": width,
                "height": height,
                "frame_step": self.frame_step(split, _FPS),
            },
            names=KEYPOINTS,
        )

    def _folder(self, path: Path) -> str:
        return path.parent.relative_to(self.root).as_posix()

    def _is_in(self, path: Path, split: str) -> bool:
        try:
            return bool(self._load(path).get(split))
        except FileFormatError:
            return True  # reading it reports the error

    @staticmethod
    def _load(path: Path) -> dict:
        try:
            with path.open("rb") as file:
                content = restricted_unpickle(file, path)
        except OSError as error:
            raise FileFormatError(path, f"cannot be opened: {error.strerror}") from error
        if not isinstance(content, dict) or not isinstance(content.get("smpl"), dict):
            raise FileFormatError(path, "not a sequence file of EMDB: it has no 'smpl'")
        return content
