#!/usr/bin/env python
"""Draws contact sheets: moments of a motion, or all views of each sequence of a data set with the annotation."""

from __future__ import annotations

import argparse
from pathlib import Path

from mviper.config import run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python tools/browse.py dataset data/demo --out work_dirs/browse"
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    motion = kinds.add_parser("motion", help="motion.npz files (AMASS's keys, as the factory writes them)")
    motion.add_argument("files", nargs="+", type=Path, help="e.g. data/demo/test/*/motion.npz")
    motion.add_argument("--pictures", type=int, default=10, help="moments of each motion (default: 10)")
    dataset = kinds.add_parser("dataset", help="a generated data set")
    dataset.add_argument("root", type=Path, help="what tools/generate.py --out was given")
    dataset.add_argument("--split", choices=["train", "val", "test"], help="only this split")
    for kind in (motion, dataset):
        kind.add_argument("--out", type=Path, required=True, help="folder for the sheets")
        kind.add_argument("--body-model", help="body file (default: the open body)")
    return parser.parse_args()


def main() -> None:
    """Writes the sheets and names them."""
    arguments = parse_arguments()
    from mviper.body import SMPL
    from mviper.structures import Motion
    from mviper.visualization.browse import dataset_sheets, motion_sheet
    from mviper.visualization.report import save_image

    body = SMPL(arguments.body_model)
    if arguments.kind == "motion":
        sheets = (
            (f"{path.parent.name}_{path.stem}", motion_sheet(Motion.load(path), body, pictures=arguments.pictures))
            for path in arguments.files
        )
    else:
        sheets = dataset_sheets(arguments.root, body, arguments.split).items()
    for name, sheet in sheets:
        path = arguments.out / f"{name.replace('/', '_')}.jpg"
        save_image(path, sheet)
        print(f"Wrote {path}")


if __name__ == "__main__":
    run_tool(main)
