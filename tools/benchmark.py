#!/usr/bin/env python
"""Measures MVIPER's cost and accuracy, part by part: the tables of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from pathlib import Path

from mviper.config import run_tool
from mviper.files import atomic_path

#: The parts, each a module under ``tools/benchmarks`` with a function ``measure``.
PARTS = (
    "accuracy", "camera", "cloth", "data", "factory", "fitting", "inference", "metrics", "model", "motion", "recover",
    "scale", "training", "wardrobe",
)  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="CPU seconds (user + system) are steadier than wall time on a busy machine; ratios are of one run.",
    )
    parser.add_argument("part", choices=PARTS, help="what to measure")
    parser.add_argument(
        "--minutes", type=float, default=5.0,
        help="data, factory, inference, motion, training, wardrobe: about how long it may take (default: 5); "
        "the others take as long as they take",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="for what is drawn at random (default: 0)")
    parser.add_argument(
        "--data", type=Path, nargs="+", metavar="DIR",
        help="accuracy: generated videos, twenty at most (default: makes ten); data: the same (default: data/demo); "
        "motion: folders with motion capture (default: data/cmu if there is one, and the clips of the pybullet wheel); "
        "fitting: the same; metrics: MMHuman3D's wheel (default: fetched); recover: a video (default: "
        "../shared/data/videos/sports2d_demo.mp4); training: generated videos (default: data/demo, else makes some); "
        "model: the test set (default: that of configs/test_sets/volume.py)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="wardrobe: keeps each draw and the pictures there, and goes on where it was (default: work_dirs/wardrobe);"
        " accuracy: its videos (default: work_dirs/accuracy); camera: its people (default: work_dirs/camera)",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path,
        help="wardrobe: motions and simulator (default: configs/synthesis/wardrobe.py); accuracy: of its ten videos "
        "(default: configs/synthesis/painted.py); model: whose test set (default: configs/test_sets/volume.py)",
    )  # fmt: skip
    parser.add_argument("--edge-length", type=float, help="wardrobe: of all garments' meshes [m] (default: their own)")
    parser.add_argument("--garments", nargs="+", metavar="TYPE", help="wardrobe: only these (default: all registered)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write figures and bars as JSON")
    return parser.parse_args()


def main() -> None:
    """Measures one part, prints its table, writes the JSON."""
    arguments = parse_arguments()
    started = time.monotonic()
    rows, figures, bars = importlib.import_module(f"benchmarks.{arguments.part}").measure(arguments)
    print("\n" + "\n".join(["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
                           + ["| " + " | ".join(row) + " |" for row in rows[1:]]))  # fmt: skip
    for name, (operator, limit) in bars.items():
        met = figures[name] <= limit if operator == "<=" else figures[name] >= limit
        print(f"{name} = {figures[name]:.3f}, bar {operator} {limit}: {'met' if met else 'MISSED'}")
    print(f"{time.monotonic() - started:.0f} s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if arguments.json:
        with atomic_path(arguments.json) as temporary:
            temporary.write_text(json.dumps({"figures": figures, "bars": bars}, indent=1) + "\n")
        print(f"Wrote {arguments.json}")


if __name__ == "__main__":
    run_tool(main)
