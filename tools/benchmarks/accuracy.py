"""Accuracy of recovery against the ground truth of generated videos: several ways, from the same observations."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from mviper.inference import Background, Matches, MeshRecoverer, Observation, RecoveryResult
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
    ways = _ways(arguments.network, arguments.parts)
    (observer, _), *_ = ways.values()
    judged: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    spent, frames = dict.fromkeys(["detection", *ways], 0.0), 0
    print("  ".join(("video", "way", *COLUMNS)))
    for video in videos:
        truth = Truth.load(video)
        frames += len(truth.joints)
        begin = time.process_time()
        try:
            seen = observer.observe(video)
        except MissingDataError:
            seen = None
        spent["detection"] += time.process_time() - begin
        for way, (recoverer, leave_out) in ways.items():
            begin = time.process_time()
            result = None if seen is None else recoverer.recover(leave_out(seen))
            spent[way] += time.process_time() - begin
            nothing = dict.fromkeys((*COLUMNS, "resting"), float("nan"))  # NaN meets no target
            judged[way].append(nothing if result is None else judge(result, truth))
            print("  ".join((_name(video), way, *_cells(judged[way][-1]))), flush=True)
    hard = [json.loads((video.parent / "manifest.json").read_text())["clip"] in _hard() for video in videos]
    rows, figures = [("way", "videos", *COLUMNS, "CPU ms a frame")], {"videos": len(videos), "frames": frames}
    for way, each in judged.items():
        cost = 1e3 * (spent["detection"] + spent[way]) / max(frames, 1)
        some = [one for one, is_hard in zip(each, hard) if is_hard]
        for kind, chosen in (("all", each), ("hard", some)) if some else (("all", each),):
            for name, middle in (("mean", np.nanmean), ("median", np.nanmedian), ("worst", np.nanmax)):
                values = {column: float(middle([one[column] for one in chosen])) for column in COLUMNS}
                rows.append((way, f"{kind}, {name}", *_cells(values), f"{cost:.0f}"))
        figures[way] = {
            **_summary(each), "cpu_ms_per_frame": cost, **({"hard": _summary(some)} if some else {}),
            "each": {_name(video): one for video, one in zip(videos, each)},
        }  # fmt: skip
    main = figures[next(iter(ways))]
    main["pa_mpjpe_by_the_fits"] = main["pa_mpjpe_mm"] / figures["fit"]["pa_mpjpe_mm"]
    figures |= {name: main[name] for name in _TARGETS}
    return rows, figures, _TARGETS


#: Limits of the first way's figures.
_TARGETS = {
    "pa_mpjpe_mm": ["<=", 80], "pa_mpjpe_by_the_fits": ["<=", 0.9],
    "up_median_degrees": ["<=", 4], "up_worst_degrees": ["<=", 12],
    "limbs_percent": ["<=", 4], "girths_percent": ["<=", 6], "slide_mm": ["<=", 6],
    "slide_of_all_points_mm": ["<=", 6], "root_acceleration_ratio": ["<=", 1.5], "cpu_ms_per_frame": ["<=", 150],
}  # fmt: skip


def _ways(
    network: list[Path] | None, parts: bool
) -> dict[str, tuple[MeshRecoverer, Callable[[Observation], Observation]]]:
    """Recoverers by name, each with a function that leaves out part of an observation; the first is the default."""

    def whole(seen: Observation) -> Observation:
        return seen

    def without_masks(seen: Observation) -> Observation:
        return replace(seen, tracks=[replace(track, masks={}) for track in seen.tracks])

    def without_background(seen: Observation) -> Observation:
        nothing = np.zeros((0, 2), np.float32)
        background = Background()
        background.matches = [Matches(number, nothing, nothing) for number in range(len(seen.times))]
        return replace(seen, background=background)

    full, default = network or (), MeshRecoverer(*(network or ()), refine=True)
    ways = {
        "network + fit": (default, whole),
        "fit": (MeshRecoverer(None), whole),
        "network": (MeshRecoverer(*full, refine=False), whole),
    }
    if parts:
        ways |= {
            "without masks": (default, without_masks),
            "without contacts": (MeshRecoverer(*full, refine=True, contacts=False), whole),
            "without the camera's rotation": (default, without_background),
            "without augmentation": (MeshRecoverer(*full, refine=True, tta=False), whole),
        }
    return ways


def _hard() -> list[str]:
    return load_config("configs/recovery/test.py").hard_test


def _summary(judged: list[dict[str, float]]) -> dict[str, float]:
    """Figures over some videos."""
    table = {name: np.array([figures[name] for figures in judged]) for name in (*COLUMNS, "resting")}
    resting = np.nan_to_num(table["resting"])
    return {
        "pa_mpjpe_mm": float(np.mean(table["PA [mm]"])),
        "up_median_degrees": float(np.median(table["up [deg]"])),
        "up_worst_degrees": float(np.max(table["up [deg]"])),
        "lean_median_degrees": float(np.median(table["lean [deg]"])),
        "lean_worst_degrees": float(np.max(table["lean [deg]"])),
        "limbs_percent": float(np.median(table["limbs [%]"])),
        "girths_percent": float(np.median(table["girths [%]"])),
        "slide_mm": float(np.nanmean(table["slide [mm]"])),
        "slide_of_all_points_mm": float(resting @ np.nan_to_num(table["slide [mm]"]) / max(resting.sum(), 1)),
        "float_mm": float(np.nanmean(table["float [mm]"])),
        "root_acceleration_ratio": float(np.mean(table["acceleration"])),
        "path_mm": float(np.mean(table["path [mm]"])),
        "path_still_mm": float(np.mean(table["still [mm]"])),
        "path_similarity_mm": float(np.mean(table["path, sim. [mm]"])),
        "path_similarity_still_mm": float(np.mean(table["still, sim. [mm]"])),
    }


#: Figures of each video: PA-MPJPE of SMPL's 24 joints; angle between recovered and true up, in camera and body axes;
#: mean deviation of limb lengths and of girths, at equal height; motion per frame and height error of foot points that
#: truly rest; the root's mean acceleration relative to the true one; mean error of its path with the first frames
#: aligned and after a similarity, each next to that of a motionless root. ``resting`` counts the pairs of frames in
#: which a foot point truly rests, over which "slide" is the mean.
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
    """The figures of :data:`COLUMNS`, and ``resting``, for one recovered video.

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
    figures["resting"] = float(both.sum())
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
    sequences = [sequence for folder in folders for sequence in find_sequences(folder) if len(sequence.people) == 1]
    if not sequences:
        raise MissingDataError(f"{', '.join(map(str, folders))}: no sequence of one person")
    videos = []
    for number in range(VIDEOS):
        sequence = sequences[number * max(len(sequences), VIDEOS) // VIDEOS % len(sequences)]
        views = sequence.manifest["views"]
        videos.append(sequence.folder / f"{views[(number + number // len(sequences)) % len(views)]}.mp4")
    return list(dict.fromkeys(videos))
