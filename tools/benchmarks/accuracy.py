"""Recovery without a network, judged by the truth of videos that the factory makes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import Result
from mviper.config import load_config
from mviper.datasets import find_sequences
from mviper.errors import MissingDataError
from mviper.evaluation import pa_joint_error
from mviper.inference import MeshRecoverer
from mviper.structures import HumanData

#: Clips of the pybullet wheel that are made into videos where none are given, one view each, round the compass.
CLIPS = ("walk", "run", "jump", "kick", "punch", "spin", "dance_a", "dance_b", "spinkick", "cartwheel")
VIEWS = ("south", "east", "north", "west")
#: Frames of each.
FRAMES = 45
#: Videos that are taken of a data set.
VIDEOS = 10


def measure(arguments: argparse.Namespace) -> Result:
    """Recovers ten factory videos as ``tools/recover.py`` does by default: nothing is known of the camera."""
    torch.set_num_threads(1)
    if arguments.data:
        videos = _videos_of(arguments.data)
    else:
        folder = arguments.out or Path("work_dirs/accuracy")
        _make(folder, arguments.config or Path("configs/synthesis/painted.py"), arguments.seed)
        videos = _videos_of([folder])
    recoverer, begin, frames, errors = MeshRecoverer(), time.process_time(), 0, []
    rows = [("video", "frames", "followed", "PA-MPJPE [mm]")]
    for video in videos:
        truth = HumanData.load(video.with_suffix(".npz"))
        try:
            error, followed = _error(recoverer(video), truth)
        except MissingDataError:
            error, followed = float("nan"), 0.0  # which meets no bar
        frames += len(truth)
        errors.append(error)
        rows.append((_name(video), str(len(truth)), f"{100 * followed:.0f} %", f"{error:.0f}"))
        print("  ".join(rows[-1]), flush=True)
    figures = {
        "videos": float(len(videos)),
        "pa_mpjpe_mm": float(np.mean(errors)),
        "cpu_ms_per_frame": 1e3 * (time.process_time() - begin) / max(frames, 1),
    }
    rows.append(("mean", str(frames), "", f"{figures['pa_mpjpe_mm']:.1f}"))
    return rows, figures, {"pa_mpjpe_mm": ["<=", 100], "videos": [">=", VIDEOS]}


def _name(video: Path) -> str:
    return f"{video.parent.name}/{video.stem}"


def _make(folder: Path, config_path: Path, seed: int) -> None:
    """Makes the videos that are not there yet."""
    from mviper.synthesis import Factory, complete_config, list_jobs

    for number, clip in enumerate(CLIPS):
        overrides = {
            "source.names": [clip],
            "seed": seed,
            "max_frames": FRAMES,
            "min_seconds": 0.5,
            "cameras.views": [VIEWS[number % len(VIEWS)]],
        }
        config = complete_config(load_config(config_path, overrides).to_dict())
        for job in list_jobs(config, 1):
            if not job.folder(folder).exists():
                print(f"making {job.name}", flush=True)
                Factory(config).make(job, folder)


def _videos_of(folders: list[Path]) -> list[Path]:
    """Ten videos of different sequences, as far as there are, spread over the data, the views by turns."""
    sequences = [sequence for folder in folders for sequence in find_sequences(folder)]
    videos = []
    for number in range(VIDEOS):
        sequence = sequences[number * max(len(sequences), VIDEOS) // VIDEOS % len(sequences)]
        views = sequence.manifest["views"]
        videos.append(sequence.folder / f"{views[(number + number // len(sequences)) % len(views)]}.mp4")
    return list(dict.fromkeys(videos))


def _error(result: object, truth: HumanData) -> tuple[float, float]:
    """Mean PA-MPJPE [mm] of SMPL's 24 joints over the frames, and in which share of them the person was followed.

    Frames in which the person was not followed count as those nearest in time.
    """
    person = result.people[0]
    joints = torch.from_numpy(result.joints(person)[:, :24]).double()
    nearest = (torch.arange(len(truth)) - person.first).clamp(0, len(person) - 1)
    error = pa_joint_error(joints[nearest], torch.from_numpy(truth.keypoints3d[:, :24, :3]).double())
    return 1e3 * float(error.mean()), len(person) / len(truth)
