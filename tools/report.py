#!/usr/bin/env python
"""Writes a page (index.html) on data, training and tested models: figures, curves, pictures, overlay videos."""

from __future__ import annotations

import argparse
from pathlib import Path

from mviper.config import DictAction, command, run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Example: {command('report')} --data data/demo --frame configs/demo/frame_landmarks.py "
        "work_dirs/demo/frame_landmarks --video configs/demo/mviper_landmarks.py work_dirs/demo/mviper_landmarks "
        "--out work_dirs/demo",
    )
    pair = dict(nargs=2, type=Path, metavar=("CONFIG", "CHECKPOINT"))
    parser.add_argument(
        "--frame", **pair, help="the frame model, checkpoint or run's folder; tools/test.py must have tested it"
    )
    parser.add_argument("--video", **pair, help="the video model, in the same way")
    parser.add_argument("--data", type=Path, help="generated data (default: the test set of the first model)")
    parser.add_argument("--out", type=Path, required=True, help="folder for index.html and assets/")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="change values of the models' configs, as given to tools/test.py",
    )  # fmt: skip
    parser.add_argument("--title", default="MVIPER: from motion capture to a tested video model", help="the heading")
    parser.add_argument("--videos", type=int, default=2, help="test sequences with overlays (default: 2)")
    parser.add_argument("--max-frames", type=int, default=150, help="frames of each overlay video (default: 150)")
    return parser.parse_args()


def main() -> None:
    """Writes the page and prints its path."""
    arguments = parse_arguments()
    from mviper.reports import Run, write_report

    pairs = {"frame model": arguments.frame, "MVIPER": arguments.video}
    runs = [Run(name, *pair, arguments.cfg_options) for name, pair in pairs.items() if pair]
    index = write_report(
        arguments.out, runs, arguments.data,
        title=arguments.title, videos=arguments.videos, max_frames=arguments.max_frames,
    )  # fmt: skip
    print(f"Wrote {index}")


if __name__ == "__main__":
    run_tool(main)
