#!/usr/bin/env python
"""Shows what simulated cloth adds (the paper's figure 4): the same sequence with painted and with simulated cloth.

Body, motion, cameras, light, background, garments and fabrics are the same in both.
"""

from __future__ import annotations

import argparse
import difflib
import shutil
from collections.abc import Callable
from pathlib import Path

from mviper.config import DictAction, Options, command, load_config, run_tool
from mviper.errors import ConfigError, SequenceRejected


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=f"Example: {command('compare_cloth')} configs/synthesis/deepmimic.py --clip dance_b "
        "--out work_dirs/compare --cfg-options cameras.resolution=500 max_frames=90",
    )
    parser.add_argument("config", type=Path, help="synthesis config with simulated cloth")
    parser.add_argument("--clip", help="name of the motion (default: the config's first)")
    parser.add_argument("--view", default="south", help="camera; the rest pose faces south (default: south)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the video, the picture and both sequences")
    parser.add_argument(
        "--pictures", type=int, default=5, metavar="N", help="number of moments in the picture (default: 5)"
    )
    parser.add_argument("--seed", type=int, help="another body, outfit and scene (default: the config's)")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="change config values, e.g. cameras.resolution=500 max_frames=60",
    )  # fmt: skip
    arguments = parser.parse_args()
    if arguments.pictures < 1:
        parser.error("--pictures must be 1 or more")
    return arguments


def choose_job(config: dict, name: str | None):
    """Chooses the first sequence of a clip, or of the config.

    Raises:
        ConfigError: No such clip.
    """
    from mviper.synthesis import list_jobs

    jobs = list_jobs(config)
    for job in jobs:
        if name in (None, job.clip.name):
            return job
    names = sorted({job.clip.name for job in jobs})
    near = difflib.get_close_matches(name, names, n=5) or names[:10]
    raise ConfigError(f"--clip {name}: the config has no such clip; it has, among {len(names)}: {', '.join(near)}")


def progress(label: str) -> Callable[[str, int, int], None]:
    """Prints each stage of a sequence as it begins."""
    said = set()

    def report(stage: str, done: int, total: int) -> None:
        if stage not in said:
            said.add(stage)
            print(f"  {label}: {stage}", flush=True)

    return report


def main() -> None:
    """Generates both sequences and puts them side by side."""
    arguments = parse_arguments()
    options = arguments.cfg_options or Options()
    options["cameras.views"] = [arguments.view]
    config = load_config(arguments.config, options).to_dict()
    if arguments.seed is not None:
        config["seed"] = arguments.seed

    import json

    from mviper.reports import compare_sequences
    from mviper.synthesis import Factory, complete_config

    config = complete_config(config)
    if config["simulator"]["type"] == "PaintedCloth" or not config["outfit"]:
        raise ConfigError(
            f"{arguments.config}: nothing to compare: expected an outfit and a cloth simulator, got "
            f"outfit={config['outfit']}, simulator={config['simulator']}"
        )
    job = choose_job(config, arguments.clip)
    folders, cost = {}, {}
    for label, simulator in (("painted", dict(type="PaintedCloth")), ("simulated", config["simulator"])):
        out = arguments.out / label
        shutil.rmtree(job.folder(out), ignore_errors=True)  # from an earlier call, perhaps with other options
        try:
            folders[label] = Factory({**config, "simulator": simulator}).make(job, out, progress(label))
        except SequenceRejected as error:
            raise SequenceRejected(f"{job.name}, {label}: {error.reason}; try another --clip or --seed") from error
        manifest = json.loads((folders[label] / "manifest.json").read_text())
        cost[label] = manifest["timings"]["simulate"] / manifest["frames"]
    video, strip = (arguments.out / f"{job.name}_{arguments.view}.{ending}" for ending in ("mp4", "png"))
    frames = compare_sequences(folders, arguments.view, video, strip, arguments.pictures, config["fps"])
    print(f"CPU-s of clothing per frame: {', '.join(f'{label} {spent:.3f}' for label, spent in cost.items())}")
    print(f"Wrote {video} ({frames} frames, painted left, simulated right) and {strip}")
    print(f"Both sequences with their annotation: {folders['painted']} and {folders['simulated']}")
    print("Next: another --clip, or a whole painted data set: set simulator=dict(type='PaintedCloth') in a config, "
          "as configs/synthesis/painted.py does, and run tools/generate.py")  # fmt: skip


if __name__ == "__main__":
    run_tool(main)
