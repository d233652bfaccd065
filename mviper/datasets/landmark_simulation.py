"""Clips of a detector's landmarks, simulated from motion capture: training data without pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation
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
    ``tools/calibrate_detector.py`` found them. Their errors have the spread measured there, times a factor; part of an
    error lasts for the whole clip, part changes slowly, part from frame to frame. Now and then a limb is hidden, wrong
    or exchanged with the other one.

    Args:
        data_root: Folder of the motions, see ``tools/retarget.py``.
        encoder: Config of the encoder that they stand in for, a ``BlazePoseEncoder`` of landmarks alone.
        body_model: Config of the body.
        files: Patterns of files in the folder, as ``Motion`` saves them.
        clip_length: T.
        margin: Number of frames before and after a clip of which only the features are given, for a model's context.
        length: Number of clips in one pass.
        rates: Range of the frame rate [1/s].
        elevation: Range of the camera's elevation [rad]; like roll, multiplied by a uniform factor in [0, 1].
        roll: Largest tilt to either side [rad].
        distance: Range of the distance, log-uniform [m].
        noise: Range of the factor of the measured errors, drawn uniformly for each clip: detections are good in some
            pictures and poor in others.
        mistakes: Probability that something is wrong with a limb during a part of a clip.
        betas: Standard deviation of the shape, at most 2.5 of them.
        synthesis_config: Config that makes the motions, named in the message if they are missing.

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
        margin: int = 0,
        length: int = 20_000,
        rates: tuple[float, float] = (10.0, 30.0),
        elevation: tuple[float, float] = (-0.35, 0.8),
        roll: float = 0.3,
        distance: tuple[float, float] = (1.8, 8.0),
        noise: tuple[float, float] = (1.0, 1.0),
        mistakes: float = 0.15,
        betas: float = 1.0,
        synthesis_config: str = "configs/volume/painted.py",
    ) -> None:
        root = Path(data_root).expanduser()
        paths = list(find_files(root, *files)) if root.is_dir() else []
        if not paths:
            make = command("retarget", synthesis_config, "--splits", "train", "--out", root.parent)
            raise MissingDataError(f"{root}: no motions; make some: {make}")
        self.encoder: str = getattr(MODELS.build(encoder), "identity", None) or ""
        if not self.encoder:
            raise ConfigError("SimulatedLandmarks: encoder must have features='landmarks' and maps='landmarks'")
        body: SMPL = MODELS.build(body_model)
        self.clip_length, self.margin, self._length, self.rates = clip_length, margin, length, rates
        self.elevation, self.roll, self.distance = elevation, roll, distance
        self.noise, self.mistakes, self._body_id = noise, mistakes, body.body_model_id
        points, spread, self.constant, _ = calibrated_points(body)
        self.spread = spread.numpy()
        rng = np.random.default_rng(0)
        motions = [Motion.load(path) for path in paths]
        self.fps = np.array([motion.fps for motion in motions])
        self.first = np.concatenate([[0], np.cumsum([len(motion) for motion in motions])])
        poses = torch.from_numpy(np.concatenate([motion.poses for motion in motions])).float()
        self.betas = np.clip(betas * rng.normal(size=(len(motions), body.num_betas)), -2.5, 2.5).astype(np.float32)
        shape = torch.from_numpy(self.betas).repeat_interleave(torch.from_numpy(np.diff(self.first)), 0)
        self.chance = np.sqrt(np.diff(self.first)) / np.sqrt(np.diff(self.first)).sum()
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
            "dataset": f"landmarks simulated on {len(self.fps)} motions, without pictures", "keypoints": KEYPOINTS,
            "body_model": self.body_model, "views": len(self.fps), "frames": len(self.poses),
        }  # fmt: skip

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict:
        """A random clip; drawn with numpy's global generator, which loaders seed."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict]:
        """As many random clips, simulated at once."""
        rng, count = np.random.default_rng(np.random.randint(2**32, dtype=np.uint64)), len(indices)
        numbers = rng.choice(len(self.fps), count, p=self.chance)
        rows = self._rows(numbers, rng)
        rotmat = axis_angle_to_matrix(self.poses[rows]).double().numpy()
        view = self._views(count, rng)[:, None]
        joints, landmarks = (values[rows] @ view.transpose(0, 1, 3, 2) for values in (self.joints, self.landmarks))
        rotmat[:, :, 0] = view @ rotmat[:, :, 0]
        root = joints[:, :, :1]
        joints, landmarks = joints - root, landmarks - root
        away = _log_uniform(rng, self.distance, count)[:, None, None, None]
        flat, seen = (points[..., :2] / (1 + points[..., 2:] / away).clip(0.2) for points in (joints, landmarks))
        seen, visibility = self._detected(seen, rng)
        boxes, turns = crop_squares(flat.reshape(-1, *flat.shape[2:]), alignment="torso")
        boxes, turns = boxes.reshape(count, -1, 3), turns.reshape(count, -1)
        boxes[..., :2] += rng.normal(0, 0.02, (count, 1, 2)) * boxes[..., 2:]
        boxes[..., 2] *= 1.15 ** rng.uniform(-1, 1, (count, 1))
        turns = turns + rng.normal(0, 0.08, (count, 1))
        places, keypoints = (
            to_crop_units(points.reshape(-1, *points.shape[2:]), boxes.reshape(-1, 3), turns.reshape(-1))
            .reshape(points.shape)
            for points in (seen, flat)
        )  # fmt: skip
        turned = in_plane_matrix(turns)
        rotmat[:, :, 0] = turned @ rotmat[:, :, 0]
        ones = np.ones((*flat.shape[:-1], 1))
        betas = np.repeat(self.betas[numbers][:, None], rows.shape[1], 1)
        fields = {
            "keypoints2d": np.concatenate([keypoints, ones], -1),
            "keypoints3d": np.concatenate([joints @ turned.transpose(0, 1, 3, 2), ones], -1),
            "smpl_rotmat": rotmat, "betas": betas,
            "has_keypoints3d": np.ones(count), "has_smpl": np.ones(count), "has_betas": np.ones(count),
        }  # fmt: skip
        clip = slice(self.margin, self.margin + self.clip_length)
        tensors = {
            name: torch.from_numpy((value[:, clip] if value.ndim > 1 else value).astype(np.float32))
            for name, value in fields.items()
        }
        vectors = torch.from_numpy(np.concatenate([places, visibility[..., None]], -1).astype(np.float32))
        return [
            {
                "inputs": EncodedClip(vectors[at].flatten(1), vectors[at, clip], self.encoder),
                "data_sample": BodySample(
                    **{name: value[at] for name, value in tensors.items()},
                    metainfo={
                        "sequence": f"motion {numbers[at]}", "frame_indices": rows[at, clip] - self.first[numbers[at]],
                        "video_path": "", "crop": boxes[at, clip], "crop_rotation": turns[at, clip], "crop_flip": False,
                    },
                ),
            }
            for at in range(count)
        ]  # fmt: skip

    def annotation_samples(self, frame_step: int = 1) -> Iterator[BodySample]:
        """Yields a thousand clips' annotation."""
        for index in range(1000):
            yield self[index]["data_sample"]

    def _rows(self, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Frames (B, T) of clips: motions at random rates, forwards or backwards; short ones repeat the last frame."""
        step = self.fps[numbers] / _log_uniform(rng, self.rates, len(numbers))
        steps = np.round(np.arange(self.clip_length + 2 * self.margin) * step[:, None]).astype(int)
        frames = np.diff(self.first)[numbers]
        start = (rng.random(len(numbers)) * np.maximum(1, frames - steps[:, -1])).astype(int)
        rows = np.minimum(start[:, None] + steps, frames[:, None] - 1)
        backwards = rng.random(len(numbers)) < 0.5
        rows[backwards] = rows[backwards, ::-1]
        return self.first[numbers][:, None] + rows

    def _views(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Rotations from the world to random cameras, (B, 3, 3)."""
        azimuth = rng.uniform(0, 2 * math.pi, count)
        elevation = rng.uniform(*self.elevation, count) * rng.random(count)
        roll = rng.uniform(-self.roll, self.roll, count) * rng.random(count)
        tilt = Rotation.from_rotvec(elevation[:, None] * [1.0, 0, 0]).as_matrix()
        return in_plane_matrix(roll) @ tilt @ _LEVEL @ in_plane_matrix(azimuth)

    def _detected(self, places: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (B, T, K, 2) [m] as a detector would give them, and their visibility (B, T, K)."""
        clips, frames, count, _ = places.shape
        slow = gaussian_filter1d(rng.standard_normal((clips, frames + 8, count, 2)), 1.0, axis=1)[:, 4:-4]
        slow /= 0.53  # the filter's effect on the standard deviation
        # Neighbouring frames' slow errors correlate by 0.78; those found in pictures by 0.63.
        share = rng.uniform(0.4, 1.0, (clips, 1, 1, 1))
        changing = np.sqrt(share) * slow + np.sqrt(1 - share) * rng.standard_normal(slow.shape)
        lasting = rng.standard_normal((clips, 1, count, 2))
        error = math.sqrt(self.constant) * lasting + math.sqrt(1 - self.constant) * changing
        visibility = rng.uniform(0.85, 1.0, (clips, frames, count))
        factor = np.repeat(rng.uniform(*self.noise, (clips, 1, 1)), frames, 1).repeat(count, 2)
        places = places.copy()
        for limb in _LIMBS:
            columns = [np.array([_column(f"{side}_{name}") for name in limb]) for side in ("left", "right")]
            for own, other in (columns, columns[::-1]):
                for clip in np.flatnonzero(rng.random(clips) < self.mistakes):
                    start = int(rng.integers(frames))
                    part = clip, slice(start, start + int(rng.integers(1, frames + 1)))
                    kind = rng.random()
                    if kind < 0.5:  # hidden: less exact, and known to be
                        factor[*part, own] *= rng.uniform(1.5, 4)
                        visibility[*part, own] = rng.uniform(0.1, 0.8)
                    elif kind < 0.75:  # taken for something else
                        places[*part, own] += rng.normal(0, 0.1, 2)
                        visibility[*part, own] = rng.uniform(0.3, 1.0)
                    else:
                        places[*part, own], places[*part, other] = places[*part, other], places[*part, own].copy()
        return places + error * (factor * self.spread)[..., None], visibility


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float], count: int) -> np.ndarray:
    return np.exp(rng.uniform(math.log(limits[0]), math.log(limits[1]), count))


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
