#!/usr/bin/env python
"""Recovers moving human bodies from videos and photos: overlay video, parameters, files for other programs.

MVIPER's network predicts the body from a detector's landmarks; the body is then fitted to them over the whole track
(SMPLify), starting from the prediction and staying near it. --no-network only fits; with another network (--config,
--checkpoint) the result is the prediction, unless --refine is given.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mviper.config import command, run_tool
from mviper.errors import ConfigError, FileFormatError, MissingDataError, MviperError
from mviper.files import atomic_path, read_text
from mviper.shipped import NETWORK

#: Values of --export, with the file ending of each.
EXPORTS = {
    "amass": ".npz", "human_data": "_human_data.npz", "glb": ".glb", "bvh": ".bvh", "fbx": ".fbx", "usd": ".usdc",
    "blend": ".blend", "alembic": ".abc", "pc2": ".pc2",
}  # fmt: skip

#: The user is warned if the upward direction is less certain than this [degrees].
UNSURE = 6.0

#: Record of what was done with which settings, written last into each input's folder.
RECORD = "recovery.json"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Example: {command('recover')} dance.mp4 --export glb bvh\n"
        f"         {command('recover')} dance.mp4 --config configs/mviper_r50.py --checkpoint "
        "work_dirs/mviper_r50/best.pth --refine",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="VIDEO_OR_IMAGE",
        help="video, photo, folder of images, folder of videos (searched recursively), list of videos as .json, or "
        "webcam:0",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, default=NETWORK,
        help=f"config of a network (default: {NETWORK}, whose weights are included)",
    )  # fmt: skip
    parser.add_argument("--checkpoint", type=Path, help="its weights, or the model exported by tools/export_model.py")
    parser.add_argument(
        "--no-network", dest="config", action="store_const", const=None,
        help="only fit, starting from the detector's 3D landmarks",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32",
        help="of the network: bfloat16 is twice as fast if the processor supports it, and moves joints by millimetres "
        "from frame to frame (default: float32)",
    )  # fmt: skip
    parser.add_argument(
        "--versus", type=Path, nargs=2, metavar=("CONFIG", "CHECKPOINT"),
        help="compare with another network: comparison.mp4 shows both results side by side, with the shape predicted "
        "for each frame; comparison.png shows the frames that differ most",
    )  # fmt: skip
    parser.add_argument(
        "--body-model", type=Path,
        help="a licensed SMPL file, e.g. SMPL_NEUTRAL.pkl, for the result; a network's result is refitted to it",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/recover"), metavar="DIR",
        help="parent folder of the outputs (default: work_dirs/recover)",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true",
        help="skip inputs that were done before with these settings, or in which nobody was found",
    )  # fmt: skip
    parser.add_argument(
        "--refine",
        action=argparse.BooleanOptionalAction,
        help="fit to the 2D joints (default: yes, unless --checkpoint is given)",
    )
    parser.add_argument(
        "--no-tta",
        action="store_true",
        help="no test-time augmentation (detection also in mirrored and rotated images): faster",
    )
    parser.add_argument("--smooth", choices=("one_euro", "savgol"), help="smooth the motion (default: no)")
    parser.add_argument(
        "--people", type=int, default=4, metavar="N", help="maximum number of people at once (default: 4)"
    )
    parser.add_argument(
        "--box", type=float, nargs=4, metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"),
        help="box of the person in pixels, if the detector does not find it",
    )  # fmt: skip
    parser.add_argument(
        "--detections", type=Path, metavar="FILE.json",
        help="people found by another program in the (single) input: boxes, keypoints, masks and tracks as COCO's or "
        "MMPose's JSON",
    )  # fmt: skip
    parser.add_argument(
        "--focal", type=float, metavar="PX",
        help="the camera's focal length (default: from the file's metadata, else a guess)",
    )  # fmt: skip
    parser.add_argument(
        "--height", type=float, nargs="+", default=[], metavar="M",
        help="people's heights in metres, in the order of their numbers, which a camera alone does not reveal "
        "(default: a plausible height)",
    )  # fmt: skip
    parser.add_argument(
        "--no-contacts", action="store_true",
        help="do not look for resting feet and hold them on the ground, e.g. for skaters, swimmers and cyclists",
    )  # fmt: skip
    parser.add_argument("--stairs", action="store_true", help="feet rest at several heights, not on one floor")
    parser.add_argument("--confidence", type=float, default=0.5, help="detection threshold, 0 to 1 (default: 0.5)")
    parser.add_argument("--export", nargs="+", choices=EXPORTS, default=["amass"], metavar="KIND",
                        help=f"files to write: {', '.join(EXPORTS)} (default: amass)")  # fmt: skip
    parser.add_argument("--in-camera", action="store_true", help="export in camera coordinates (default: levelled)")
    parser.add_argument("--no-video", action="store_true", help="no overlay")
    parser.add_argument("--page", action="store_true", help="write a web page with the moving mesh next to the video")
    parser.add_argument(
        "--sheet", action="store_true", help="write sheet.png: six frames, each also from the side and from above"
    )
    parser.add_argument("--fps", type=float, default=30.0, help="frame rate of image folders (default: 30)")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of a webcam recording (default: 10)")
    return parser.parse_args()


def main() -> int:
    """Recovers every input; a bad one does not stop the others."""
    arguments = parse_arguments()
    _require_writable(arguments.out)

    from mviper.inference import MeshRecoverer

    inputs = listed(arguments.inputs)
    if arguments.detections and len(inputs) > 1:
        raise ConfigError(f"--detections {arguments.detections} applies to one input, but there are {len(inputs)}")
    folders = [arguments.out / name for name in folder_names(inputs)]
    settings = settings_of(arguments)
    waiting = [
        (source, folder)
        for source, folder in zip(inputs, folders)
        if not (arguments.resume and is_done(source, folder, settings))
    ]
    if len(waiting) < len(inputs):
        print(f"{len(inputs) - len(waiting)} of {len(inputs)} inputs were done before (--resume)", flush=True)
    if not waiting:
        return 0
    common = {
        "body_model": arguments.body_model, "refine": arguments.refine, "tta": not arguments.no_tta,
        "smoothing": arguments.smooth, "max_people": arguments.people, "focal": arguments.focal,
        "contacts": not arguments.no_contacts, "stairs": arguments.stairs, "heights": arguments.height,
        "confidence": arguments.confidence, "precision": arguments.precision,
    }  # fmt: skip
    recoverer = MeshRecoverer(arguments.config, arguments.checkpoint, one_shape=not arguments.versus, **common)
    rival = MeshRecoverer(*arguments.versus, one_shape=False, **common) if arguments.versus else None
    failures = []
    for number, (source, folder) in enumerate(waiting, 1):
        if len(waiting) > 1:
            print(f"{number} of {len(waiting)}: {source}", flush=True)
        try:
            failures += [f"{source}: {problem}" for problem in recover(recoverer, source, folder, arguments, rival)]
        except MviperError as error:
            failures.append(str(error))
            print(f"Error: {error}", file=sys.stderr)
            if isinstance(error, MissingDataError | FileFormatError):  # a retry would fail again
                write_record(source, folder, settings, [str(error)])
    if failures and len(inputs) > 1:
        print(f"{len(failures)} of {len(waiting)} inputs had problems:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0


def listed(inputs: Sequence[str]) -> list[str]:
    """Expands the inputs: lists are read, and folders without pictures are searched for videos.

    Args:
        inputs: As on the command line. A list is a ``.json`` file of paths, or of objects with a path under ``video``,
            as ``tools/convert_dataset.py ucf101`` writes it; relative paths are relative to the list.

    Raises:
        FileFormatError: A list has another format.
        MissingDataError: A folder with neither pictures nor videos.
    """
    from mviper.inference import is_picture_folder, videos_in

    single: list[str] = []
    for source in inputs:
        path = Path(source)
        if path.suffix.lower() == ".json" and path.is_file():
            single += _read_list(path)
        elif path.is_dir() and not is_picture_folder(path):
            videos = videos_in(path)
            if not videos:
                raise MissingDataError(f"{path}: neither images nor videos in the folder")
            single += map(str, videos)
        else:
            single.append(source)
    return single


def _read_list(path: Path) -> list[str]:
    try:
        entries = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise FileFormatError(path, f"not JSON: {error}") from error
    entries = entries if isinstance(entries, list) else []
    names = [entry.get("video") if isinstance(entry, dict) else entry for entry in entries]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise FileFormatError(path, 'not a list of videos: expected ["a.mp4", ...] or [{"video": "a.mp4"}, ...]')
    return [str(path.parent / name) for name in names]


def settings_of(arguments: argparse.Namespace) -> dict[str, object]:
    """The settings that results depend on, as JSON; a resumed run skips only inputs done with the same settings."""
    others = {"inputs", "out", "resume"}
    settings = {name: value for name, value in vars(arguments).items() if name not in others}
    return json.loads(json.dumps(settings, default=str))


def is_done(source: str, folder: Path, settings: dict[str, object]) -> bool:
    """Whether a folder's record says that this input, unchanged, was done with these settings."""
    try:
        record = json.loads((folder / RECORD).read_text())
        return record["settings"] == settings and record["input"] == _state_of(source)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_record(
    source: str, folder: Path, settings: dict[str, object], problems: Sequence[str], summary: dict | None = None
) -> None:
    """Writes an input's record into its folder, after everything else."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"input": _state_of(source), "settings": settings, "problems": list(problems), **(summary or {})}
    with atomic_path(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


def _state_of(source: str) -> dict[str, object]:
    """An input's current state, to detect changes."""
    path = Path(source)
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    return {
        "path": str(path.absolute()),
        "bytes": sum(file.stat().st_size for file in files),
        "changed": max((file.stat().st_mtime_ns for file in files), default=0),
    }


def folder_names(inputs: Sequence[str]) -> list[str]:
    """Each input's name, with a number if an earlier input has the same name."""
    names: list[str] = []
    for source in inputs:
        stem = source.replace(":", "_") if source.startswith("webcam:") else Path(source).stem
        numbered = (f"{stem}_{number}" for number in itertools.count(2))
        names.append(next(name for name in itertools.chain([stem], numbered) if name not in names))
    return names


def recover(
    recoverer: object, source: str, folder: Path, arguments: argparse.Namespace, rival: object | None = None
) -> list[str]:
    """Recovers one input; finished results are kept if a later step fails.

    Args:
        recoverer: The :class:`~mviper.inference.MeshRecoverer`.
        source: The input.
        folder: Where its results go.
        arguments: The command line.
        rival: A recoverer to compare with.

    Returns:
        Problems: the file was damaged, or an export failed.
    """
    from mviper.graphics import save_image
    from mviper.inference import camera_frames, draw_sheet, open_frames, record, render_comparison
    from mviper.reports import write_recovery_page

    kind, _, number = source.partition(":")
    if kind == "webcam":
        if not number.isdigit():
            raise MissingDataError(f"{source}: expected webcam:NUMBER, e.g. webcam:0")
        frames = record(camera_frames(int(number)), folder / "recording.mp4", arguments.seconds)
    else:
        frames = open_frames(source, arguments.fps)
    result = recoverer(frames, arguments.box, _progress(frames.path.name), arguments.detections)
    print(file=sys.stderr)
    problems = [frames.problem] if frames.problem else []
    for problem in problems:
        print(f"Warning: {frames.path}: {problem}; the readable part is recovered", file=sys.stderr)
    optics = result.optics
    print(f"focal length: {optics.focal:.0f} px, give or take {100 * optics.spread:.0f} % ({optics.origin})")
    if not result.camera.still.all():
        angle = np.rad2deg(np.arccos(((np.trace(result.camera.rotation, axis1=1, axis2=2) - 1) / 2).clip(-1, 1)).max())
        print(f"camera: rotates by up to {angle:.1f} degrees within a shot")
    if result.cuts:
        print(f"cuts: new shots begin with frames {', '.join(map(str, result.cuts))}")
    for person in result.people:
        print(f"person {person.number}: frames {person.first} to {person.first + len(person) - 1}, "
              f"found in {person.detected.sum()} of them")  # fmt: skip
        if person.refit_error is not None:
            print(f"  on {arguments.body_model.name}: mean vertex error {1e3 * person.refit_error:.1f} mm")
        build = result.build(person)
        if build:
            print("  " + ", ".join(_said(name, each) for name, each in build.items()))
    for gravity in dict.fromkeys(person.gravity for person in result.people):
        spread = np.degrees(gravity.uncertainty)
        tilt = np.degrees(np.arccos(np.clip(-gravity.up[1], -1, 1)))
        print(f"up: {tilt:.0f} degrees off the picture's vertical, give or take {spread:.0f}")
        if spread > UNSURE and not arguments.in_camera:
            print(f"Warning: {frames.path}: up is uncertain; exports may lean by about {spread:.0f} degrees. More "
                  "steps, upright people or vertical lines in the image would help; --in-camera exports in camera "
                  "coordinates",
                  file=sys.stderr)  # fmt: skip
    frame = "camera" if arguments.in_camera else "world"
    jobs: list[tuple[str, Callable[[], object]]] = []
    for kind in arguments.export:
        path = folder / f"{frames.path.stem}{EXPORTS[kind]}"
        jobs.append((str(path), lambda path=path, kind=kind: result.export(path, frame=frame, kind=kind)))
    if not arguments.no_video:
        path = folder / ("overlay.png" if frames.is_photo else "overlay.mp4")
        jobs.append((str(path), lambda path=path: result.render(path)))
    if arguments.page:
        jobs.append((str(folder / "index.html"), lambda: write_recovery_page(result, folder / "index.html")))
    if arguments.sheet:
        jobs.append((str(folder / "sheet.png"), lambda: save_image(folder / "sheet.png", draw_sheet(result))))
    if rival is not None:
        names = [arguments.config.stem if arguments.config else "fit", arguments.versus[0].stem]
        if names[0] == names[1]:
            names = [f"{names[0]} {which.stem}" for which in (arguments.checkpoint, arguments.versus[1])]

        def compare() -> list[Path]:
            other = rival(frames, arguments.box, _progress(frames.path.name), arguments.detections)
            print(file=sys.stderr)
            video, figure = folder / "comparison.mp4", folder / "comparison.png"
            render_comparison(dict(zip(names, (result, other))), video, figure)
            return [video, figure]

        jobs.append((str(folder / "comparison.mp4"), compare))
    for name, job in jobs:
        try:
            written = job()
        except MviperError as error:
            problems.append(str(error))
            print(f"Error: {error}", file=sys.stderr)
            continue
        print("Wrote " + (", ".join(map(str, written)) if isinstance(written, list) else name), flush=True)
    if problems == ([frames.problem] if frames.problem else []):  # a failed input is retried in the next run
        write_record(source, folder, settings_of(arguments), problems, result.summary())
    return problems


def _said(name: str, measure: tuple[float, float, float]) -> str:
    """Formats a measure, e.g. ``waist 0.46 of the height (0.43 to 0.49)``."""
    unit, what = (" m", name) if name == "height" else (" of the height", name.replace("_", " "))
    return f"{what} {measure[0]:.2f}{unit} ({measure[1]:.2f} to {measure[2]:.2f})"


def _progress(name: str) -> Callable[[str, int], None]:
    def say(stage: str, done: int) -> None:
        if done % 20 == 0 or done == 1:
            print(f"\r{name}: {stage} {done or ''}".ljust(70), end="", file=sys.stderr, flush=True)

    return say


def _require_writable(folder: Path) -> None:
    """Fails early rather than after an hour's work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise MviperError(f"--out {folder}: cannot be written to: {error.strerror}") from error


if __name__ == "__main__":
    run_tool(main)
