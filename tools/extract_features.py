#!/usr/bin/env python
"""Stores the features of a config's frozen encoder for its training images, which train.py then reads instead.

With --on, those of a test set, which test.py reads for every model with this encoder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mviper.config import DictAction, command, load_config, run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Example: {command('extract_features')} configs/frame_blazepose.py (run it again to resume)",
    )
    parser.add_argument("config", type=Path, help="training config whose data set is a FeatureStore")
    parser.add_argument(
        "--on", type=Path, metavar="CONFIG",
        help="store the features of this config's test set, e.g. configs/test_sets/volume_features.py, in crops as in "
        "the model's own tests",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", type=Path, help="checkpoint of the fine-tuned encoder, or the folder of its run"
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="change config values, e.g. train_dataloader.dataset.copies=2",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Extracts the features and prints what was written."""
    arguments = parse_arguments()
    config = load_config(arguments.config, arguments.cfg_options)

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mviper.engine import extract_features, require_model

    require_model(config)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("sequences")

        def show(done: int, total: int, name: str) -> None:
            progress.update(task, completed=done, total=total, description=name)

        test_set = load_config(arguments.on) if arguments.on else None
        stores = extract_features(config, arguments.checkpoint, show, test_set)
    for store in stores:
        print(f"Wrote {store}: {(store / 'crops.bin').stat().st_size / 1e6:.1f} MB")
    if arguments.on:
        print("Next:", command("test", arguments.config, "CHECKPOINT", "--on", arguments.on))
    else:
        print("Next:", command("train", arguments.config))


if __name__ == "__main__":
    run_tool(main)
