#!/usr/bin/env python
"""Tests a checkpoint on the config's test split and prints the metrics beside the mean pose's and the truth's own.

Writes metrics.json, metrics.md and a page, metrics.html: errors by joint, action and time, and the worst frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mviper.config import DictAction, Options, default_work_dir, load_config, run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: python tools/test.py configs/demo/mviper.py work_dirs/demo/mviper/last.pth",
    )
    parser.add_argument("config", type=Path, help="the config that the checkpoint was trained with")
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", help="e.g. work_dirs/mviper_r50/last.pth; none for what is not trained"
    )
    parser.add_argument("--out", type=Path, help="folder for what it writes (default: the checkpoint's)")
    parser.add_argument(
        "--on", type=Path, metavar="CONFIG",
        help="test on this config's test set with its metrics, e.g. configs/_base_/h36m_test.py",
    )  # fmt: skip
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="change config values, e.g. test_dataloader.dataset.split=val; with --on, those of the test set are its",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Tests, prints the table, and says what was written."""
    arguments = parse_arguments()
    options = arguments.cfg_options or Options()
    of_test = options.select(lambda key: arguments.on is not None and key.startswith("test_"))
    config = load_config(arguments.config, options.select(lambda key: key not in of_test))
    if arguments.on:
        from mviper.engine.testing import test_on

        test_on(config, load_config(arguments.on, of_test))
    config.work_dir = str(config.get("work_dir") or default_work_dir(arguments.config))
    out = arguments.out or Path(arguments.checkpoint.parent if arguments.checkpoint else config.work_dir)

    from mviper.engine.testing import metrics_table, run_test, write_metrics
    from mviper.reports.metrics_page import write_metrics_page

    result = run_test(config, arguments.checkpoint)
    print(f"\n{metrics_table(result.rows)}")
    about = {"config": str(arguments.config), "checkpoint": str(arguments.checkpoint or "")}
    written = write_metrics(result.rows, out, result.details, **about, states=result.states)
    written.append(write_metrics_page(out, result, **about))
    print(f"\nWrote {', '.join(map(str, written[:-1]))} and {written[-1]}")
    if arguments.checkpoint and not arguments.on:
        kind = "--frame" if config.model.type == "ImageBodyModelEstimator" else "--video"
        print(f"Next: python tools/report.py {kind} {arguments.config} {arguments.checkpoint} --out {out / 'report'}")


if __name__ == "__main__":
    run_tool(main)
