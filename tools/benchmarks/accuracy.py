"""Accuracy of recovery without a network, against the ground truth of generated videos."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from benchmarks import Result
from mviper.body import BodyShape
from mviper.config import load_config
from mviper.datasets import find_sequences
from mviper.errors import MissingDataError
from mviper.evaluation import pa_joint_error, similarity_align
from mviper.inference import MeshRecoverer, RecoveryResult
from mviper.structures import KEYPOINTS, HumanData

#: Clips of the pybullet wheel from which videos are generated if none are given, one view each, from all directions.
CLIPS = ("walk", "run", "jump", "kick", "punch", "spin", "dance_a", "dance_b", "spinkick", "cartwheel")
VIEWS = ("south", "east", "north", "west")
#: Frames per video.
FRAMES = 45
#: Maximum number of videos from a data set.
VIDEOS = 20


def measure(arguments: argparse.Namespace) -> Result:
    """Recovers generated videos with the defaults of ``tools/recover.py``: the camera is unknown."""
    torch.set_num_threads(1)
    if arguments.data:
        videos = _videos_of(arguments.data)
    else:
        folder = arguments.out or Path("work_dirs/accuracy")
        _make(folder, arguments.config or Path("configs/synthesis/painted.py"), arguments.seed)
        videos = _videos_of([folder])
    recoverer, begin, frames, judged = MeshRecoverer(), time.process_time(), 0, []
    rows = [("video", "frames", *COLUMNS)]
    for video in videos:
        truth = Truth.load(video)
        try:
            figures = judge(recoverer(video), truth)
        except MissingDataError:
            figures = dict.fromkeys(COLUMNS, float("nan"))  # NaN meets no target
        frames += len(truth.joints)
        judged.append(figures)
        rows.append((_name(video), str(len(truth.joints)), *_cells(figures)))
        print("  ".join(rows[-1]), flush=True)
    table = {name: np.array([figures[name] for figures in judged]) for name in COLUMNS}
    middle = {name: float(np.nanmedian(values)) for name, values in table.items()}
    rows.append(("mean", str(frames), *_cells({name: float(np.mean(values)) for name, values in table.items()})))
    rows.append(("median", "", *_cells(middle)))
    figures = {
        "videos": float(len(videos)),
        "cpu_ms_per_frame": 1e3 * (time.process_time() - begin) / max(frames, 1),
        "pa_mpjpe_mm": float(np.mean(table["PA [mm]"])),
        "up_median_degrees": middle["up [deg]"],
        "up_worst_degrees": float(np.max(table["up [deg]"])),
        "lean_median_degrees": middle["lean [deg]"],
        "lean_worst_degrees": float(np.max(table["lean [deg]"])),
        "limbs_percent": middle["limbs [%]"],
        "girths_percent": middle["girths [%]"],
        "slide_mm": float(np.nanmean(table["slide [mm]"])),
        "float_mm": float(np.nanmean(table["float [mm]"])),
        "root_acceleration_ratio": float(np.mean(table["acceleration"])),
        "path_mm": float(np.mean(table["path [mm]"])),
        "path_still_mm": float(np.mean(table["still [mm]"])),
        "path_similarity_mm": float(np.mean(table["path, sim. [mm]"])),
        "path_similarity_still_mm": float(np.mean(table["still, sim. [mm]"])),
    }
    targets = {
        "pa_mpjpe_mm": ["<=", 100], "up_median_degrees": ["<=", 4],
        "up_worst_degrees": ["<=", 12], "limbs_percent": ["<=", 4], "girths_percent": ["<=", 6], "slide_mm": ["<=", 6],
        "root_acceleration_ratio": ["<=", 1.5], "cpu_ms_per_frame": ["<=", 150],
    }  # fmt: skip
    return rows, figures, targets


#: Figures of each video: PA-MPJPE of SMPL's 24 joints; angle between recovered and true up, in camera and body axes;
#: mean deviation of limb lengths and of girths, at equal height; motion per frame and height error of foot points that
#: truly rest; the root's mean acceleration relative to the true one; mean error of its path with the first frames
#: aligned and after a similarity, each next to that of a motionless root.
COLUMNS = (
    "PA [mm]", "up [deg]", "lean [deg]", "limbs [%]", "girths [%]", "slide [mm]", "float [mm]", "acceleration",
    "path [mm]", "still [mm]", "path, sim. [mm]", "still, sim. [mm]",
)  # fmt: skip
_LIMBS = (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("neck", "pelvis"),
    ("left_shoulder", "right_shoulder"),
)  # fmt: skip
_FEET = [KEYPOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("heel", "bigtoe")]
#: A foot point rests if it is no faster than this [m/s] and no higher than this above its lowest position [m].
_RESTS, _LOW = 0.15, 0.06


def _cells(figures: dict[str, float]) -> list[str]:
    return [f"{figures[name]:.2f}" if name == "acceleration" else f"{figures[name]:.1f}" for name in COLUMNS]


@dataclass
class Truth:
    """Ground truth of a generated video.

    Attributes:
        joints: In camera axes [m], shape (T, 44, 3).
        world: The same in the world [m].
        up: The world's up in camera axes, shape (T, 3).
        betas: The body's shape.
        fps: Frames per second.
    """

    joints: np.ndarray
    world: np.ndarray
    up: np.ndarray
    betas: np.ndarray
    fps: float

    @classmethod
    def load(cls, video: Path) -> Truth:
        """Reads it from the sequence's folder."""
        view = HumanData.load(video.with_suffix(".npz"))
        camera, joints = view.camera, view.keypoints3d[..., :3].astype(float)
        world = np.einsum("tji,tnj->tni", camera.R, joints - camera.t[:, None])
        manifest = json.loads((video.parent / "manifest.json").read_text())
        return cls(joints, world, camera.R[:, :, 2], view.smpl["betas"][0].astype(float), manifest["fps"])


def judge(result: RecoveryResult, truth: Truth) -> dict[str, float]:
    """The figures of :data:`COLUMNS` for one recovered video.

    Untracked frames count only in the first figure, with the pose nearest in time.
    """
    person = result.people[0]
    joints = result.joints(person).astype(float)
    nearest = (np.arange(len(truth.joints)) - person.first).clip(0, len(person) - 1)
    figures = {"PA [mm]": 1e3 * float(pa_joint_error(*(torch.from_numpy(values[:, :24].copy()) for values in
                                                       (joints[nearest], truth.joints))).mean())}  # fmt: skip
    count = min(len(person), len(truth.joints) - person.first)
    shown = slice(person.first, person.first + count)
    motion = result.motion(person)
    rotmat = Rotation.from_rotvec(motion.poses.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)[:count]
    with torch.no_grad():
        world = result.body(
            *(torch.as_tensor(np.asarray(values), dtype=torch.float32)
              for values in (np.tile(motion.betas, (count, 1)), rotmat, motion.transl[:count])),
            return_vertices=False,
        ).joints.numpy().astype(float)  # fmt: skip
    to_world = rotmat[:, 0] @ person.rotmat[:count, 0].transpose(0, 2, 1)
    figures["up [deg]"] = _degrees(to_world[:, 2], truth.up[shown])
    turn = _kabsch(world[:, :24], truth.world[shown, :24])
    figures["lean [deg]"] = _degrees(turn[:, :, 2], np.array([[0.0, 0.0, 1.0]]))

    true_body, own_body = (BodyShape.from_body(result.body, np.asarray(betas, float)) for betas in
                           (truth.betas, person.betas))  # fmt: skip
    true, own = (body.measurements() for body in (true_body, own_body))
    size = true["height"] / own["height"]
    limbs = [abs(size * _length(own_body, limb) / _length(true_body, limb) - 1) for limb in _LIMBS]
    figures["limbs [%]"] = 100 * float(np.mean(limbs))
    figures["girths [%]"] = 100 * float(
        np.mean([abs(size * own[name] / true[name] - 1) for name in ("bust", "waist", "hip")])
    )

    resting = _resting(truth.world[shown][:, _FEET], truth.fps)
    moved = np.linalg.norm(np.diff(world[:, _FEET], axis=0), axis=-1)
    both = resting[1:] & resting[:-1]
    figures["slide [mm]"] = 1e3 * size * float(moved[both].mean()) if both.any() else float("nan")
    off = size * world[:, _FEET, 2] - truth.world[shown][:, _FEET, 2]
    figures["float [mm]"] = 1e3 * float(np.abs(off[resting]).mean()) if resting.any() else float("nan")

    path, true_path = size * world[:, 0], truth.world[shown, 0]
    accelerations = [np.linalg.norm(np.diff(each, 2, axis=0), axis=1).mean() for each in (path, true_path)]
    figures["acceleration"] = float(accelerations[0] / accelerations[1])
    from_start = (path - path[0]) @ _heading(world[0, :24], truth.world[shown][0, :24]).T - (true_path - true_path[0])
    figures["path [mm]"] = 1e3 * float(np.linalg.norm(from_start, axis=1).mean())
    figures["still [mm]"] = 1e3 * float(np.linalg.norm(true_path - true_path[0], axis=1).mean())
    aligned = similarity_align(*(torch.from_numpy(values[None].copy()) for values in (path, true_path)))[0].numpy()
    figures["path, sim. [mm]"] = 1e3 * float(np.linalg.norm(aligned - true_path, axis=1).mean())
    figures["still, sim. [mm]"] = 1e3 * float(np.linalg.norm(true_path - true_path.mean(0), axis=1).mean())
    return figures


def _degrees(first: np.ndarray, second: np.ndarray) -> float:
    """Mean angle between unit vectors (T, 3)."""
    return float(np.degrees(np.arccos(np.clip((first * second).sum(-1), -1, 1))).mean())


def _kabsch(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares rotations (T, 3, 3) of centred points (T, J, 3) onto others (Kabsch, 1976)."""
    points, target = (values - values.mean(1, keepdims=True) for values in (points, target))
    left, _, right = np.linalg.svd(target.transpose(0, 2, 1) @ points)
    sign = np.ones((len(left), 3))
    sign[:, 2] = np.linalg.det(left) * np.linalg.det(right)
    return (left * sign[:, None]) @ right


def _heading(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation about z that best aligns points (J, 3) to others, (3, 3)."""
    points, target = (values - values.mean(0) for values in (points, target))
    cross = (points[:, 0] * target[:, 1] - points[:, 1] * target[:, 0]).sum()
    return Rotation.from_euler("z", np.arctan2(cross, (points * target)[:, :2].sum())).as_matrix()


def _length(body: BodyShape, limb: tuple[str, str]) -> float:
    """Length of a limb, mean of both sides [m]."""
    ends = KEYPOINTS if limb[0] in KEYPOINTS else None
    sides = [limb] if ends else [tuple(f"{side}_{end}" for end in limb) for side in ("left", "right")]
    return float(np.mean([np.linalg.norm(body.joint(first) - body.joint(second)) for first, second in sides]))


def _resting(feet: np.ndarray, fps: float) -> np.ndarray:
    """Which points (T, F, 3) of the feet rest on the floor, (T, F)."""
    speed = np.linalg.norm(np.gradient(feet, axis=0), axis=-1) * fps
    return (speed < _RESTS) & (feet[..., 2] < feet[..., 2].min(0) + _LOW)


def _name(video: Path) -> str:
    return f"{video.parent.name}/{video.stem}"


def _make(folder: Path, config_path: Path, seed: int) -> None:
    """Generates the missing videos."""
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
                print(f"generating {job.name}", flush=True)
                Factory(config).make(job, folder)


def _videos_of(folders: list[Path]) -> list[Path]:
    """Videos of different sequences where possible, spread over the data, with alternating views."""
    sequences = [sequence for folder in folders for sequence in find_sequences(folder)]
    videos = []
    for number in range(VIDEOS):
        sequence = sequences[number * max(len(sequences), VIDEOS) // VIDEOS % len(sequences)]
        views = sequence.manifest["views"]
        videos.append(sequence.folder / f"{views[(number + number // len(sequences)) % len(views)]}.mp4")
    return list(dict.fromkeys(videos))
