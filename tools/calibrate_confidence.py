#!/usr/bin/env python
"""Calibrates recovery's confidence: predicts errors on generated videos from features that need no ground truth.

Also prints the coverage of the intervals under leave-one-out cross-validation over the videos.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from mviper.config import command, run_tool
from mviper.datasets import find_sequences
from mviper.errors import MissingDataError
from mviper.files import atomic_path
from mviper.inference import REASONS, Calibration, MeshRecoverer
from mviper.structures import SMPL_JOINTS, HumanData

#: Body height to which errors are scaled: the sum of bones from head to ankle [m].
_TALL = (("head", "neck"), ("neck", "pelvis"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python tools/calibrate_confidence.py data/recovery_val"
    )
    parser.add_argument("data", type=Path, nargs="+", metavar="DIR", help="validation videos from generate.py")
    parser.add_argument(
        "--out", type=Path, default=Path("mviper/inference/data/confidence.json"), metavar="FILE",
        help="output file (default: the package's own)",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Recovers all videos, fits the calibration and writes it."""
    arguments = parse_arguments()
    torch.set_num_threads(1)
    recoverer, features, errors, names = MeshRecoverer(), [], [], []
    for folder in arguments.data:
        for sequence in (each for each in find_sequences(folder) if len(each.people) == 1):
            for video in sorted(sequence.folder.glob("*.mp4")):
                truth = HumanData.load(video.with_suffix(".npz")).keypoints3d[:, :24, :3].astype(float)
                try:
                    person = (result := recoverer(video)).people[0]
                except MissingDataError:
                    print(f"{video}: nobody found")
                    continue
                true = truth[person.first : person.first + len(person)]
                features.append(person.features)
                errors.append(joint_errors(result.joints(person)[:, :24].astype(float), true))
                names.append(f"{sequence.folder.name}/{video.stem}")
                print(f"{names[-1]}: {1e3 * errors[-1].mean():.0f} mm", flush=True)
    if len(names) < 2:
        raise MissingDataError(f"{', '.join(map(str, arguments.data))}: fewer than two videos with people")
    covered = []
    for number, name in enumerate(names):
        others = [k for k in range(len(names)) if k != number]
        learned = Calibration.of(*(np.concatenate([values[k] for k in others]) for values in (features, errors)))
        inside = errors[number] <= learned.judge(features[number]).interval
        covered.append(inside.mean())
        print(f"{name}: intervals learned from the others cover {100 * covered[-1]:.0f} %")
    print(f"all: {100 * np.average(covered, weights=[len(values) for values in errors]):.1f} % (target: 90 %)")
    learned = Calibration.of(np.concatenate(features), np.concatenate(errors))
    described = {
        "command": command("calibrate_confidence", *(path.name for path in arguments.data)),
        "videos": names,
        "frames": sum(map(len, errors)),
        "held_by_the_others_intervals": round(float(np.mean(covered)), 3),
        "bias": round(learned.bias, 4),
        "weights": dict(zip(REASONS, learned.weights.round(4).tolist())),
        "usual": dict(zip(REASONS, learned.usual.round(4).tolist())),
        "shares": dict(zip(SMPL_JOINTS, learned.shares.round(3).tolist())),
    }
    with atomic_path(arguments.out) as temporary:
        temporary.write_text(json.dumps(described, indent=1) + "\n")
    print(f"Wrote {arguments.out}")


def joint_errors(joints: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Root-relative distances of joints (T, 24, 3) from the true ones, at equal body height [m], (T, 24)."""
    sizes = []
    for values in (joints, true):
        ends = [[SMPL_JOINTS.index(name) for name in bone] for bone in _TALL]
        sizes.append(np.median(sum(np.linalg.norm(values[:, a] - values[:, b], axis=-1) for a, b in ends)))
    scaled = (joints - joints[:, :1]) * sizes[1] / sizes[0]
    return np.linalg.norm(scaled - (true - true[:, :1]), axis=-1)


if __name__ == "__main__":
    run_tool(main)
