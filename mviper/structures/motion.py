"""A body's motion in the world."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mviper.errors import FileFormatError
from mviper.files import load_npz, names_in, save_npz


def are_degrees(poses: np.ndarray) -> bool:
    """Whether axis-angles (T, J, 3) of a body's joints are in degrees: one exceeds a full turn in half the frames.

    The root must not be among them: a spinning body may accumulate full turns.
    """
    angles = np.linalg.norm(poses, axis=2)
    return bool(angles.size) and float(np.median(angles, axis=0).max()) > 2 * np.pi


@dataclass
class Motion:
    """SMPL parameters over time in the world (z up, floor at z = 0, north = +y), as in AMASS.

    ``x_world = SMPL(poses, betas) + transl``: the root's rotation includes the turn from SMPL's y-up to the world's
    z-up. A body in the rest pose with only that turn faces -y (south).

    Attributes:
        poses: Axis-angle, root first [rad], shape (T, 24, 3).
        transl: Translation [m], shape (T, 3).
        betas: Body shape, shape (B,); they belong to ``body_model``.
        fps: Frames per second.
        body_model: ``name:sha256`` of the body that the betas belong to ("" for none: zeros).
        name: Clip name, e.g. ``"07_01"``.
        subject: Who was captured, e.g. ``"07"``.
    """

    poses: np.ndarray
    transl: np.ndarray
    betas: np.ndarray
    fps: float
    body_model: str = ""
    name: str = ""
    subject: str = ""

    def __post_init__(self) -> None:
        self.poses = np.asarray(self.poses, np.float64)
        self.transl = np.asarray(self.transl, np.float64)
        self.betas = np.asarray(self.betas, np.float64)
        frames = len(self.poses)
        if self.poses.shape != (frames, 24, 3) or self.transl.shape != (frames, 3) or self.betas.ndim != 1:
            raise ValueError(
                f"Motion needs poses (T, 24, 3), transl (T, 3), betas (B,); got {self.poses.shape}, "
                f"{self.transl.shape}, {self.betas.shape}"
            )
        if not self.fps > 0:
            raise ValueError(f"Motion needs fps > 0, got {self.fps}")

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, frames: slice) -> Motion:
        return replace(self, poses=self.poses[frames], transl=self.transl[frames])

    def save(self, path: str | Path, **extra: np.ndarray) -> None:
        """Writes an AMASS-style ``.npz``: ``poses`` (T, 72), ``trans``, ``betas``, ``mocap_framerate``, ``extra``."""
        save_npz(
            path, poses=self.poses.reshape(len(self), 72), trans=self.transl, betas=self.betas,
            mocap_framerate=np.float64(self.fps), body_model=self.body_model, name=self.name, subject=self.subject,
            **extra,
        )  # fmt: skip

    @classmethod
    def load(cls, path: str | Path) -> Motion:
        """Reads what :meth:`save` wrote.

        Raises:
            FileFormatError: The file has another format.
        """
        data = load_npz(path)
        try:
            return cls(
                data["poses"].reshape(-1, 24, 3), data["trans"], data["betas"], float(data["mocap_framerate"]),
                str(data["body_model"]), str(data["name"]), str(data["subject"]),
            )  # fmt: skip
        except (KeyError, ValueError, TypeError) as error:
            lacks = f"it lacks {error}; it holds {names_in(data)}" if isinstance(error, KeyError) else error
            raise FileFormatError(path, f"not a motion written by MVIPER: {lacks}") from error
