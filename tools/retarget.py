#!/usr/bin/env python
"""Retargets a synthesis config's motion capture to the body, without clothes or pictures: one AMASS file per clip."""

from __future__ import annotations

import argparse
from pathlib import Path

from mviper.config import DictAction, command, find_config, load_config, run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Example: {command('retarget')} configs/volume/painted.py --splits train --out data/motions (again, "
        "after it was stopped: it continues)",
    )
    parser.add_argument("config", type=Path, help="synthesis config; its source and splits are used")
    parser.add_argument("--out", type=Path, required=True, help="folder for <split>/<clip>.npz")
    parser.add_argument(
        "--splits", nargs="+", choices=["train", "val", "test"], metavar="SPLIT",
        help="only clips of these splits: train, val, test (default: all)",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="change config values, e.g. source.root=/data/cmu",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Retargets all missing clips; a clip that cannot be read is reported and skipped."""
    arguments = parse_arguments()
    config = load_config(arguments.config, arguments.cfg_options).to_dict()

    import torch
    from rich.progress import track

    from mviper.body import SMPL
    from mviper.errors import FileFormatError
    from mviper.files import atomic_path
    from mviper.motion import TargetBody
    from mviper.registry import MOTION_SOURCES
    from mviper.synthesis import complete_config, list_jobs

    torch.set_num_threads(1)
    config = {**complete_config(config), "variants": 1}
    source, target = MOTION_SOURCES.build(config["source"]), TargetBody.from_body(SMPL())
    written, existing, problems = 0, 0, []
    for job in track(list_jobs(config, arguments.limit, arguments.splits), "clips"):
        path = arguments.out / job.split / f"{job.clip.name}.npz"
        if path.exists():
            existing += 1
            continue
        try:
            motion = source.load(job.clip, target)
        except FileFormatError as error:
            problems.append(str(error))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            motion.save(temporary)
        written += 1
    for problem in problems:
        print(f"Skipped: {problem}")
    print(f"Wrote {written} motions to {arguments.out}/<split>; {existing} existed, {len(problems)} could not be read")
    of_demo = find_config(arguments.config).with_name("frame_landmarks.py").is_file()
    print("Next:", command("train", f"configs/{'demo/' if of_demo else ''}frame_landmarks.py"))


if __name__ == "__main__":
    run_tool(main)
