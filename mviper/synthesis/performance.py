"""A body in motion, and a dressed one: a sequence's content, independent of cameras."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mviper.body import BodyShape
from mviper.errors import SequenceRejected
from mviper.motion import (
    MotionQuality,
    TargetBody,
    busiest_start,
    from_t_pose,
    lead_in,
    make_arm_room,
    measure_motion,
    resample,
)
from mviper.structures import MeshSequence, Motion

#: Parts of a clip tried before it is rejected; their starts are at least a quarter of a part apart.
_PARTS_TRIED = 8


@dataclass(frozen=True)
class Performance:
    """A moving body for cloth simulation: a lead-in from the rest pose, then the captured motion.

    Attributes:
        motion: The captured motion that is shown.
        leading: The same after the lead-in; without clothes there is no lead-in.
        quality: Quality figures of the captured motion.
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
        """Number of frames simulated but not shown."""
        return len(self.leading) - len(self.motion)


@dataclass(frozen=True)
class Simulation:
    """A dressed person in motion: all that any view is made from.

    Frame 0 is the first captured frame.

    Attributes:
        motion: In the world.
        motion_quality: Its figures.
        shape: The body at rest.
        body: In the world.
        keypoints: In the world [m], shape (T, 44, 3) float64.
        cloth: The garments as worn, innermost first.
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


def draw_betas(count: int, config: dict, rng: np.random.Generator) -> np.ndarray:
    """A random body shape, shape (count,), following a completed synthesis config."""
    scale, limit = config["betas"]["scale"], config["betas"]["limit"]
    return np.clip(scale * rng.normal(size=count), -limit, limit).astype(np.float32).astype(np.float64)


def choose_part(
    motion: Motion, limb_error: float | None, target: TargetBody, config: dict, dressed: bool, rng: np.random.Generator
) -> tuple[Motion, Motion, MotionQuality]:
    """Finds a part of a clip with plausible motion.

    Args:
        motion: The whole clip at any frame rate.
        limb_error: Its deviation from the capture, if known; see :class:`MotionQuality`.
        target: The body.
        config: A completed synthesis config.
        dressed: Whether clothes are worn: then the part gets a lead-in, and arms make room for clothes.
        rng: Draws the part, and others if it is unsuitable.

    Returns:
        The part at the config's rate, the same after its lead-in, and its figures.

    Raises:
        SequenceRejected: The clip is too short, or no tried part is within the config's ``motion_quality``; names the
            first part's fault.
    """
    motion, frames = resample(motion, config["fps"]), config["max_frames"]
    if len(motion) < max(2, config["min_seconds"] * config["fps"]):
        raise SequenceRejected(f"clip of {len(motion) / config['fps']:.2f} s, min_seconds is {config['min_seconds']}")
    limits = MotionQuality(**config["motion_quality"])
    starts = np.arange(max(0, len(motion) - frames) + 1)
    start = int(rng.integers(len(starts)))
    if config["clip_part"] == "busiest":
        start = busiest_start(motion, frames, target.rest_joints)
    rejections: list[SequenceRejected] = []
    while len(rejections) < _PARTS_TRIED:
        leading = motion[start : start + frames]
        shown = len(leading)
        if dressed:
            leading = lead_in(leading, target.rest_joints, **config["lead_in"], soles=target.soles)
            if config["lead_in"]["pose"] == "a":
                leading = from_t_pose(leading, config["lead_in"]["still"])
            if config["arm_room"] is not None:
                leading = make_arm_room(leading, target, config["arm_room"])
        captured = leading[len(leading) - shown :]
        quality = measure_motion(captured, target, limb_error)
        problems = quality.problems(limits)
        if not problems:
            return captured, leading, quality
        rejections.append(SequenceRejected("; ".join(problems), {"motion": dataclasses.asdict(quality)}))
        starts = starts[np.abs(starts - start) >= frames / 4]
        if len(starts) == 0:
            break
        start = int(rng.choice(starts))
    raise rejections[0]


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
