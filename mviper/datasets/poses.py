"""Poses and shapes without pictures: the real bodies of an adversarial prior (Kanazawa et al., CVPR 2018)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import Dataset

from mviper.body import axis_angle_to_matrix, same_body
from mviper.config import command
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.files import find_files, load_npz, names_in
from mviper.registry import DATASETS, MODELS
from mviper.sample import BodySample
from mviper.structures import SMPL_JOINTS, are_degrees

#: Joints but the root.
_JOINTS = len(SMPL_JOINTS) - 1
_FRAME_RATES = ("mocap_framerate", "mocap_frame_rate")
_KEYS = ("poses", "betas", "body_model", "smpl", "config", "meta", *_FRAME_RATES)
#: Lengths of a row of ``poses``: SMPL, and bodies with fingers that share its first 22 joints.
_WIDTHS = {72: 23, 156: 21, 165: 21}


@dataclass
class BodyPoses:
    """Poses and shapes of a file.

    Attributes:
        poses: Axis-angle of all joints but the root [rad], shape (T, 23, 3) float32; missing hands are at rest.
        betas: Shape (T, B) float32.
        body_model: ``name:sha256`` of the body that the betas belong to; "" if the file does not say.
    """

    poses: np.ndarray
    betas: np.ndarray
    body_model: str


def read_poses(path: str | Path, fps: float | None = None) -> BodyPoses:
    """Reads a ``Motion`` of the factory (``motion.npz``), AMASS (SMPL-H or SMPL-X ``.npz``) or HumanData.

    Args:
        path: The file.
        fps: Files with a known frame rate are thinned to about this rate [1/s].

    Raises:
        FileFormatError: It is none of these.
    """
    arrays = load_npz(path, _KEYS)
    try:
        if "smpl" in arrays:
            smpl = arrays["smpl"].item()
            poses, betas, body_model = (
                np.asarray(smpl["body_pose"]),
                np.asarray(smpl["betas"]),
                arrays.get("config", ""),
            )
            poses = poses.reshape(len(poses), _JOINTS, 3)
            rate = float(arrays["meta"].item().get("fps", 0)) if "meta" in arrays else None
        else:
            rows, body_model = np.asarray(arrays["poses"]), arrays.get("body_model", "")
            if rows.ndim != 2 or rows.shape[1] not in _WIDTHS:
                raise ValueError(f"'poses' has shape {rows.shape}, expected (T, {' or '.join(map(str, _WIDTHS))})")
            known = _WIDTHS[rows.shape[1]]
            poses = np.zeros((len(rows), _JOINTS, 3))
            poses[:, :known] = rows[:, 3 : 3 + 3 * known].reshape(-1, known, 3)
            betas = np.broadcast_to(np.ravel(arrays["betas"]), (len(rows), np.size(arrays["betas"])))
            rate = next((float(arrays[key]) for key in _FRAME_RATES if key in arrays), None)
        step = max(1, round(rate / fps)) if rate and fps else 1
        poses, betas = (np.ascontiguousarray(values[::step], np.float32) for values in (poses, betas))
    except KeyError as error:
        raise FileFormatError(
            path, f"neither a motion nor HumanData with 'smpl': it lacks {error}; it holds {names_in(Path(path))}"
        ) from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise FileFormatError(path, f"neither a motion nor HumanData with 'smpl': {error}") from error
    if len(poses) != len(betas) or betas.ndim != 2 or not (np.isfinite(poses).all() and np.isfinite(betas).all()):
        raise FileFormatError(path, f"poses {poses.shape} and betas {betas.shape}: expected finite rows, one a frame")
    if are_degrees(poses):
        raise FileFormatError(path, "turns a joint by more than 6.3 in half of its frames: expected radians")
    return BodyPoses(poses, betas, str(body_model))


@DATASETS.register_module()
class PoseLibrary(Dataset):
    """Poses and shapes of many files, sampled by an adversarial prior.

    Poses fit any body in SMPL's format. Betas belong to a body, so those of other bodies are left out; since the prior
    judges pose and shape separately, the two are drawn independently and uniformly over frames.

    Args:
        data_root: Folder of the files.
        files: Patterns of files in it for :func:`read_poses`: the factory's ``motion.npz``, AMASS, HumanData.
        body_model: The body whose betas are used, as its config or its ``name:sha256``.
        fps: Files with a known frame rate are thinned to about this rate [1/s]: neighbouring frames are nearly equal.
        num_betas: Width of the betas.

    Attributes:
        poses: (N, 23, 3) float32 axis-angle.
        betas: (M, num_betas) float32.

    Raises:
        MissingDataError: No pose, or no betas of this body.
    """

    def __init__(
        self,
        data_root: str,
        files: Sequence[str] = ("train/*/motion*.npz",),
        body_model: dict | str | None = None,
        fps: float = 10.0,
        num_betas: int = 10,
    ) -> None:
        if body_model is None:
            raise ConfigError("PoseLibrary: body_model is missing; it says which body the real betas belong to")
        body_id = body_model if isinstance(body_model, str) else MODELS.build(body_model).body_model_id
        root = Path(data_root).expanduser()
        poses, betas = [], []
        for path in find_files(root, *files):  # hidden folders are being written
            try:
                read = read_poses(path, fps)
            except FileFormatError as error:
                print_log(f"{error}; skipped", "current", logging.WARNING)
                continue
            poses.append(read.poses)
            if same_body(read.body_model, body_id) and read.betas.shape[1] == num_betas:
                betas.append(read.betas)
        what = "poses" if not poses else f"betas of the body {body_id}"
        if not (poses and betas):
            raise MissingDataError(
                f"{root}: no {what} in files like {', '.join(files)}, which the adversarial prior calls real. The "
                f"factory's motion.npz hold both ({command('generate', 'CONFIG', '--out', data_root)}); AMASS holds "
                "poses. Without a prior: model.losses.adversarial=None"
            )
        self.body_model = body_model
        self.poses, self.betas = np.concatenate(poses), np.concatenate(betas)

    def __len__(self) -> int:
        return len(self.poses)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Draws with numpy's global generator, which loaders seed.

        Args:
            count: Number of frames.

        Returns:
            Rotations of all joints but the root (count, 23, 3, 3) and betas (count, num_betas), unpaired.
        """
        poses = self.poses[np.random.randint(len(self.poses), size=count)]
        betas = self.betas[np.random.randint(len(self.betas), size=count)]
        return axis_angle_to_matrix(torch.from_numpy(poses)), torch.from_numpy(betas)


@DATASETS.register_module()
class AdversarialDataset(Dataset):
    """A data set whose samples also carry as many unrelated frames of real poses and shapes.

    They are the fields ``real_rotmat`` (T, 23, 3, 3) and ``real_betas`` (T, 10) of the sample, see ``AdversarialLoss``.

    Args:
        dataset: The data set with the pictures, an ``AnnotatedDataset``.
        poses: A ``PoseLibrary``; its body is the data set's unless it names one.
    """

    def __init__(self, dataset: dict, poses: dict) -> None:
        self.dataset = DATASETS.build(dataset)
        self.poses = DATASETS.build({"type": "PoseLibrary", "body_model": self.dataset.body_model, **poses})

    @property
    def body_model(self) -> str:
        """The body whose betas are used."""
        return self.dataset.body_model

    @property
    def metainfo(self) -> dict:
        """The data set's."""
        return self.dataset.metainfo

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        item = self.dataset[index]
        sample = item["data_sample"]
        rotmat, betas = self.poses.draw(len(sample.smpl_rotmat))
        sample.set_field(rotmat, "real_rotmat")
        sample.set_field(betas, "real_betas")
        return item

    def annotation_samples(self, frame_step: int = 1) -> Iterator[BodySample]:
        """The data set's annotation, see ``AnnotatedDataset``."""
        return self.dataset.annotation_samples(frame_step)
