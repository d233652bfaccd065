#!/usr/bin/env python
"""Makes annotated videos of clothed people from motion capture; run it again to go on where it stopped."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from mmengine.config import DictAction

from mviper.config import load_config, run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: python tools/generate.py configs/synthesis/deepmimic.py --out data/mviper --workers 2",
    )
    parser.add_argument("config", type=Path, help="synthesis config, e.g. configs/synthesis/cmu_asf_amc.py")
    parser.add_argument("--out", type=Path, default=Path("data/mviper"), help="data set folder (default: data/mviper)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes side by side (default: 1)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N sequences of the config")
    parser.add_argument("--seed", type=int, help="other bodies, clothes and scenes (default: the config's)")
    parser.add_argument(
        "--launcher", choices=["none"], default="none", help="none: processes on this machine (more is to come)"
    )
    parser.add_argument("--retry-rejected", action="store_true", help="try again what was rejected in earlier runs")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="change config values, e.g. source.root=/data/cmu max_frames=60",
    )  # fmt: skip
    arguments = parser.parse_args()
    if arguments.workers < 1 or (arguments.limit is not None and arguments.limit < 1):
        parser.error("--workers and --limit must be 1 or more")
    return arguments


def main() -> int:
    """Makes the sequences and sums up."""
    arguments = parse_arguments()
    config = load_config(arguments.config, arguments.cfg_options).to_dict()
    if arguments.seed is not None:
        config["seed"] = arguments.seed

    from mviper.synthesis.farm import generate

    with Display() as display:
        summary = generate(
            config, arguments.out, arguments.workers, arguments.limit, arguments.retry_rejected,
            display.plan, display.show,
        )  # fmt: skip
    report(summary, arguments)
    return 1 if summary.failed else 0


def report(summary, arguments: argparse.Namespace) -> None:
    """Says what was done, what it cost, what went wrong and what to do next."""
    print(
        f"{len(summary.made)} sequences made, {summary.existing} were there, {len(summary.rejected)} rejected, "
        f"{len(summary.failed)} failed; {summary.frames} frames in {summary.seconds / 60:.1f} min"
    )
    if summary.frames:
        stages = [(stage, spent) for stage, spent in summary.cpu_seconds.items() if not stage.startswith("cloth_")]
        total = sum(spent for _, spent in stages)
        costs = ", ".join(f"{stage} {spent / summary.frames:.3f}" for stage, spent in stages)
        print(f"CPU-s per rendered frame: {total / summary.frames:.3f} ({costs})")
    for reason, count in Counter(reason.partition(":")[0] for reason in summary.rejected.values()).most_common():
        print(f"rejected {count} x: {reason}")
    for name, problem in summary.failed.items():
        print(f"failed {name}: {problem}")
    if summary.rejected:
        print(f"Reasons in full: {arguments.out / 'rejected.json'}; --retry-rejected tries these again")
    if summary.made or summary.existing:
        print(f"Sequences are in {arguments.out}/<split>/<name>/; look at the .mp4 files. Next: python tools/train.py "
              "configs/frame_r50.py")  # fmt: skip


class Display:
    """A progress bar over all sequences and a line for each worker's stage."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self.progress = Progress(
            TextColumn("{task.description}", justify="left"), BarColumn(30), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("ETA"), Remaining(),
        )  # fmt: skip
        self.all, self.workers, self.problems = None, {}, 0

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def plan(self, jobs: list, existing: int) -> None:
        """Shows how much there is to do."""
        if existing:
            self.progress.console.print(f"{existing} sequences are there already", highlight=False)
        self.all = self.progress.add_task("sequences", total=len(jobs))

    def show(self, event) -> None:
        """Shows one event."""
        name = event.job.name
        if event.worker not in self.workers:
            self.workers[event.worker] = self.progress.add_task("", total=100)
        line = self.workers[event.worker]
        if event.kind == "stage":
            self.progress.update(line, description=f"  {name}: {event.text}", completed=round(100 * event.done))
            return
        if event.kind != "made":
            text = event.text.strip().splitlines()[-1] if event.text else ""
            self.progress.console.print(f"{name}: {event.kind}: {text}", markup=False, highlight=False, soft_wrap=True)
        elif not self.progress.console.is_terminal:
            self.progress.console.print(f"{name}: made", highlight=False)
        if event.kind != "retry":
            self.progress.advance(self.all)


if __name__ == "__main__":
    run_tool(main)
