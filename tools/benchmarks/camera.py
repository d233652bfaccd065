"""Recovery of film footage: cuts, rotating cameras and focal length, crossing people; on composed videos."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from benchmarks import Result
from mviper.body import SMPL, axis_angle_to_matrix
from mviper.config import load_config
from mviper.datasets import find_sequences
from mviper.errors import MissingDataError
from mviper.graphics import perspective, rasterize
from mviper.inference import (
    Background,
    Frame,
    PeopleTracker,
    estimate_focal,
    measure_motion,
    open_frames,
    optics_of,
    with_cuts,
)
from mviper.structures import HumanData

#: Real videos, the first with a static camera.
_VIDEOS = Path("../shared/data/videos")
_CONFIG = Path(__file__).parents[2] / "configs/synthesis/painted.py"
#: Clips of the pybullet wheel for crossing people; none is held out for testing.
CLIPS = ("walk", "run", "jump", "spinkick", "punch", "spin", "dance_a", "crawl")
#: Frames per person, and per composed video.
_PERSON_FRAMES, CROSSING_FRAMES = 60, 75
#: Number of composed videos with two and with three people.
CROSSINGS = {2: 12, 3: 8}
#: Size of the composed pictures [px].
WIDTH, HEIGHT = 640, 360
#: Focal lengths of the rotating cameras, in picture diagonals, and their rotations [degrees].
_FOCALS = (0.6, 0.75, 0.9, 1.2)


def measure(arguments: argparse.Namespace) -> Result:
    """Measures cuts, then cameras, then crossings."""
    paths = sorted(_VIDEOS.glob("*.mp4")) if arguments.data is None else [Path(path) for path in arguments.data]
    if not paths:
        raise MissingDataError(f"{_VIDEOS}: no videos; give a folder with --data")
    torch.set_num_threads(1)
    folder = arguments.out or Path("work_dirs/camera")
    make_people(folder, arguments.seed)
    videos = [video for sequence in find_sequences(folder) for video in sorted(sequence.folder.glob("*.mp4"))]
    rows: list[tuple[str, ...]] = [("what", "figure")]
    figures: dict[str, float] = {}
    for part in (_cuts(paths, videos), _cameras(paths), _crossings(videos, arguments.seed)):
        for name, (text, value) in part.items():
            rows.append((name, text))
            figures[name.replace(" ", "_").replace(",", "")] = value
            print("  ".join(rows[-1]), flush=True)
    targets = {"cuts_found": [">=", 10], "cuts_found_where_none_are": ["<=", 0], "uncut_frames": [">=", 3000],
               "numbers_kept_percent": [">=", 95]}  # fmt: skip
    return rows, figures, targets


def make_people(folder: Path, seed: int, clips: Sequence[str] = CLIPS, frames: int = _PERSON_FRAMES) -> None:
    """Generates the missing videos of single people."""
    from mviper.synthesis import Factory, complete_config, list_jobs

    views = ("south", "east", "north", "west")
    for number, clip in enumerate(clips):
        settings = {
            "source.names": [clip], "seed": seed + number, "max_frames": frames, "min_seconds": 0.3,
            "cameras.views": [views[number % 4]], "cameras.resolution": 256, "cameras.lens": 50.0,
        }  # fmt: skip
        config = load_config(_CONFIG, settings).to_dict()
        config |= {"renderer": {"type": "RasterRenderer"}, "passes": []}
        config = complete_config(config)
        for job in list_jobs(config, 1):
            if not job.folder(folder).exists():
                print(f"generating {job.name}", flush=True)
                Factory(config).make(job, folder)


def _small(path: Path) -> list[np.ndarray]:
    """A video's frames, 192 px high."""
    frames = []
    for frame in open_frames(path):
        scale = 192 / frame.image.shape[0]
        frames.append(cv2.resize(frame.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return frames


def _found(images: Sequence[np.ndarray]) -> list[int]:
    frames = (Frame(number, number / 30, image) for number, image in enumerate(images))
    return [frame.number for frame, is_cut in with_cuts(frames) if is_cut]


def _cuts(paths: Sequence[Path], videos: Sequence[Path]) -> dict[str, tuple[str, float]]:
    """Ten cuts between real and generated takes; and takes without cuts: original, at a third of the rate, panned.

    Returns:
        Figures with their texts, by name.
    """
    takes = [_small(path) for path in (*paths, *videos)]
    size = (256, 192)
    order = [(0, 1), (1, 4), (4, 2), (2, 5), (5, 3), (3, 0), (0, 6), (6, 7), (7, 1), (1, 2)]
    images, wanted = [cv2.resize(image, size) for image in takes[order[0][0]][:10]], []
    for place, (_, other) in enumerate(order):
        wanted.append(len(images))
        images += [cv2.resize(image, size) for image in takes[other][: 6 + place]]
    found = _found(images)
    uncut, wrong = 0, 0
    for take in takes:
        for step in (1, 3):
            uncut, wrong = uncut + len(take[::step]), wrong + len(_found(take[::step]))
        width, height = take[0].shape[1], take[0].shape[0]
        for speed in (0.02, 0.1, 0.25):  # widths per frame, back and forth
            window = width // 2
            span = width - window
            places = [abs((number * speed * width / span + 1) % 2 - 1) * span for number in range(len(take))]
            panned = [image[: height * 3 // 4, int(x) : int(x) + window] for image, x in zip(take, places)]
            uncut, wrong = uncut + len(panned), wrong + len(_found(panned))
    right = len(set(found) & set(wanted))
    return {
        "cuts found": (f"{right} of {len(wanted)}", float(right)),
        "cuts found where none are": (f"{wrong + len(set(found) - set(wanted))}", float(wrong)),
        "uncut frames": (f"{uncut}", float(uncut)),
    }


def turning(images: Sequence[np.ndarray], angles: np.ndarray, focal: float, source: float) -> Iterator[tuple]:
    """Simulates a rotating camera in a distant scene: pictures of a static camera, warped by K' R K^-1.

    Args:
        images: Pictures of the static camera, (H, W, 3) each.
        angles: Rotations about x, y and z [degrees], shape (T, 3).
        focal: Focal length of the rotating camera [px], whose pictures are :data:`WIDTH` x :data:`HEIGHT`.
        source: Focal length of the static camera [px].

    Yields:
        Pictures and rotations (3, 3).
    """
    height, width = images[0].shape[:2]
    (K, own) = (
        np.array([[f, 0, (w - 1) / 2], [0, f, (h - 1) / 2], [0, 0, 1]])
        for f, w, h in ((source, width, height), (focal, WIDTH, HEIGHT))
    )
    for image, turn in zip(images, Rotation.from_euler("xyz", angles, degrees=True).as_matrix()):
        view = own @ turn @ np.linalg.inv(K)
        yield cv2.warpPerspective(image, view, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT), turn


def _cameras(paths: Sequence[Path]) -> dict[str, tuple[str, float]]:
    """Pans and hand-held shots with known rotation and focal length, from a real static video."""
    still = next(path for path in paths if path.stem == "sports2d_demo")
    images = [frame.image for _, frame in zip(range(60), open_frames(still))]
    seconds = np.arange(60)[:, None] / 30
    ways = {
        "pan": seconds * [1.0, 8.0, 0.0],
        "hand": 0.5 * np.sin(2 * np.pi * (seconds * [1.3, 0.9, 0.7] + [0.1, 0.4, 0.8])),
        "tripod": 0 * seconds * np.ones(3),
    }
    results: dict[str, tuple[str, float]] = {}
    off, guessed, errors, stills = [], [], {way: [] for way in ways}, []
    for way, angles in ways.items():
        for share in _FOCALS:
            focal = share * float(np.hypot(WIDTH, HEIGHT))
            background, true = Background(), []
            for image, turn in turning(images, angles, focal, 1.6 * focal):
                background.step(image, [])
                true.append(turn)
            guess = optics_of({}, WIDTH, HEIGHT)
            optics = estimate_focal(background, (), WIDTH, HEIGHT, guess)
            if way == "pan":
                off.append(abs(np.log(optics.focal / focal)))
                guessed.append(abs(np.log(guess.focal / focal)))
            motion = measure_motion(background, (), WIDTH, HEIGHT, optics.focal)
            wanted = np.array(true) @ true[0].T
            error = Rotation.from_matrix(motion.rotation @ wanted.transpose(0, 2, 1)).magnitude()
            errors[way].append(np.rad2deg(error).max())
            stills.append(bool(motion.still.all()) == (way == "tripod"))
    results["focal length off, pans, mean percent"] = (
        f"{100 * np.mean(off):.1f} (guess {100 * np.mean(guessed):.0f})", 100 * float(np.mean(off))
    )  # fmt: skip
    for way, values in errors.items():
        results[f"rotation off, {way}, worst degrees"] = (f"{max(values):.2f}", float(max(values)))
    results["still or not, percent right"] = (f"{100 * np.mean(stills):.0f}", 100 * float(np.mean(stills)))
    return results


def cut_out(video: Path, body: SMPL) -> list[np.ndarray]:
    """A person cut out of a generated video by the annotated body's outline, RGBA (H, W, 4) uint8."""
    truth = HumanData.load(video.with_suffix(".npz"))
    pose = np.concatenate([truth.smpl["global_orient"][:, None], truth.smpl["body_pose"]], 1)
    sprites = []
    for number, frame in enumerate(open_frames(video)):
        with torch.no_grad():
            vertices = body(
                torch.from_numpy(truth.smpl["betas"][number : number + 1]).float(),
                axis_angle_to_matrix(torch.from_numpy(pose[number : number + 1]).float()),
                torch.from_numpy(truth.smpl["transl"][number : number + 1]).float(),
            ).vertices[0].numpy()  # fmt: skip
        mesh = perspective(vertices, body.faces, truth.camera.K)
        mask = rasterize(mesh, body.faces, *frame.image.shape[:2]).mask.astype(np.uint8) * 255
        soft = cv2.GaussianBlur(cv2.dilate(mask, np.ones((3, 3), np.uint8)), (3, 3), 0)
        sprites.append(np.dstack([frame.image, soft]))
    return sprites


def compose(people: Sequence[list[np.ndarray]], behind: np.ndarray, paths: np.ndarray) -> Iterator[np.ndarray]:
    """Composites people over a picture.

    Args:
        people: Each person's cut-out frames, played back and forth.
        behind: RGB, shape (H, W, 3).
        paths: Upper left corner of each person in each frame [px], shape (P, T, 2); the last is in front.

    Yields:
        The frames.
    """
    for number in range(paths.shape[1]):
        picture = behind.copy()
        for sprites, path in zip(people, paths):
            place = number % (2 * len(sprites) - 2)
            sprite = sprites[place if place < len(sprites) else 2 * len(sprites) - 2 - place]
            left, top = np.round(path[number]).astype(int)
            x, y = max(left, 0), max(top, 0)
            part = picture[y : top + sprite.shape[0], x : left + sprite.shape[1]]
            cut = sprite[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]].astype(np.float32)
            share = cut[..., 3:] / 255
            part[...] = (part * (1 - share) + cut[..., :3] * share + 0.5).astype(np.uint8)
        yield picture


def crossing_paths(count: int, rng: np.random.Generator, side: int) -> np.ndarray:
    """Corners of people who cross the picture in opposite directions, (P, T, 2)."""
    time_ = np.linspace(0, 1, CROSSING_FRAMES)
    paths = []
    for number in range(count):
        left, right = rng.uniform(-40, 10), WIDTH - side + rng.uniform(-10, 40)
        ends = (left, right) if number % 2 == 0 else (right, left)
        if number == 2:  # the third stays near the middle
            ends = ((left + right) / 2 - 30, (left + right) / 2 + 30)
        x = ends[0] + (ends[1] - ends[0]) * time_
        paths.append(np.stack([x, np.full_like(x, HEIGHT - side - rng.uniform(5, 60))], 1))
    return np.array(paths)


def _crossings(videos: Sequence[Path], seed: int) -> dict[str, tuple[str, float]]:
    """Crossing people from generated videos: how many keep their track id from start to end."""
    body, rng = SMPL(), np.random.default_rng(seed)
    sprites = [cut_out(video, body) for video in videos]
    streets = [
        cv2.resize(next(iter(open_frames(path))).image, (WIDTH, HEIGHT)) for path in sorted(_VIDEOS.glob("s*.mp4"))
    ]
    behind = cv2.GaussianBlur(streets[0], (0, 0), 6)
    kept, total, spent, frames = {2: 0, 3: 0}, {2: 0, 3: 0}, 0.0, 0
    for count, repeats in CROSSINGS.items():
        for _ in range(repeats):
            chosen = rng.choice(len(sprites), count, replace=False)
            paths = crossing_paths(count, rng, sprites[0][0].shape[0])
            begin = time.process_time()
            same = numbers_kept([sprites[k] for k in chosen], behind, paths)
            spent, frames = spent + time.process_time() - begin, frames + paths.shape[1]
            kept[count], total[count] = kept[count] + sum(same), total[count] + len(same)
    every = 100 * sum(kept.values()) / max(sum(total.values()), 1)
    return {
        "numbers kept, percent": (f"{every:.0f}", every),
        "numbers kept, two people": (f"{kept[2]} of {total[2]}", 100 * kept[2] / max(total[2], 1)),
        "numbers kept, three people": (f"{kept[3]} of {total[3]}", 100 * kept[3] / max(total[3], 1)),
        "CPU ms a frame of crossings": (f"{1e3 * spent / max(frames, 1):.0f}", 1e3 * spent / max(frames, 1)),
    }


def numbers_kept(people: Sequence[list[np.ndarray]], behind: np.ndarray, paths: np.ndarray) -> list[bool]:
    """Whether each person has the same, unique track id in the first and last quarter of a composed video."""
    tracker = PeopleTracker(30.0, len(people))
    half = np.array([people[0][0].shape[1], people[0][0].shape[0]]) / 2
    votes: list[dict[str, list[int]]] = [{"first": [], "last": []} for _ in people]
    count = paths.shape[1]
    for number, image in enumerate(compose(people, behind, paths)):
        seen = tracker.step(Frame(number, number / 30, image))
        part = "first" if number < count // 4 else "last" if number >= count - count // 4 else None
        for vote, path in zip(votes, paths):
            away = {n: abs(pose.box[0][0] - path[number, 0] - half[0]) for n, pose in seen.items()}
            nearest = min(away, key=lambda n: away[n], default=None)
            if part and nearest is not None and away[nearest] < half[0]:
                vote[part].append(nearest)
    tracker.finish()
    ends = [{part: max(set(numbers), key=numbers.count) for part, numbers in vote.items() if numbers} for vote in votes]
    return [
        len(end) == 2 and end["first"] == end["last"] and sum(other.get("last") == end["last"] for other in ends) == 1
        for end in ends
    ]
