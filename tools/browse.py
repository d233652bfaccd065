#!/usr/bin/env python
"""Draws contact sheets: moments of motions, or all views of each sequence of a data set with the annotation."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mviper.config import run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Examples: python tools/browse.py motion data/cmu/07 --out work_dirs/browse; "
        "python tools/browse.py dataset data/demo --out work_dirs/browse",
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    motion = kinds.add_parser(
        "motion",
        help="motion capture or the factory's motions: a PNG sheet of each and one page with animated meshes",
    )
    motion.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE_OR_DIR",
        help="any file that a motion source reads, a sequence folder, or a folder with some of them",
    )  # fmt: skip
    motion.add_argument("--pictures", type=int, default=10, help="moments of each motion (default: 10)")
    motion.add_argument("--limit", type=int, default=6, help="so many motions at most (default: 6)")
    dataset = kinds.add_parser("dataset", help="a generated data set")
    dataset.add_argument("root", type=Path, help="what tools/generate.py --out was given")
    dataset.add_argument("--split", choices=["train", "val", "test"], help="only this split")
    for kind in (motion, dataset):
        kind.add_argument("--out", type=Path, required=True, help="folder for the sheets")
        kind.add_argument("--body-model", help="body file (default: the open body)")
    return parser.parse_args()


def browse_motions(arguments: argparse.Namespace) -> None:
    """Writes a sheet for each motion, and the page; says how good each motion is."""
    from mviper.body import SMPL
    from mviper.errors import MissingDependencyError
    from mviper.files import atomic_path
    from mviper.structures import Motion
    from mviper.synthesis.motion import resample
    from mviper.synthesis.motion.quality import BodyMeasures, MotionQuality, fit_error, measure_motion
    from mviper.synthesis.motion.sources.library import MotionLibrary
    from mviper.synthesis.pipeline import CONFIG_KEYS
    from mviper.visualization.browse import motion_page, motion_sheet
    from mviper.visualization.report import save_image

    body = SMPL(arguments.body_model)
    measures = BodyMeasures.from_body(body)
    limits = MotionQuality(**CONFIG_KEYS["motion_quality"])
    libraries = [MotionLibrary(path) for path in arguments.paths]

    def judged() -> Iterator[tuple[Motion, list[str]]]:
        for library in libraries:
            for clip, motion, captured in library.load(measures):
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
        return
    page = arguments.out / "index.html"
    try:
        html = motion_page(motions, body)
    except MissingDependencyError as error:
        print(f"No {page}: {error}")
        return
    with atomic_path(page) as temporary:
        temporary.write_text(html)
    print(f"Wrote {page} ({page.stat().st_size / 1e6:.0f} MB): open it in any browser")


def browse_dataset(arguments: argparse.Namespace) -> None:
    """Writes a sheet for each sequence."""
    from mviper.body import SMPL
    from mviper.visualization.browse import dataset_sheets
    from mviper.visualization.report import save_image

    for name, sheet in dataset_sheets(arguments.root, SMPL(arguments.body_model), arguments.split).items():
        path = arguments.out / f"{name.replace('/', '_')}.jpg"
        save_image(path, sheet)
        print(f"Wrote {path}")


def main() -> None:
    """Writes what was asked for and names it."""
    arguments = parse_arguments()
    {"motion": browse_motions, "dataset": browse_dataset}[arguments.kind](arguments)


if __name__ == "__main__":
    run_tool(main)
