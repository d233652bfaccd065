"""SURREAL (Varol et al., CVPR 2017)."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial.transform import Rotation

from mviper.datasets.converters.base import HumanDataConverter, check_numbers, inside, with_confidence
from mviper.errors import FileFormatError
from mviper.registry import DATA_CONVERTERS
from mviper.structures import SMPL_JOINTS, Camera, HumanData, mirror_indices

_WIDTH, _HEIGHT = 320, 240

#: f = 60 mm on a sensor of 32 mm over 320 pixels; pixel (0, 0) is the centre of the first one.
_K = np.array([[600.0, 0.0, (_WIDTH - 1) / 2], [0.0, 600.0, (_HEIGHT - 1) / 2], [0.0, 0.0, 1.0]])

#: World to OpenCV camera. Its determinant is -1: SURREAL's pictures show mirror images (its camera's Blender matrix is
#: a reflection), so left and right of the people in them are swapped relative to the annotation.
_WORLD_TO_CAMERA = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])

_MIRROR = mirror_indices(SMPL_JOINTS)
_SAGITTAL = np.diag([-1.0, 1.0, 1.0])


@DATA_CONVERTERS.register_module()
class SURREALConverter(HumanDataConverter):
    """SURREAL: rendered people with painted clothes, 320 x 240, 30 frames/s, clips of up to 100 frames.

    Annotation is transformed to the camera and mirrored like the pictures: joints change sides, and pose and root are
    those of the mirrored body, which for SMPL (nearly symmetric) has the same betas. 2D joints are projected from 3D
    (the set's own are rounded to whole pixels). Hidden joints are not marked.
    """

    name = "surreal"
    splits = ("train", "val", "test")
    licence = "research, by application, no redistribution"
    source = "https://www.di.ens.fr/willow/research/surreal/data (the .mp4 and _info.mat files)"
    layout = """  ROOT/train/run0/01_01/01_01_c0001.mp4
  ROOT/train/run0/01_01/01_01_c0001_info.mat ...
  and run1, run2, val, test alike                (ROOT is SURREAL/data/cmu)"""

    def sequences(self, split: str) -> list[str]:
        """``<run>__<clip>``."""
        infos = self.find(f"{split}/run[0-2]/*/*_info.mat")
        clips = [str(path.relative_to(self.root)).removesuffix("_info.mat") for path in infos]
        there = self.present([f"{clip}.mp4" for clip in clips], "videos")
        return [clip.removeprefix(f"{split}/").replace("/", "__") for clip in itertools.compress(clips, there)]

    def read(self, split: str, sequence: str) -> HumanData:
        """One clip."""
        clip = f"{split}/{sequence.replace('__', '/')}"
        path = self.root / f"{clip}_info.mat"
        content = self.mats(
            path, dict.fromkeys(("camLoc", "gender", "joints3D", "pose", "shape", "zrot"))
        )  # fmt: skip
        # Clips of one frame come without their last axis.
        try:
            poses = content["pose"].reshape(72, -1).T.reshape(-1, 24, 3)
            betas = content["shape"].reshape(10, -1).T
            joints = content["joints3D"].reshape(3, 24, -1).transpose(2, 1, 0)
            gender = "m" if content["gender"].ravel()[0] == 1 else "f"
        except (ValueError, IndexError) as error:
            raise FileFormatError(path, f"not a clip of SURREAL: {error}") from error
        count = len(poses)
        poses, betas, joints, place, turn = (
            check_numbers(path, key, array, shape)
            for key, array, shape in (
                ("pose", poses, (count, 24, 3)), ("shape", betas, (count, 10)), ("joints3D", joints, (count, 24, 3)),
                ("camLoc", content["camLoc"].reshape(-1), (3,)), ("zrot", content["zrot"].reshape(-1), (count,)),
            )
        )  # fmt: skip
        step = self.frame_step(split, 30.0)
        frames = self.thinned(count, step)

        in_camera = ((joints[frames] - place) @ _WORLD_TO_CAMERA.T)[:, _MIRROR]
        rotmat = Rotation.from_rotvec(poses[frames].reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
        upright = Rotation.from_euler("x", 90, degrees=True) * Rotation.from_rotvec(
            turn[frames, None] * [0.0, 0.0, 1.0]
        )
        root = _WORLD_TO_CAMERA @ upright.as_matrix() @ rotmat[:, 0] @ _SAGITTAL
        rotmat = _SAGITTAL @ rotmat[:, _MIRROR] @ _SAGITTAL
        rotmat[:, 0] = root
        axis_angle = Rotation.from_matrix(rotmat.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 24, 3)
        stored_betas, body_model = self.bodies.betas(betas[frames], gender)

        image = in_camera @ _K.T
        keypoints2d = image[..., :2] / image[..., 2:]
        ones, zeros = np.ones(len(frames)), np.zeros((len(frames), 5))
        return HumanData(
            keypoints2d=with_confidence(keypoints2d),
            keypoints3d=with_confidence(in_camera),
            bbox_xywh=zeros,
            smpl={"global_orient": axis_angle[:, 0], "body_pose": axis_angle[:, 1:], "betas": stored_betas},
            body_model=body_model,
            visibility=inside(keypoints2d, (_WIDTH, _HEIGHT)).astype(np.uint8),
            image_path=[f"{clip}/{frame:06d}.jpg" for frame in frames],
            video_path=f"{clip}.mp4",
            frame_idx=frames,
            camera=Camera(
                _K,
                ones[:, None, None] * _WORLD_TO_CAMERA,
                ones[:, None] * (-_WORLD_TO_CAMERA @ place),
                _WIDTH,
                _HEIGHT,
            ),
            meta={"gender": [gender] * len(frames), "width": _WIDTH, "height": _HEIGHT, "frame_step": step},
            names=SMPL_JOINTS,
        )
