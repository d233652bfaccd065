"""A body in motion, and a dressed one: what a sequence shows before anybody decides from where it is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mviper.body.surface import BodyShape
from mviper.motion.quality import MotionQuality
from mviper.structures import MeshSequence, Motion


@dataclass(frozen=True)
class Performance:
    """A body that moves, as cloth meets it: a lead-in from the rest pose, then what was captured.

    Attributes:
        motion: What was captured, and is shown.
        leading: The same with the lead-in before it; without clothes there is none.
        quality: Figures of what was captured.
        shape: The body at rest.
        body: The body over the frames of ``leading``, in the world.
        keypoints: Over the same frames in the world [m], shape (T, 44, 3).
    """

    motion: Motion
    leading: Motion
    quality: MotionQuality
    shape: BodyShape
    body: MeshSequence
    keypoints: np.ndarray

    @property
    def lead_in(self) -> int:
        """Frames that are simulated, not shown."""
        return len(self.leading) - len(self.motion)


@dataclass(frozen=True)
class Simulation:
    """A dressed person in motion, whoever looks on: all that a view of it, or a second one, is made from.

    Frame 0 is the first captured one.

    Attributes:
        motion: In the world.
        motion_quality: Its figures.
        shape: The body at rest.
        body: In the world.
        keypoints: In the world [m], shape (T, 44, 3) float64.
        cloth: The garments as they are worn, innermost first.
        garments: ``name``, ``kind`` and ``parameters`` of each.
        quality: Figures of the cloth.
        timings: CPU seconds of the simulator's steps.
    """

    motion: Motion
    motion_quality: dict[str, float]
    shape: BodyShape
    body: MeshSequence
    keypoints: np.ndarray
    cloth: list[MeshSequence] = field(default_factory=list)
    garments: list[dict] = field(default_factory=list)
    quality: dict = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


def pose_body(body: torch.nn.Module, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Poses a body model through a motion.

    Args:
        body: The body model (``mviper.body.SMPL``).
        motion: In the world.

    Returns:
        Vertices (T, V, 3) and keypoints (T, 44, 3) in the world [m], float32.
    """
    rotmat = _tensor(Rotation.from_rotvec(motion.poses.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3))
    betas, transl = _tensor(motion.betas)[None], _tensor(motion.transl)
    vertices, keypoints = [], []
    with torch.no_grad():
        for start in range(0, len(motion), 32):
            chunk = slice(start, start + 32)
            posed = body(betas.expand(len(rotmat[chunk]), -1), rotmat[chunk], transl[chunk])
            vertices.append(posed.vertices.numpy())
            keypoints.append(posed.joints.numpy())
    return np.concatenate(vertices), np.concatenate(keypoints)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)
