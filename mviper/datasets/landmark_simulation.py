"""Clips of a detector's landmarks, simulated from motion capture: training data without pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.utils.data import Dataset

from mviper.body import FITTED, KEYPOINTS, LANDMARKS, SMPL, AttachedPoints, axis_angle_to_matrix, calibrated_points
from mviper.config import command
from mviper.datasets.crop import crop_squares, in_plane_matrix, to_crop_units
from mviper.errors import ConfigError, MissingDataError
from mviper.files import find_files
from mviper.registry import DATASETS, MODELS
from mviper.sample import BodySample, EncodedClip
from mviper.structures import Motion

_LIMBS = (("shoulder", "elbow", "wrist", "pinky", "index", "thumb"), ("knee", "ankle", "heel", "foot_index"))
#: From the world's axes (z up) to those of a level camera that looks along +y: x right, y down, z forward.
_LEVEL = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
#: Frames posed at once.
_POSED = 1024


@DATASETS.register_module()
class SimulatedLandmarks(Dataset):
    """Where BlazePose would find its landmarks on people that move as in files of motion capture.

    A clip is seen by a random camera at a random speed, forwards or backwards in time. Landmarks lie on the body where
    ``tools/calibrate_detector.py`` found them; their errors have the spread measured there, are partly constant over
    the clip and otherwise change slowly. Now and then a limb is hidden, wrong or exchanged with the other one.

    Args:
        data_root: Folder of the motions, see ``tools/retarget.py``.
        encoder: Config of the encoder that they stand in for, a ``BlazePoseEncoder`` of landmarks alone.
        body_model: Config of the body.
        files: Patterns of files in the folder, as ``Motion`` saves them.
        clip_length: T.
        length: Number of clips in one pass.
        rates: Range of the frame rate [1/s].
        elevation: Range of the camera's elevation [rad]; like roll, multiplied by a uniform factor in [0, 1].
        roll: Largest tilt to either side [rad].
        distance: Range of the distance, log-uniform [m].
        noise: Factor of the measured errors.
        mistakes: Probability that something is wrong with a limb during a part of a clip.
        betas: Standard deviation of the shape, at most 2.5 of them.

    Raises:
        MissingDataError: No motions; the message gives the command that makes some.
        ConfigError: The encoder needs pictures.
    """

    def __init__(
        self,
        data_root: str,
        encoder: dict,
        body_model: dict,
        files: Sequence[str] = ("*.npz",),
        clip_length: int = 16,
        length: int = 20_000,
        rates: tuple[float, float] = (10.0, 30.0),
        elevation: tuple[float, float] = (-0.35, 0.8),
        roll: float = 0.3,
        distance: tuple[float, float] = (1.8, 8.0),
        noise: float = 1.0,
        mistakes: float = 0.15,
        betas: float = 1.0,
    ) -> None:
        root = Path(data_root).expanduser()
        paths = list(find_files(root, *files)) if root.is_dir() else []
        if not paths:
            make = command("retarget", "configs/volume/painted.py", "--splits", "train", "--out", root.parent)
            raise MissingDataError(f"{root}: no motions; make some: {make}")
        self.encoder: str = getattr(MODELS.build(encoder), "identity", None) or ""
        if not self.encoder:
            raise ConfigError("SimulatedLandmarks: encoder must have features='landmarks' and maps='landmarks'")
        body: SMPL = MODELS.build(body_model)
        self.clip_length, self._length, self.rates = clip_length, length, rates
        self.elevation, self.roll, self.distance = elevation, roll, distance
        self.mistakes, self._body_id = mistakes, body.body_model_id
        points, spread, self.constant, _ = calibrated_points(body)
        self.spread = noise * spread.numpy()
        rng = np.random.default_rng(0)
        motions = [Motion.load(path) for path in paths]
        self.fps = np.array([motion.fps for motion in motions])
        self.first = np.concatenate([[0], np.cumsum([len(motion) for motion in motions])])
        poses = torch.from_numpy(np.concatenate([motion.poses for motion in motions])).float()
        self.betas = np.clip(betas * rng.normal(size=(len(motions), body.num_betas)), -2.5, 2.5).astype(np.float32)
        shape = torch.from_numpy(self.betas).repeat_interleave(torch.from_numpy(np.diff(self.first)), 0)
        self.poses = poses
        self.joints, self.landmarks = _posed(body, points, poses, shape)

    @property
    def body_model(self) -> str:
        """The body that the betas belong to."""
        return self._body_id

    @property
    def metainfo(self) -> dict:
        """As for other data sets."""
        return {
            "dataset": "simulated landmarks", "keypoints": KEYPOINTS, "body_model": self.body_model,
            "views": len(self.fps), "frames": len(self.poses),
        }  # fmt: skip

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict:
        """A random clip; drawn with numpy's global generator, which loaders seed."""
        rng = np.random.default_rng(np.random.randint(2**32, dtype=np.uint64))
        number = int(rng.integers(len(self.fps)))
        rows = self._rows(number, rng)
        rotmat = axis_angle_to_matrix(self.poses[rows]).double().numpy()
        view = self._view(rng)
        joints, landmarks = (values[rows].astype(float) @ view.T for values in (self.joints, self.landmarks))
        rotmat[:, 0] = view @ rotmat[:, 0]
        root = joints[:, :1]
        joints, landmarks = joints - root, landmarks - root
        away = np.exp(rng.uniform(*np.log(self.distance)))
        flat, seen = (points[..., :2] / (1 + points[..., 2:] / away).clip(0.2) for points in (joints, landmarks))
        boxes, turn = crop_squares(flat, alignment="torso")
        boxes[:, :2] += rng.normal(0, 0.02, 2) * boxes[:, 2:]
        boxes[:, 2] *= 1.15 ** rng.uniform(-1, 1)
        turn = turn + rng.normal(0, 0.08)
        seen, visibility = self._detected(seen, rng)
        places = to_crop_units(seen, boxes, turn)
        turned = in_plane_matrix(turn)
        rotmat[:, 0] = turned @ rotmat[:, 0]
        vectors = np.concatenate([places, visibility[..., None]], -1).astype(np.float32)  # as landmark_vectors has them
        ones = np.ones((*flat.shape[:2], 1))
        fields = {
            "keypoints2d": np.concatenate([to_crop_units(flat, boxes, turn), ones], -1),
            "keypoints3d": np.concatenate([joints @ turned.transpose(0, 2, 1), ones], -1),
            "smpl_rotmat": rotmat,
            "betas": np.repeat(self.betas[number][None], len(rows), 0),
            "has_keypoints3d": 1.0, "has_smpl": 1.0, "has_betas": 1.0,
        }  # fmt: skip
        sample = BodySample(
            metainfo={
                "sequence": f"motion {number}", "frame_indices": rows - self.first[number], "video_path": "",
                "crop": boxes, "crop_rotation": turn, "crop_flip": False,
            }
        )  # fmt: skip
        for name, value in fields.items():
            sample.set_field(torch.from_numpy(np.array(value, np.float32)), name)
        vectors = torch.from_numpy(vectors)
        return {"inputs": EncodedClip(vectors.flatten(1), vectors, self.encoder), "data_sample": sample}

    def annotation_samples(self, frame_step: int = 1) -> Iterator[BodySample]:
        """Yields a thousand clips' annotation."""
        for index in range(1000):
            yield self[index]["data_sample"]

    def _rows(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Frames of a clip: its motion at a random rate, forwards or backwards; short ones repeat the last frame."""
        count = int(self.first[number + 1] - self.first[number])
        step = self.fps[number] / np.exp(rng.uniform(*np.log(self.rates)))
        steps = np.round(np.arange(self.clip_length) * step).astype(int)
        start = int(rng.integers(max(1, count - steps[-1])))
        rows = np.minimum(start + steps, count - 1)
        return self.first[number] + (rows[::-1] if rng.random() < 0.5 else rows)

    def _view(self, rng: np.random.Generator) -> np.ndarray:
        """Rotation from the world to a random camera, (3, 3)."""
        azimuth = rng.uniform(0, 2 * math.pi)
        elevation = rng.uniform(*self.elevation) * rng.random()
        roll = rng.uniform(-self.roll, self.roll) * rng.random()
        cos, sin = math.cos(elevation), math.sin(elevation)
        tilt = np.array([[1.0, 0, 0], [0, cos, -sin], [0, sin, cos]])
        return in_plane_matrix(roll) @ tilt @ _LEVEL @ in_plane_matrix(azimuth)

    def _detected(self, places: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (T, K, 2) [m] as a detector would give them, and their visibility (T, K)."""
        frames, count, _ = places.shape
        changing = gaussian_filter1d(rng.normal(size=(frames + 8, count, 2)), 1.0, axis=0)[4:-4]
        changing /= 0.53  # the filter's effect on the standard deviation
        error = math.sqrt(self.constant) * rng.normal(size=(1, count, 2)) + math.sqrt(1 - self.constant) * changing
        visibility = rng.uniform(0.85, 1.0, (frames, count))
        factor, places = np.ones((frames, count)), places.copy()
        for limb in _LIMBS:
            columns = [np.array([_column(f"{side}_{name}") for name in limb]) for side in ("left", "right")]
            for own, other in (columns, columns[::-1]):
                if rng.random() < self.mistakes:
                    start = int(rng.integers(frames))
                    part = slice(start, start + int(rng.integers(1, frames + 1)))
                    kind = rng.random()
                    if kind < 0.5:  # hidden: less exact, and known to be
                        factor[part, own] = rng.uniform(1.5, 4)
                        visibility[part, own] = rng.uniform(0.1, 0.8)
                    elif kind < 0.75:  # taken for something else
                        places[part, own] += rng.normal(0, 0.1, 2)
                        visibility[part, own] = rng.uniform(0.3, 1.0)
                    else:
                        places[part, own], places[part, other] = places[part, other], places[part, own].copy()
        return places + error * (factor * self.spread)[..., None], visibility


def _column(name: str) -> int:
    return FITTED.index(LANDMARKS.index(name))


@torch.no_grad()
def _posed(body: SMPL, points: AttachedPoints, poses: Tensor, betas: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, 44, 3) and landmarks (N, K, 3) [m] of bodies at the origin."""
    joints, landmarks = [], []
    for pose, shape in zip(poses.split(_POSED), betas.split(_POSED)):
        rotmat, origin = axis_angle_to_matrix(pose), torch.zeros(len(pose), 3)
        joints.append(body(shape, rotmat, return_vertices=False).joints)
        landmarks.append(points.posed(shape, rotmat, origin))
    return torch.cat(joints).numpy(), torch.cat(landmarks).numpy()
