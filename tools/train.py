#!/usr/bin/env python
"""Trains a config's model; --resume continues an interrupted run, bit for bit as if it had never stopped."""

from __future__ import annotations

import argparse
from pathlib import Path

from mviper.config import DictAction, Options, command, default_work_dir, load_config, run_tool
from mviper.errors import ConfigError


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Example: {command('train')} configs/demo/frame.py --cfg-options train_cfg.max_iters=100",
    )
    parser.add_argument("config", type=Path, help="training config, e.g. configs/mviper_r50.py")
    parser.add_argument("--work-dir", type=Path, help="where checkpoints and logs go (default: work_dirs/<config>)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue from the newest complete checkpoint in work_dir, if there is one",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (bfloat16 autocast on the CPU)")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="change config values, e.g. train_dataloader.batch_size=8",
    )  # fmt: skip
    parser.add_argument(
        "--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none",
        help="launcher of several processes (tools/dist_train.sh uses pytorch)",
    )  # fmt: skip
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Trains the model and prints what was written."""
    arguments = parse_arguments()
    config = load_config(arguments.config, arguments.cfg_options)
    config.work_dir = str(arguments.work_dir or config.get("work_dir") or default_work_dir(arguments.config))
    config.resume = arguments.resume or config.get("resume", False)
    config.launcher = arguments.launcher

    from mviper.engine import Runner, find_checkpoint, require_inputs, require_model, use_mixed_precision

    require_model(config)
    if not config.get("train_dataloader"):
        raise ConfigError(f"there is nothing to train in {arguments.config}: {command('test', arguments.config)}")
    require_inputs(config)
    if arguments.amp:
        use_mixed_precision(config.optim_wrapper)
    runner = Runner.from_cfg(config)
    runner.train()
    checkpoint = find_checkpoint(config.work_dir)
    if runner.rank == 0 and checkpoint is not None:
        options = options_of_test(arguments.cfg_options or Options())
        print(f"\nWrote {checkpoint}\nNext: {command('test', arguments.config, config.work_dir, *options)}")


def options_of_test(options: Options) -> list[str]:
    """Options for ``tools/test.py``: those of model and test set, and the training's data folder unless it has its own.

    Args:
        options: The training's.
    """
    folder, training_folder = (f"{loader}_dataloader.dataset.data_root" for loader in ("test", "train"))
    kept = {key: text for key, text in options.texts.items() if key.startswith(("model.", "test_"))}
    if training_folder in options:
        kept.setdefault(folder, options.texts[training_folder])
    return ["--cfg-options", *(f"{key}={text}" for key, text in kept.items())] if kept else []


if __name__ == "__main__":
    run_tool(main)
