#!/usr/bin/env python
"""Tests a checkpoint on the config's test split and prints its metrics next to those of mean pose and ground truth.

Writes metrics.json, metrics.md and a page, metrics.html: errors by joint, action and time, and the worst frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mviper.config import DictAction, Options, command, default_work_dir, load_config, run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Example: {command('test')} configs/demo/mviper.py work_dirs/demo/mviper",
    )
    parser.add_argument("config", type=Path, help="the config that the checkpoint was trained with")
    parser.add_argument(
        "checkpoint", type=Path, nargs="?",
        help="a file, or a run's folder for its newest checkpoint, e.g. work_dirs/mviper_r50; omit it for methods "
        "without training",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="output folder (default: the checkpoint's)")
    parser.add_argument(
        "--on", type=Path, metavar="CONFIG",
        help="test on this config's test set with its metrics, e.g. configs/test_sets/h36m.py",
    )  # fmt: skip
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="change config values, e.g. test_dataloader.dataset.split=val; with --on, of the test set's config",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Tests the model, prints the table and what was written."""
    arguments = parse_arguments()
    options = arguments.cfg_options or Options()
    of_test = options.select(lambda key: arguments.on is not None and key.startswith("test_"))
    config = load_config(arguments.config, options.select(lambda key: key not in of_test))
    if arguments.on:
        from mviper.engine import use_test_set

        use_test_set(config, load_config(arguments.on, of_test))

    from mviper.engine import Evaluation, resolve_checkpoint
    from mviper.reports import write_metrics_page

    checkpoint = arguments.checkpoint and resolve_checkpoint(arguments.checkpoint)
    own = checkpoint.parent if checkpoint else Path(config.get("work_dir") or default_work_dir(arguments.config))
    out = arguments.out or own
    config.work_dir = str(out)
    evaluation = Evaluation.run(config, checkpoint)
    print(f"\n{evaluation.table()}")
    if evaluation.trained_on:
        print(f"\nTrained on {evaluation.trained_on}")
    about = {"config": str(arguments.config), "checkpoint": str(checkpoint or "")}
    written = evaluation.write(out, **about)
    written.append(write_metrics_page(out, evaluation, **about))
    print(f"\nWrote {', '.join(map(str, written[:-1]))} and {written[-1]}")
    if checkpoint and not arguments.on:
        kind = "--frame" if config.model.type == "ImageBodyModelEstimator" else "--video"
        same = ["--cfg-options", *(f"{key}={text}" for key, text in options.texts.items())] if options else []
        print("Next:", command("report", kind, arguments.config, arguments.checkpoint, "--out", out / "report", *same))


if __name__ == "__main__":
    run_tool(main)
