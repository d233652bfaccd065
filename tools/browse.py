#!/usr/bin/env python
"""Draws contact sheets of motions, of a data set's sequences (all views, annotated), or of the wardrobe."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mviper.config import command, load_config, run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Examples: {command('browse')} motion data/cmu/07 --out work_dirs/browse; "
        f"{command('browse')} dataset data/demo --out work_dirs/browse; "
        f"{command('browse')} wardrobe --garments TShirt --out work_dirs/browse",
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    motion = kinds.add_parser(
        "motion",
        help="motion capture or the factory's motions: a PNG sheet of each and one page with animated meshes",
    )
    motion.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE_OR_DIR",
        help="motion files, sequence folders, folders that contain them, or a config whose source is browsed",
    )  # fmt: skip
    motion.add_argument("--pictures", type=int, default=10, help="number of poses shown of each motion (default: 10)")
    motion.add_argument("--limit", type=int, default=6, help="maximum number of motions (default: 6)")
    dataset = kinds.add_parser(
        "dataset", help="a generated data set: contact sheets, a page of its distributions, and a check of all its "
        "files",
    )  # fmt: skip
    dataset.add_argument("root", type=Path, help="the --out folder of tools/generate.py")
    dataset.add_argument("--split", choices=["train", "val", "test"], help="only this split")
    dataset.add_argument(
        "--sheets", type=int, default=40, metavar="N", help="contact sheets of the first N sequences (default: 40)"
    )
    wardrobe = kinds.add_parser("wardrobe", help="garments on a body at rest and in motion, and their flat patterns")
    wardrobe.add_argument("--garments", nargs="+", metavar="TYPE", help="registered garments (default: all)")
    wardrobe.add_argument(
        "--config", type=Path, default=Path("configs/synthesis/wardrobe.py"),
        help="motions and simulator, and custom_imports of other garments (default: configs/synthesis/wardrobe.py)",
    )  # fmt: skip
    wardrobe.add_argument("--motion", default="walk", help="a clip of the config (default: walk)")
    wardrobe.add_argument(
        "--frames", type=int, default=24, help="number of frames, of which the middle one is shown (default: 24)"
    )
    wardrobe.add_argument(
        "--video",
        action="store_true",
        help="also write a video of these frames with the garments side by side in one turn",
    )
    wardrobe.add_argument(
        "--edge-length", type=float, help="edge length of all garments' meshes [m] (default: their own)"
    )
    wardrobe.add_argument("--seed", type=int, default=0, help="random seed of the garments' designs (default: 0)")
    for kind in (motion, dataset, wardrobe):
        kind.add_argument("--out", type=Path, required=True, help="folder for the sheets")
        kind.add_argument("--body-model", help="body file (default: the open body)")
    return parser.parse_args()


def browse_motions(arguments: argparse.Namespace) -> int:
    """Writes a sheet for each motion, and the page; prints each motion's quality."""
    from mviper.body import SMPL
    from mviper.errors import ConfigError, MissingDependencyError
    from mviper.files import atomic_path
    from mviper.graphics import save_image
    from mviper.motion import MotionQuality, SkeletonMotion, TargetBody, fit_error, measure_motion, resample
    from mviper.motion.sources import Clip, MotionLibrary
    from mviper.registry import MOTION_SOURCES
    from mviper.reports import motion_page, motion_sheet
    from mviper.structures import Motion
    from mviper.synthesis import CONFIG_KEYS

    body = SMPL(arguments.body_model)
    measures = TargetBody.from_body(body)
    limits = MotionQuality(**CONFIG_KEYS["motion_quality"])
    libraries = [MotionLibrary(path) for path in arguments.paths if path.suffix != ".py"]
    configs = {path: load_config(path).get("source") for path in arguments.paths if path.suffix == ".py"}
    for path, source in configs.items():
        if source is None:
            raise ConfigError(f"{path}: not a synthesis config: it has no source of motion")
    sources = [MOTION_SOURCES.build(source) for source in configs.values()]

    def loaded() -> Iterator[tuple[Clip, Motion, SkeletonMotion | None]]:
        for source in sources:
            for clip in source.clips():
                yield clip, *source.fit(clip, measures)
        for library in libraries:
            yield from library.load(measures)

    def judged() -> Iterator[tuple[Motion, list[str]]]:
        for clip, motion, captured in loaded():
            error = fit_error(captured, motion, measures.rest_joints) if captured is not None else None
            motion = resample(motion, min(motion.fps, CONFIG_KEYS["fps"]))
            motion.name = motion.name or clip.name
            problems = measure_motion(motion, measures, error).problems(limits) if len(motion) > 1 else []
            yield motion, problems

    motions = []
    for motion, problems in islice(judged(), arguments.limit):
        path = arguments.out / f"{motion.name.replace('/', '_')}.png"
        save_image(path, motion_sheet(motion, body, pictures=arguments.pictures))
        print(f"Wrote {path}: {len(motion) / motion.fps:.1f} s, {'; '.join(problems) or 'within all limits'}")
        motions.append(motion)
    for failure in (error for library in libraries for error in library.failures.values()):
        print(f"Not read: {failure}")
    if not motions:
        return 1
    page = arguments.out / "index.html"
    try:
        html = motion_page(motions, body)
    except MissingDependencyError as error:
        print(f"No {page}: {error}")
        return 0
    with atomic_path(page) as temporary:
        temporary.write_text(html)
    print(f"Wrote {page} ({page.stat().st_size / 1e6:.0f} MB): open it in any browser")
    return 0


def browse_dataset(arguments: argparse.Namespace) -> int:
    """Checks every sequence; writes the page of distributions and the sheets of the first sequences."""
    from mviper.body import SMPL
    from mviper.datasets import check_dataset
    from mviper.errors import FileFormatError
    from mviper.graphics import save_image
    from mviper.reports import annotated_sheet, measure_distributions, write_dataset_page

    body = SMPL(arguments.body_model)
    check = check_dataset(arguments.root, body, arguments.split)
    for note in check.notes:
        print(f"note: {note}")
    for name, problems in check.problems.items():
        for problem in problems:
            print(f"{name}: {problem}")
    sheets = {}
    for sequence in check.readable[: arguments.sheets]:
        path = arguments.out / f"{sequence.name.replace('/', '_')}.jpg"
        try:
            save_image(path, annotated_sheet(sequence, body))
        except FileFormatError as error:
            print(f"No sheet of {sequence.name}: {error}")
            continue
        sheets[sequence.name] = path.name
        print(f"Wrote {path}")
    if check.readable:
        page = write_dataset_page(arguments.out, check.readable, measure_distributions(check.readable), check, sheets)
        print(f"Wrote {page}")
    print(
        f"{'OK' if check.ok else 'NOT OK'}: {check.sequences} sequences, {check.frames} frames checked, "
        f"{len(check.problems)} with problems"
    )
    return 0 if check.ok else 1


def browse_wardrobe(arguments: argparse.Namespace) -> None:
    """Writes a sheet of the garments worn at rest and halfway through a motion, a sheet of patterns, and a video."""
    import numpy as np

    from mviper.body import BodyShape
    from mviper.errors import ConfigError, SequenceRejected
    from mviper.graphics import contact_sheet, save_image, write_video
    from mviper.motion import heading
    from mviper.registry import GARMENTS
    from mviper.reports import dressed_views, labelled, pattern_picture, turning_pictures
    from mviper.synthesis import Factory, complete_config, try_on
    from mviper.synthesis.garments import Measurements

    mesh = {} if arguments.edge_length is None else {"edge_length": arguments.edge_length}
    body_model = dict(type="SMPL", model_path=arguments.body_model)
    options = {"max_frames": arguments.frames, "min_seconds": 0.0, "body_model": body_model}
    config = complete_config(load_config(arguments.config, options).to_dict())
    GARMENTS.import_from_location()
    names = arguments.garments or sorted(GARMENTS.module_dict)
    unknown = [name for name in names if name not in GARMENTS.module_dict]
    if unknown:
        known = ", ".join(sorted(GARMENTS.module_dict))
        raise ConfigError(f"--garments: there is no {', '.join(unknown)}; known are {known}")
    shop = Factory(config)
    clips = {clip.name: clip for clip in shop.source.clips()}
    if arguments.motion not in clips:
        raise ConfigError(f"no motion {arguments.motion!r}; there are {', '.join(clips)}")
    betas = np.zeros(shop.body.num_betas)
    measurements = Measurements(BodyShape.from_body(shop.body, betas))
    pictures, patterns, turning, sheet = [], [], [], arguments.out / "wardrobe.png"
    for name in names:
        garment = GARMENTS.build(dict(type=name, **mesh))
        rng = np.random.default_rng(arguments.seed)
        try:
            tried = try_on(shop, clips[arguments.motion], betas, rng, [garment])
        except SequenceRejected as error:
            print(f"{name}: {error}")
            continue
        print(f"{name}: {tried.reason or 'accepted'}", flush=True)
        body, cloth, lead_in = tried.performance.body, tried.result.meshes, tried.performance.lead_in
        if cloth:
            still, moving = shop.config["lead_in"]["still"] - 1, (lead_in + len(body)) // 2
            facing = heading(tried.performance.leading.poses[:, 0])
            row = [view for frame in (still, moving) for view in dressed_views(body, cloth, frame, facing[frame])]
            row[0] = labelled(row[0], name)
            row[3] = labelled(row[3], f"{arguments.motion}{': rejected' if tried.reason else ''}")
            pictures += row
            save_image(sheet, contact_sheet(pictures, 6))
            if arguments.video:
                turning.append(turning_pictures(body, cloth, lead_in, name))
        flat = pattern_picture(garment.draft(measurements, tried.garments[0].parameters).pattern)
        patterns.append(labelled(flat, name, width=240))
        save_image(arguments.out / "patterns.png", contact_sheet(patterns, 2))
    written = [sheet] * bool(pictures) + [arguments.out / "patterns.png"] * bool(patterns)
    if turning:
        written.append(arguments.out / "wardrobe.mp4")
        write_video(written[-1], (np.concatenate(row, axis=1) for row in zip(*turning)), config["fps"])
    for path in written:
        print(f"Wrote {path}")


def main() -> int | None:
    """Writes the requested sheets and prints their paths."""
    arguments = parse_arguments()
    return {"motion": browse_motions, "dataset": browse_dataset, "wardrobe": browse_wardrobe}[arguments.kind](arguments)


if __name__ == "__main__":
    run_tool(main)
