"""Accuracy and speed of motions, and the cost of a whole library."""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import Result
from benchmarks.simulated_markers import simulate_and_fit
from mviper.body import SMPL
from mviper.errors import MissingDataError, MissingDependencyError, SequenceRejected
from mviper.extras import import_extra
from mviper.motion import (
    LIMBS,
    InterpolatedMotion,
    MotionQuality,
    SkeletonMotion,
    TargetBody,
    crop,
    facing_errors,
    fit_error,
    hinge_errors,
    joint_position_errors,
    limb_direction_errors,
    measure_motion,
    motion_difference,
    resample,
    retarget,
)
from mviper.motion.sources import Clip, MotionLibrary
from mviper.structures import Motion

#: Approximate size of CMU's library; the estimate assumes clips as long as those measured.
_SEQUENCES = 2500

#: Number of bodies per clip.
_BODIES = 4

#: MoSh: maximum number of frames per clip, and minimum number of clips, which are drawn at random.
_MOSH_FRAMES, _MOSH_CLIPS = 240, 4

_PAIRS = 20


def measure(arguments: argparse.Namespace) -> Result:
    """Checks every clip against its capture and on several bodies; then memory, contrasting pairs, and MoSh."""
    torch.set_num_threads(1)
    deadline = time.monotonic() + 60 * arguments.minutes
    folders = [str(folder) for folder in arguments.data or default_folders()]
    body = SMPL()
    clips = _Clips()
    for clip, motion, captured in _judge(folders, body, clips):
        clips.short.append(crop(motion, _MOSH_FRAMES))
        if len(clips.draws) < _BODIES * _MOSH_CLIPS or time.monotonic() < deadline:
            clips.draws += _draws(clip, captured, body, arguments.seed)
    figures = clips.figures() | clips.differences(TargetBody.from_body(body).rest_joints)
    figures |= _in_process(_walk_memory, folders, 2) | _in_process(_pairs, folders)
    figures |= _mosh(clips.short, body, arguments.seed, deadline)
    library = _SEQUENCES * figures["frames"] / max(figures["clips"], 1)
    for way in ("rotation", "mosh"):
        figures[f"{way}_cpu_hours_for_{_SEQUENCES}_sequences"] = library / figures[f"{way}_frames_per_cpu_s"] / 3600
    print("\n" + "\n".join(f"{name} = {value:.4g}" for name, value in figures.items()))
    return clips.limb_rows(), figures, TARGETS


#: Targets of docs/benchmarks.md; angles are those of the worst clip.
TARGETS = {
    "limb_mean_deg": ["<=", 3.0],
    "limb_p95_deg": ["<=", 8.0],
    "pelvis_facing_mean_deg": ["<=", 5.0],
    "chest_facing_mean_deg": ["<=", 5.0],
    "head_facing_mean_deg": ["<=", 5.0],
    "feet_mean_deg": ["<=", 8.0],
    "hinge_mean_deg": ["<=", 15.0],
    "joint_mean_mm": ["<=", 40.0],
    "draws_accepted": [">=", 0.9],
    "rotation_frames_per_cpu_s": [">=", 150.0],
    "walk_growth_mb": ["<=", 30.0],
    "pairs_cpu_s": ["<=", 20.0],
    "pairs_peak_mb": ["<=", 500.0],
    "mosh_joints_mm": ["<=", 15.0],
    "mosh_vertices_mm": ["<=", 15.0],
    "mosh_rotation_deg": ["<=", 6.0],
    "mosh_height_cm": ["<=", 2.0],
    "mosh_frames_per_cpu_s": [">=", 10.0],
}


def default_folders() -> list[Path]:
    """Default folders of motion capture."""
    folders = [Path("data/cmu")] if Path("data/cmu").is_dir() else []
    try:
        folders.append(Path(import_extra("pybullet_data").__path__[0], "data", "motions"))
    except MissingDependencyError:
        if not folders:
            raise MissingDataError("no motion capture: give folders with --data, or pip install pybullet") from None
    return folders


class _Clips:
    """Results of every clip: errors of limbs, facing and hinges (degrees) and joints (m), and cost per frame."""

    def __init__(self) -> None:
        self.limbs: dict[str, list[np.ndarray]] = {limb: [] for limb in LIMBS}
        self.worst: dict[str, float] = {}
        self.short: list[Motion] = []
        self.skeletons: dict[str, Motion] = {}
        self.markers: dict[str, Motion] = {}
        self.draws: list[bool] = []
        self.frames = self.count = self.rejected = self.unread = 0
        self.seconds = 0.0

    def raise_to(self, name: str, value: float) -> None:
        """Keeps the worst clip's figure."""
        self.worst[name] = max(self.worst.get(name, 0.0), float(value))

    def figures(self) -> dict[str, float]:
        counts = dict(clips=self.count, clips_rejected=self.rejected, clips_unread=self.unread, frames=self.frames)
        counts |= dict(draws=len(self.draws), draws_accepted=float(np.mean(self.draws)) if self.draws else 0.0)
        return counts | self.worst | {"rotation_frames_per_cpu_s": self.frames / max(self.seconds, 1e-9)}

    def differences(self, rest_joints: np.ndarray) -> dict[str, float]:
        """MoSh against retargeting on clips with both markers and skeletons; empty if there are none."""
        shared = sorted(self.markers.keys() & self.skeletons.keys())
        found = [motion_difference(self.markers[name], self.skeletons[name], rest_joints) for name in shared]
        for name, difference in zip(shared, found):
            joints, turned = 1e3 * difference["joints"].mean(), difference["rotations"].mean()
            print(f"{name}: MoSh and retargeting differ by {joints:.1f} mm and {turned:.1f} degrees")
        if not found:
            return {}
        joints, turned = (np.concatenate([one[name] for one in found]) for name in ("joints", "rotations"))
        return dict(
            shared_clips=len(shared), mosh_retarget_joints_mm=1e3 * joints.mean(),
            mosh_retarget_rotation_deg=turned.mean(),
        )  # fmt: skip

    def limb_rows(self) -> list[tuple[str, ...]]:
        rows = [("limb", "mean [deg]", "p95", "largest", "worst clip's mean")]
        for limb, clips in self.limbs.items():
            if clips:
                every = np.concatenate(clips)
                values = (every.mean(), np.percentile(every, 95), every.max(), max(clip.mean() for clip in clips))
                rows.append((limb, *(f"{value:.2f}" for value in values)))
        return rows


def _judge(folders: Sequence[str], body: SMPL, clips: _Clips) -> Iterator[tuple[Clip, Motion, SkeletonMotion]]:
    """Reads, fits and checks every clip, and prints its row."""
    from mviper.synthesis import CONFIG_KEYS  # imported here, as pairs of clips are measured in a process without it

    measures = TargetBody.from_body(body)
    limits = MotionQuality(**CONFIG_KEYS["motion_quality"])
    columns = ("clip", "frames", "limbs mean / p95", "feet", "facing", "hinges", "joints [mm]", "verdict")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for folder in folders:
        library = MotionLibrary(folder)
        loaded = library.load(measures)
        while True:
            start = time.process_time()
            clip, motion, captured = next(loaded, (None, None, None))
            if clip is None:
                break
            slow = resample(motion, min(CONFIG_KEYS["fps"], motion.fps))
            (clips.markers if captured is None else clips.skeletons)[clip.name] = slow
            if captured is None:  # no skeleton rotations: SMPL parameters, markers
                continue
            error = fit_error(captured, motion, measures.rest_joints)
            problems = measure_motion(slow, measures, error).problems(limits)
            clips.seconds += time.process_time() - start
            clips.frames += len(motion)
            clips.count += 1
            clips.rejected += bool(problems)
            row = _compare(captured, motion, measures.rest_joints, clips)
            print(f"| {clip.name} | {len(motion)} | {row} | {'; '.join(problems) or 'good'} |")
            yield clip, motion, captured
        clips.unread += len(library.failures)
        for failure in library.failures.values():
            print(f"Not read: {failure}")


def _draws(clip: Clip, captured: SkeletonMotion, body: SMPL, seed: int) -> list[bool]:
    """Whether the factory accepts a clip's motion on each of some dressed bodies, drawn as the factory does.

    Empty for a clip that is too short.
    """
    from mviper.synthesis import CONFIG_KEYS, choose_part, draw_betas, job_rng

    accepted: list[bool] = []
    if len(captured) < CONFIG_KEYS["min_seconds"] * captured.fps:
        return accepted
    for variant in range(_BODIES):
        rng = partial(job_rng, seed, f"{clip.name}__{variant:02d}")
        target = TargetBody.from_body(body, draw_betas(body.num_betas, CONFIG_KEYS, rng("betas")))
        motion = retarget(captured, target.rest_joints, target.soles)
        error = fit_error(captured, motion, target.rest_joints)
        try:
            choose_part(motion, error, target, CONFIG_KEYS, True, rng("motion"))
            accepted.append(True)
        except SequenceRejected as rejected:
            print(f"Rejected: {clip.name}, body {variant}: {rejected}")
            accepted.append(False)
    return accepted


def _compare(captured: object, motion: Motion, rest_joints: np.ndarray, clips: _Clips) -> str:
    limbs = limb_direction_errors(captured, motion, rest_joints)
    for limb, errors in limbs.items():
        clips.limbs[limb].append(errors)
    every = np.concatenate(list(limbs.values()))
    feet = [errors.mean() for limb, errors in limbs.items() if limb.endswith("foot")]
    facing = {name: errors.mean() for name, errors in facing_errors(captured, motion, rest_joints).items()}
    bent = [errors.mean() for errors in hinge_errors(captured, motion, rest_joints).values() if len(errors)]
    joints = np.concatenate(list(joint_position_errors(captured, motion, rest_joints).values())) * 1e3
    clips.raise_to("limb_mean_deg", every.mean())
    clips.raise_to("limb_p95_deg", np.percentile(every, 95))
    clips.raise_to("feet_mean_deg", max(feet, default=0.0))
    for name, error in facing.items():
        clips.raise_to(f"{name}_facing_mean_deg", error)
    clips.raise_to("hinge_mean_deg", max(bent, default=0.0))
    clips.raise_to("joint_mean_mm", joints.mean())
    values = (max(feet, default=0.0), max(facing.values(), default=0.0), max(bent, default=0.0), joints.mean())
    return f"{every.mean():.2f} / {np.percentile(every, 95):.2f} | " + " | ".join(f"{value:.1f}" for value in values)


def _mosh(motions: Sequence[Motion], body: SMPL, seed: int, deadline: float) -> dict[str, float]:
    """Fits simulated markers on moving bodies of random shapes; clips in random order until the time is up."""
    rng = np.random.default_rng(seed)
    results = []
    for number in rng.permutation(len(motions)):
        if len(results) >= _MOSH_CLIPS and time.monotonic() > deadline:
            break
        motion = motions[number]
        motion.betas, motion.body_model = np.clip(rng.normal(size=body.num_betas), -2, 2), body.body_model_id
        results.append(simulate_and_fit(body, motion, seed) | {"frames": len(motion)})
        told = ", ".join(f"{key} {value:.1f}" for key, value in results[-1].items())
        print(f"MoSh on {motion.name}: {told}")
    frames = sum(result["frames"] for result in results)
    spent = sum(result["frames"] / result["frames_per_cpu_s"] for result in results)
    figures = {"mosh_clips": len(results), "mosh_frames_per_cpu_s": frames / spent}
    for key in ("joints_mm", "vertices_mm", "rotation_deg", "height_cm"):
        figures[f"mosh_{key}"] = float(np.mean([result[key] for result in results]))
        figures[f"mosh_{key}_worst"] = float(np.max([result[key] for result in results]))
    return figures


def _in_process(work: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Runs in a fresh process, so that its peak memory is that of the work."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _walk_memory(folders: Sequence[str], passes: int) -> dict[str, float]:
    """Peak memory after walking folders once, and its increase in further walks."""
    from mviper.synthesis import CONFIG_KEYS

    torch.set_num_threads(1)
    measures = TargetBody.from_body(SMPL())
    peaks = []
    for _ in range(1 + passes):
        for folder in folders:
            for _, motion, _ in MotionLibrary(folder).load(measures):
                measure_motion(resample(motion, min(CONFIG_KEYS["fps"], motion.fps)), measures)
        peaks.append(_peak_mb())
    return {"walk_peak_mb": peaks[0], "walk_growth_mb": peaks[-1] - peaks[0]}


def _pairs(folders: Sequence[str]) -> dict[str, float]:
    """Time and memory for the most contrasting pairs of all clips, including reading."""
    torch.set_num_threads(1)
    start = time.process_time(), time.monotonic()
    sources = [source for folder in folders for source in MotionLibrary(folder).source_configs()]
    found = list(InterpolatedMotion(sources, count=_PAIRS, uses=None).clips())
    spent = time.process_time() - start[0], time.monotonic() - start[1]
    for clip in found:
        print(f"{clip.distance:.2f} rad: {clip.name}")
    return {"pairs": len(found), "pairs_cpu_s": spent[0], "pairs_wall_s": spent[1], "pairs_peak_mb": _peak_mb()}
