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
    "people", "scale", "scene", "training", "wardrobe",
)  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="CPU seconds (user + system) vary less than wall time on a busy machine; ratios are measured within "
        "one run.",
    )
    parser.add_argument("part", choices=PARTS, help="what to measure")
    parser.add_argument(
        "--minutes", type=float, default=5.0,
        help="data, factory, inference, motion, training, wardrobe: approximate time limit (default: 5); the others "
        "have no limit",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--data", type=Path, nargs="+", metavar="DIR",
        help="accuracy: generated videos, at most twenty are used (default: generates ten); data: the same (default: "
        "data/demo); "
        "motion: folders with motion capture (default: data/cmu if it exists, and the clips of the pybullet wheel); "
        "fitting: the same; metrics: MMHuman3D's wheel (default: fetched); recover: a video (default: "
        "../shared/data/videos/sports2d_demo.mp4); training: generated videos (default: data/demo, or generates some); "
        "model: the test set (default: that of configs/test_sets/volume.py); people: generated data sets, older first",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="wardrobe: for draws and pictures; a repeated call resumes there (default: work_dirs/wardrobe);"
        " accuracy: for its videos (default: work_dirs/accuracy); camera: for its people (default: work_dirs/camera)",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path,
        help="wardrobe: motions and simulator (default: configs/synthesis/wardrobe.py); accuracy: config of its videos "
        "(default: configs/synthesis/painted.py); model: config of the test set (default: configs/test_sets/volume.py)",
    )  # fmt: skip
    parser.add_argument(
        "--network", type=Path, nargs=2, metavar=("CONFIG", "CHECKPOINT"),
        help="accuracy: this network instead of the released one; model: the frame model to compare it with",
    )  # fmt: skip
    parser.add_argument("--parts", action="store_true", help="accuracy: also with single parts left out")
    parser.add_argument(
        "--edge-length", type=float, help="wardrobe: edge length of all garments' meshes [m] (default: their own)"
    )
    parser.add_argument(
        "--draws",
        type=int,
        metavar="N",
        help="wardrobe: as many draws, those in --out included, however long they take",
    )
    parser.add_argument("--garments", nargs="+", metavar="TYPE", help="wardrobe: only these (default: all registered)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write figures and targets as JSON")
    return parser.parse_args()


def main() -> None:
    """Measures one part, prints its table, writes the JSON."""
    arguments = parse_arguments()
    started = time.monotonic()
    rows, figures, targets = importlib.import_module(f"benchmarks.{arguments.part}").measure(arguments)
    print("\n" + "\n".join(["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
                           + ["| " + " | ".join(row) + " |" for row in rows[1:]]))  # fmt: skip
    for name, (operator, limit) in targets.items():
        met = figures[name] <= limit if operator == "<=" else figures[name] >= limit
        print(f"{name} = {figures[name]:.3f}, target {operator} {limit}: {'met' if met else 'MISSED'}")
    print(f"{time.monotonic() - started:.0f} s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if arguments.json:
        with atomic_path(arguments.json) as temporary:
            temporary.write_text(json.dumps({"figures": figures, "targets": targets}, indent=1) + "\n")
        print(f"Wrote {arguments.json}")


if __name__ == "__main__":
    run_tool(main)
