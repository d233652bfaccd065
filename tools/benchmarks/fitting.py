"""Accuracy and speed of SMPLify on noisy 2D joints of known motions held out from the pose prior."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import Result
from benchmarks.motion import default_folders
from mviper.body import SMPL, axis_angle_to_matrix
from mviper.errors import MissingDataError
from mviper.evaluation import similarity_align
from mviper.models.fitting import Projection, SMPLify, SMPLifyFit
from mviper.motion import resample
from mviper.motion.sources import MotionLibrary
from mviper.registry import MOTION_SOURCES
from mviper.synthesis.scene import CompassCameras

#: Clips excluded from the prior (``tools/build_pose_prior.py --hold-out``).
HELD_OUT = ("dance_b", "spinkick", "49_19", "131_04")

#: Frames in total and per second, noise [px], the factory's picture size [px], frames also fitted one by one.
FRAMES, FPS, NOISE, RESOLUTION, ONE_BY_ONE = 200, 30.0, 2.0, 250, 8

#: The factory's lens [mm] and sensor [mm].
_LENS, _SENSOR = 180.0, 32.0


def measure(arguments: argparse.Namespace) -> Result:
    """Fits every frame independently, the clips as tracks, and a few frames one by one."""
    torch.set_num_threads(1)
    body = SMPL()
    folders = arguments.data or default_folders()
    clips = list(_clips(body, folders, np.random.default_rng(arguments.seed)))
    keypoints, joints, focal = (torch.cat([clip[part] for clip in clips]) for part in (1, 2, 3))
    lengths = [len(clip[1]) for clip in clips]
    centre = torch.full((len(keypoints), 2), (RESOLUTION - 1) / 2)
    projection = Projection(focal, centre)
    fitter = SMPLify(body)
    fitter.fit(keypoints[:2], projection[:2])  # warm-up

    rows = [("clip", "frames", "PA-MPJPE", "MPJPE", "PA-MPJPE as tracks", "MPJPE as tracks [mm]")]
    figures: dict[str, float] = {"frames": float(len(keypoints))}
    errors = []
    for name, tracks in (("alone", None), ("track", lengths)):
        begin = time.process_time()
        fit = fitter.fit(keypoints, projection, tracks=tracks, fps=FPS)
        figures[f"{name}_cpu_ms_per_frame"] = 1e3 * (time.process_time() - begin) / len(keypoints)
        aligned, plain = _errors(fit, joints)
        errors += [aligned, plain]
        figures[f"{name}_pa_mpjpe_mm"], figures[f"{name}_mpjpe_mm"] = aligned.mean().item(), plain.mean().item()
        away = (fit.keypoints2d - keypoints[..., :2]).norm(dim=-1)
        figures[f"{name}_2d_median_px"] = away.median().item()
    for clip, *parts in zip(clips, *(error.split(lengths) for error in errors)):
        rows.append((clip[0], str(len(clip[1])), *(f"{part.mean():.0f}" for part in parts)))

    chosen = torch.linspace(0, len(keypoints) - 1, ONE_BY_ONE).long()
    begin = time.process_time()
    for frame in chosen.tolist():
        fitter.fit(keypoints[frame : frame + 1], projection[frame : frame + 1])
    figures["one_by_one_cpu_ms_per_frame"] = 1e3 * (time.process_time() - begin) / ONE_BY_ONE
    figures["times_faster_than_one_by_one"] = figures["one_by_one_cpu_ms_per_frame"] / figures["alone_cpu_ms_per_frame"]
    print("\n" + "\n".join(f"{name} = {value:.4g}" for name, value in figures.items()))
    return rows, figures, {"alone_pa_mpjpe_mm": ["<=", 80], "times_faster_than_one_by_one": [">=", 5]}


def _clips(
    body: SMPL, folders: Sequence[Path], rng: np.random.Generator
) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    """Each clip's name, noisy keypoints (T, 44, 3), true joints in camera axes (T, 44, 3) and focal lengths (T,)."""
    found = []
    for folder in folders:
        for config in MotionLibrary(folder).source_configs():
            source = MOTION_SOURCES.build({**config, "names": list(HELD_OUT)})
            try:
                found += [(source, clip) for clip in source.clips() if clip.name in HELD_OUT]
            except MissingDataError:
                continue
    if not found:
        raise MissingDataError(f"none of the clips {', '.join(HELD_OUT)} is in {', '.join(map(str, folders))}")
    cameras = CompassCameras(resolution=RESOLUTION, lens=_LENS, sensor=_SENSOR, margin=0.08)
    motions = []
    for source, clip in found:
        betas = rng.normal(size=body.num_betas)
        motions.append((clip.name, betas, resample(source.load_for_body(clip, body, betas), FPS)))
    left = FRAMES
    for number, (name, betas, motion) in enumerate(sorted(motions, key=lambda each: len(each[2]))):
        count = min(len(motion), -(-left // (len(motions) - number)))
        left -= count
        first = (len(motion) - count) // 2
        span = slice(first, first + count)
        with torch.no_grad():
            joints = body(
                torch.tensor(betas).float().expand(count, -1),
                axis_angle_to_matrix(torch.tensor(motion.poses[span])).float(),
                torch.tensor(motion.transl[span]).float(),
                return_vertices=False,
            ).joints.double().numpy()  # fmt: skip
        views = cameras(joints, cameras.draw(rng))
        camera = views[rng.integers(len(views))]
        pixels = camera.project(joints) + rng.normal(0, NOISE, (count, joints.shape[1], 2))
        seen = torch.tensor(np.concatenate([pixels, np.ones_like(pixels[..., :1])], -1)).float()
        yield (
            name, seen, torch.tensor(camera.to_camera(joints)).float(), torch.full((count,), float(camera.K[0, 0]))
        )  # fmt: skip


def _errors(fit: SMPLifyFit, joints: Tensor) -> tuple[Tensor, Tensor]:
    """PA-MPJPE and MPJPE of each frame over SMPL's 24 joints [mm]."""
    found, truth = fit.joints[:, :24].double(), joints[:, :24].double()
    aligned = (similarity_align(found, truth) - truth).norm(dim=-1).mean(-1)
    plain = ((found - found[:, :1]) - (truth - truth[:, :1])).norm(dim=-1).mean(-1)
    return 1000 * aligned, 1000 * plain
