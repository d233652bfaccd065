"""New motions from captured ones: mirrored, with limbs exchanged between clips, and slowly varying noise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from mviper.errors import ConfigError
from mviper.motion.contact import body_points, lowest, posed_points
from mviper.motion.interpolation import grounded
from mviper.motion.joint_limits import limit_excess
from mviper.motion.skeleton import SkeletonMotion
from mviper.motion.sources.base import Clip, MotionSource, split_of
from mviper.motion.sources.combine import MixedMotion
from mviper.motion.target import TargetBody
from mviper.motion.transforms import mirrored, resample
from mviper.registry import MOTION_SOURCES
from mviper.structures import SMPL_JOINTS, Motion


def _joints(*names: str) -> list[int]:
    return [SMPL_JOINTS.index(name) for name in names]


#: Limbs, which are exchanged as a whole.
ARMS = tuple(_joints(*(f"{side}_{part}" for part in ("collar", "shoulder", "elbow", "wrist", "hand")))
             for side in ("left", "right"))  # fmt: skip
LEGS = tuple(_joints(*(f"{side}_{part}" for part in ("hip", "knee", "ankle", "foot"))) for side in ("left", "right"))
#: Maximum number of halvings of the noise to keep each joint from exceeding its range more than before; then it is
#: dropped.
_HALVINGS = 3


@dataclass(frozen=True)
class RecombinedClip(Clip):
    """A clip that borrows limbs from another (its ``parts``).

    Attributes:
        seed: Seed of its random changes.
    """

    seed: int = 0


@MOTION_SOURCES.register_module()
class RecombinedMotion(MotionSource):
    """Random variants of every clip of its sources, mirrored or not, with exchanged limbs and noise.

    A variant takes arms and legs, each with a probability, from a second clip of the same split, which is played in
    parallel (back and forth if it is shorter). A clip's name tells its origin: ``walk+kick-3``.

    Args:
        sources: Configs of motion sources.
        variants: Number of variants per clip.
        mirror: Probability that a variant is mirrored, left to right.
        exchange: Probability that an arm is taken from the second clip; half as much for legs.
        noise: Standard deviation of each joint's rotation about each axis [rad]; less if a joint would leave its range.
        period: Sigma of the Gaussian that smooths the noise over time [s].
        splits: The config's ``splits``; limbs are exchanged only within a split.
        fps: Frame rate of the motions.
    """

    def __init__(
        self, sources: Sequence[dict], variants: int = 4, mirror: float = 0.5, exchange: float = 0.35,
        noise: float = 0.08, period: float = 0.4, splits: dict[str, list[str]] | None = None, fps: float = 30.0,
    ) -> None:  # fmt: skip
        if variants < 1 or not (0 <= mirror <= 1 and 0 <= exchange <= 1) or noise < 0 or min(period, fps) <= 0:
            raise ConfigError(
                f"{type(self).__name__} needs variants >= 1, mirror and exchange in [0, 1], noise >= 0 and period, "
                f"fps > 0; got {variants=}, {mirror=}, {exchange=}, {noise=}, {period=}, {fps=}"
            )
        self.captured = MixedMotion(sources)
        self.names = None
        self.variants, self.mirror, self.exchange, self.noise = variants, mirror, exchange, noise
        self.period, self.splits, self.fps = period, splits or {}, fps

    def clips(self) -> Iterator[Clip]:
        """The variants: every clip once, then every clip again, and so on.

        Raises:
            MissingDataError: A source has no clips.
        """
        return self.find_clips()

    def find_clips(self) -> Iterator[RecombinedClip]:
        """Gives each variant of a clip a partner from its split."""
        clips = list(self.captured.clips())
        of_split: dict[str | None, list[Clip]] = {}
        for clip in clips:
            of_split.setdefault(split_of(clip, self.splits), []).append(clip)
        for variant in range(self.variants):
            for clip in clips:
                digest = hashlib.sha256(f"{clip.name}/{variant}".encode()).digest()
                seed = int.from_bytes(digest[:8], "little")
                partners = of_split[split_of(clip, self.splits)]
                partner = partners[int(np.random.default_rng(seed).integers(len(partners)))]
                subject = "+".join(dict.fromkeys((clip.subject, partner.subject)))
                name = f"{clip.name}+{partner.name}-{variant}"
                yield RecombinedClip(name, subject, clip.path, parts=(clip, partner), seed=seed)

    def read(self, clip: Clip) -> SkeletonMotion:
        """Not available: the motion was not captured."""
        raise TypeError(f"{clip.name} was not captured; use fit or load")

    def fit(self, clip: Clip, target: TargetBody) -> tuple[Motion, None]:
        """Generates a variant on a body; see :meth:`MotionSource.fit`."""
        if not isinstance(clip, RecombinedClip):
            raise TypeError(f"{clip.name} is not of {type(self).__name__}.clips()")
        rng = np.random.default_rng(clip.seed)
        rng.integers(1)  # the partner's
        motion, other = (resample(self.captured.load(part, target), self.fps) for part in clip.parts)
        if rng.uniform() < self.mirror:
            motion = mirrored(motion)
        if rng.uniform() < self.mirror:
            other = mirrored(other)
        taken = [joint for arm in ARMS if rng.uniform() < self.exchange for joint in arm]
        legs = [joint for leg in LEGS if rng.uniform() < self.exchange / 2 for joint in leg]
        start = int(rng.integers(len(other)))
        poses = motion.poses.copy()
        frames = _there_and_back(start + np.arange(len(motion)), len(other))
        poses[:, taken + legs] = other.poses[frames][:, taken + legs]
        moved = self._with_noise(replace(motion, poses=poses), rng)
        transl = self._on_the_floor(motion, moved, bool(legs), target)
        made = replace(
            moved, transl=transl, betas=target.betas, body_model=target.body_model, name=clip.name, subject=clip.subject
        )
        return made, None

    def _with_noise(self, motion: Motion, rng: np.random.Generator) -> Motion:
        """Rotates each joint except the root slightly, without moving it further out of its range."""
        noise = rng.normal(size=(len(motion), 23, 3))
        noise = gaussian_filter1d(noise, self.period * motion.fps, axis=0, mode="reflect")
        noise *= self.noise / max(float(noise.std()), 1e-9)
        allowed = limit_excess(motion).max(0)
        scale = np.ones(23)
        for attempt in range(_HALVINGS + 1):
            turned = Rotation.from_rotvec(motion.poses[:, 1:].reshape(-1, 3)) * Rotation.from_rotvec(
                (scale[:, None] * noise).reshape(-1, 3)
            )
            poses = np.concatenate([motion.poses[:, :1], turned.as_rotvec().reshape(-1, 23, 3)], 1)
            made = replace(motion, poses=poses)
            beyond = (limit_excess(made).max(0) > allowed + 1e-6)[1:]
            if not beyond.any():
                break
            scale[beyond] *= 0.5 if attempt < _HALVINGS - 1 else 0.0
        return made

    @staticmethod
    def _on_the_floor(before: Motion, after: Motion, new_legs: bool, target: TargetBody) -> np.ndarray:
        """Pelvis positions (T, 3) [m]: as high above the floor as before, or as new legs carry it."""
        if new_legs:
            return grounded(after.poses, target.rest_joints, target.soles)
        points = body_points(target.rest_joints, target.soles)
        lows = [
            lowest(posed_points(motion.poses, before.transl, target.rest_joints, points)) for motion in (before, after)
        ]
        transl = before.transl.copy()
        transl[:, 2] += lows[0] - lows[1]
        return transl


def _there_and_back(frames: np.ndarray, count: int) -> np.ndarray:
    """Frame numbers of a clip of ``count`` frames played back and forth endlessly."""
    period = max(2 * (count - 1), 1)
    frames = frames % period
    return np.minimum(frames, period - frames)
