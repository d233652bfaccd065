#!/usr/bin/env python
"""Transfers a video's motion to an avatar: a new body in simulated clothes, rendered in a new scene.

Writes DIR/NAME/motion/NAME.npz (the recovered motion, AMASS's layout), the avatar's sequence with its video and
annotation under DIR/NAME/train/ (with several avatars: DIR/NAME/avatar_1/train/, ...), and DIR/NAME/side_by_side.mp4
and .png, the input next to all avatars.
"""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
from collections.abc import Iterator
from glob import escape
from pathlib import Path

import numpy as np

from mviper.config import DictAction, command, load_config, run_tool
from mviper.errors import ConfigError, MissingDataError, MviperError, SequenceRejected
from mviper.shipped import NETWORK

_CONFIG = Path(__file__).parents[1] / "configs" / "synthesis" / "transfer.py"
PANORAMAS = (".exr", ".hdr")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Example: {command('transfer')} dance.mp4 --outfit trousers hoodie --background forest\n"
        f"         {command('transfer')} dance.mp4 --outfit dress --background photos/ --start 2 --seconds 4\n"
        f"         {command('transfer')} dance.mp4 --outfit dress --outfit shorts t-shirt --background forest night "
        "--model configs/mviper_r50.py --checkpoint work_dirs/mviper_r50 --no-refine",
    )
    parser.add_argument("video", help="the video, or a folder of images")
    parser.add_argument(
        "--outfit", nargs="+", action="append", metavar="GARMENT",
        help="garments, innermost first: dress, or e.g. shorts hoodie (default: trousers t-shirt); repeat the option "
        "for more avatars",
    )  # fmt: skip
    parser.add_argument(
        "--background", nargs="+", metavar="NAME",
        help="one of Blender's panoramas (city, courtyard, forest, interior, night, studio, sunrise, sunset), your own "
        "panorama (.exr, .hdr) or photo, or a folder of them (default: one of Blender's); with several, each avatar "
        "gets the next one",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/transfer"), metavar="DIR",
        help="parent folder of the outputs (default: work_dirs/transfer)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="random seed of body, clothes and scene (default: 0)")
    parser.add_argument(
        "--start", type=float, default=0.0, metavar="S", help="start time in the video [s] (default: 0)"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="duration [s] (default: to the end)")
    parser.add_argument(
        "--person", type=int, default=1, metavar="N", help="number of the person (default: the one seen longest)"
    )
    parser.add_argument(
        "--model", type=Path, metavar="CONFIG", default=NETWORK,
        help=f"config of a network (default: {NETWORK}, whose weights are included)",
    )  # fmt: skip
    parser.add_argument("--checkpoint", type=Path, help="its weights")
    parser.add_argument("--no-network", dest="model", action="store_const", const=None, help="only fit")
    parser.add_argument(
        "--refine", action=argparse.BooleanOptionalAction, default=True,
        help="fit to the 2D joints; --no-refine: the network's result drives the avatar (default: --refine)",
    )  # fmt: skip
    parser.add_argument("--focal", type=float, metavar="PX", help="the video camera's focal length (default: a guess)")
    parser.add_argument(
        "--box", type=float, nargs=4, metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"),
        help="box of the person in pixels, if the detector does not find it",
    )  # fmt: skip
    parser.add_argument(
        "--smooth", choices=("savgol", "one_euro", "none"),
        help="smooth the motion, since jitter makes cloth flutter (default: savgol; with --no-refine none)",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, default=_CONFIG, help="config of the scene (default: configs/synthesis/transfer.py)"
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="change values of --config, e.g. cameras.resolution=720 betas.scale=0 simulator.type=PaintedCloth",
    )  # fmt: skip
    return parser.parse_args()


def main() -> int:
    """Recovers, dresses, renders, and puts both videos side by side."""
    arguments = parse_arguments()
    outfits, backgrounds = arguments.outfit or [None], arguments.background or [None]
    configs = [
        scene_config(arguments, outfits[number % len(outfits)], backgrounds[number % len(backgrounds)])
        for number in range(max(len(outfits), len(backgrounds)))
    ]

    from mviper.inference import Excerpt, MeshRecoverer, open_frames

    frames = Excerpt(open_frames(arguments.video), arguments.start, arguments.seconds)
    folder = arguments.out / frames.path.stem
    motion_folder = folder / "motion"
    try:
        shutil.rmtree(motion_folder, ignore_errors=True)
        motion_folder.mkdir(parents=True)
    except OSError as error:
        raise MviperError(f"--out {folder}: cannot be written to: {error.strerror}") from error
    smoothing = arguments.smooth or ("savgol" if arguments.refine else "none")
    recoverer = MeshRecoverer(
        arguments.model, arguments.checkpoint, refine=arguments.refine,
        smoothing=None if smoothing == "none" else smoothing, focal=arguments.focal,
    )  # fmt: skip
    result = recoverer(frames, arguments.box, progress)
    problem = frames.problem
    if problem:
        print(f"\nWarning: {frames.path}: {problem}; the readable part is transferred", file=sys.stderr)
    person = next((each for each in result.people if each.number == arguments.person), None)
    if person is None:
        raise MissingDataError(f"{frames.path}: there is no person {arguments.person}, {len(result.people)} were found")
    motion = result.motion(person)
    shortest = max(config["min_seconds"] for config in configs)
    if len(motion) < 2 or len(motion) / motion.fps < shortest:
        raise MissingDataError(
            f"{frames.path}: the person is visible in {len(motion)} frames; expected at least {shortest:g} s of motion"
        )
    motion.save(motion_folder / f"{frames.path.stem}.npz")
    say(f"Recovered {len(motion)} frames, {len(motion) / motion.fps:.1f} s: {motion_folder / frames.path.stem}.npz")

    videos = []
    for number, config in enumerate(configs, 1):
        config["source"] = dict(type="AMASSMotion", root=str(motion_folder))
        config["max_frames"] = int(np.ceil(len(motion) / motion.fps * config["fps"])) + 1
        avatar = make_avatar(config, folder / f"avatar_{number}" if len(configs) > 1 else folder)
        say(f"Avatar: {', '.join(str(path) for path in sorted(avatar.glob('*.mp4')))}")
        videos.append(next(avatar.glob("*.mp4")))
    side = folder / "side_by_side.mp4"
    write_side_by_side(person, frames, configs[0]["fps"], videos, side)
    say(f"Side by side: {side} and {side.with_suffix('.png')}")
    return 1 if problem else 0


def scene_config(arguments: argparse.Namespace, outfit: list[str] | None, surroundings: str | None) -> dict:
    """Builds and checks the synthesis config with the requested outfit and background.

    Args:
        arguments: The command line.
        outfit: Garments as named by the user; None: the config's.
        surroundings: A background as named by the user; None: the config's.

    Raises:
        ConfigError: Unknown garment or config value.
        MissingDataError: No such background.
    """
    from mviper.registry import BACKGROUNDS, GARMENTS
    from mviper.synthesis import complete_config

    config = load_config(arguments.config, arguments.cfg_options).to_dict()
    config["seed"] = arguments.seed
    if outfit:
        GARMENTS.import_from_location()
        types = {plain(name): name for name in GARMENTS.module_dict}
        config["outfit"] = [dict(type=garment_type(name, types)) for name in outfit]
    if surroundings:
        config["background"] = background(surroundings)
    BACKGROUNDS.build(config["background"]).draw(np.random.default_rng(0))
    return complete_config(config)


def plain(name: str) -> str:
    """Normalises a name: ``TShirt``, ``t-shirt`` and ``t_shirt`` are equal."""
    return name.lower().replace("-", "").replace("_", "")


def garment_type(name: str, types: dict[str, str]) -> str:
    """The registered garment for a user's name."""
    if plain(name) not in types:
        near = [types[each] for each in difflib.get_close_matches(plain(name), types)]
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(sorted(types.values()))}"
        raise ConfigError(f"--outfit: there is no garment {name!r}; {hint}")
    return types[plain(name)]


def background(name: str) -> dict:
    """Config of the background for a user's name: a file, a folder, or one of Blender's panoramas."""
    path = Path(name).expanduser()
    if path.is_file():
        kind = background_kind({path.suffix.lower()}, path)
        return dict(type=kind, root=str(path.parent), patterns=[escape(path.name)])
    if path.is_dir():
        kind = background_kind({file.suffix.lower() for file in path.rglob("*")}, path)
        return dict(type=kind, root=str(path))
    return dict(type="SphericalBackground", patterns=[f"{name}.exr"])


def background_kind(endings: set[str], path: Path) -> str:
    """The type of background: spherical if there are panoramas."""
    from mviper.inference import IMAGE_SUFFIXES

    if endings & set(PANORAMAS):
        return "SphericalBackground"
    if endings & set(IMAGE_SUFFIXES):
        return "PhotoBackground"
    raise MissingDataError(
        f"--background {path}: neither a panorama ({', '.join(PANORAMAS)}) nor a picture ({', '.join(IMAGE_SUFFIXES)})"
    )


def make_avatar(config: dict, folder: Path) -> Path:
    """Generates the avatar's sequence folder; retries with another body and other clothes if the cloth fails.

    Raises:
        SequenceRejected: All attempts failed.
    """
    from mviper.synthesis import Factory, list_jobs

    factory, problem = Factory(config), None
    shutil.rmtree(folder / "train", ignore_errors=True)
    for job in list_jobs(config):
        try:
            return factory.make(job, folder, lambda stage, done, total: progress(stage, done))
        except SequenceRejected as error:
            problem = error
            print(f"\nRejected, trying another: {error}", file=sys.stderr)
    raise SequenceRejected(f"{problem}; try another --seed or --outfit, or a calmer part of the video with --start")


#: Number of moments in the still picture, and the height of each [px].
_COLUMNS, _CELL = 6, 360


def write_side_by_side(person: object, frames: object, fps: float, avatars: list[Path], path: Path) -> None:
    """Writes the input and the avatars side by side: a video, and a picture of some moments (the paper's figure 10).

    Args:
        person: The recovered person (:class:`mviper.inference.RecoveredPerson`).
        frames: The input (:class:`mviper.inference.FrameSource`).
        fps: Frame rate of the avatars' videos.
        avatars: Their videos, all of one length.
        path: The video to write; the picture gets the same name.
    """
    from mviper.graphics import contact_sheet, draw_label, enlarge, save_image, side_by_side, write_video
    from mviper.inference import open_frames

    names = ["avatar"] if len(avatars) == 1 else [f"avatar {number}" for number in range(1, len(avatars) + 1)]
    count = sum(1 for _ in open_frames(avatars[0]))
    moments = set(np.linspace(0, count - 1, min(_COLUMNS, count)).round().astype(int).tolist())
    columns: list[list[np.ndarray]] = []

    def rows() -> Iterator[np.ndarray]:
        walk = iter(frames)
        shown = next(walk)
        ahead = next(walk, None)
        for number, pictures in enumerate(zip(*map(open_frames, avatars))):
            moment = person.times[0] + number / fps
            while ahead is not None and abs(ahead.time - moment) <= abs(shown.time - moment):
                shown, ahead = ahead, next(walk, None)
            images = [shown.image, *(picture.image for picture in pictures)]
            if number in moments:
                columns.append([enlarge(image, _CELL / image.shape[0]) for image in images])
            yield side_by_side(images, ["video", *names])

    write_video(path, rows(), fps, preset="veryfast")
    columns[0] = [draw_label(image, name) for image, name in zip(columns[0], ["video", *names])]
    save_image(path.with_suffix(".png"), contact_sheet([image for row in zip(*columns) for image in row], len(columns)))


def progress(stage: str, done: int) -> None:
    """Prints the current stage on one line."""
    if done % 10 == 0 or done == 1:
        print(f"\r{stage} {done or ''}".ljust(60), end="", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Prints a line of its own."""
    print("\r".ljust(60), end="\r", file=sys.stderr, flush=True)
    print(text, flush=True)


if __name__ == "__main__":
    run_tool(main)
