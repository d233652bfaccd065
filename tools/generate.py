#!/usr/bin/env python
"""Generates annotated videos of clothed people from motion capture; a repeated call resumes where it stopped."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from mviper.config import DictAction, command, load_config, run_tool


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Example: {command('generate')} configs/synthesis/deepmimic.py --out data/mviper --workers 2",
    )
    parser.add_argument("config", type=Path, help="synthesis config, e.g. configs/synthesis/cmu_asf_amc.py")
    parser.add_argument("--out", type=Path, default=Path("data/mviper"), help="data set folder (default: data/mviper)")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of parallel processes (default: 1; with Ray, all cores of the cluster)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N sequences of the config")
    parser.add_argument(
        "--splits", nargs="+", choices=["train", "val", "test"], metavar="SPLIT",
        help="only sequences of these splits: train, val, test (default: all)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="random seed of bodies, clothes and scenes (default: the config's)")
    parser.add_argument(
        "--launcher", choices=["none", "ray"], default="none",
        help="none: processes on this machine; ray: on a Ray cluster (docs/scale.md)",
    )  # fmt: skip
    parser.add_argument(
        "--address", metavar="HOST:PORT",
        help="address of the Ray cluster; local: start one on this machine (default: RAY_ADDRESS, else the last one "
        "started here)",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True,
        help="continue an earlier run; --no-resume refuses a folder that contains sequences of this config",
    )  # fmt: skip
    parser.add_argument("--retry-rejected", action="store_true", help="retry sequences rejected in earlier runs")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE",
        help="change config values, e.g. source.root=/data/cmu max_frames=60",
    )  # fmt: skip
    arguments = parser.parse_args()
    if any(number is not None and number < 1 for number in (arguments.workers, arguments.limit)):
        parser.error("--workers and --limit must be 1 or more")
    if arguments.address and arguments.launcher != "ray":
        parser.error("--address requires --launcher ray")
    return arguments


def main() -> int:
    """Generates the sequences and prints a summary."""
    arguments = parse_arguments()
    config = load_config(arguments.config, arguments.cfg_options).to_dict()
    if arguments.seed is not None:
        config["seed"] = arguments.seed

    from mviper.synthesis import generate

    with Display() as display:
        summary = generate(
            config, arguments.out, arguments.workers, arguments.limit, arguments.retry_rejected,
            arguments.resume, arguments.launcher, arguments.address, display.plan, display.show,
            arguments.splits,
        )  # fmt: skip
    report(summary, arguments)
    return 1 if summary.failed else 0


def report(summary, arguments: argparse.Namespace) -> None:
    """Prints what was done, its cost, failures, and what to do next."""
    made = f"{len(summary.made)} sequence{'s' * (len(summary.made) != 1)} made"
    print(
        f"{made}, {summary.existing} already existed, {len(summary.rejected)} rejected, "
        f"{len(summary.failed)} failed; {summary.frames} frames in {summary.seconds / 60:.1f} min"
        + (f"; {summary.retried} retried after a worker died" if summary.retried else "")
    )
    if summary.frames:
        stages = [(stage, spent) for stage, spent in summary.cpu_seconds.items() if not stage.startswith("cloth_")]
        total = sum(spent for _, spent in stages)
        costs = ", ".join(f"{stage} {spent / summary.frames:.3f}" for stage, spent in stages)
        print(f"CPU-s per rendered frame: {total / summary.frames:.3f} ({costs})")
    for reason, count in summary.reasons().most_common():
        print(f"rejected {count} x: {reason}")
    for name, problem in summary.failed.items():
        print(f"failed {name}: {problem}")
    if summary.rejected:
        print(f"Reasons in full: {arguments.out / 'rejected.json'}; use --retry-rejected to retry them")
    if summary.made or summary.existing:
        print(f"Sequences are in {arguments.out}/<split>/<name>/; look at the .mp4 files. Next: "
              + command("browse", "dataset", arguments.out, "--out", "work_dirs/browse"))  # fmt: skip


class Display:
    """Progress bar over all sequences with rate, ETA and failures, and a line for each worker's stage.

    If the output is not a terminal (a batch job's log), it prints one line per minute instead.
    """

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.progress = Progress(
            TextColumn("{task.description}", justify="left"), BarColumn(30), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("{task.fields[news]}"),
        )  # fmt: skip
        self.all, self.workers = None, {}
        self.total, self.counts = 0, dict.fromkeys(("made", "rejected", "failed", "retry"), 0)
        self.start = self.told = time.monotonic()

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers.values():  # their last stage would stay on the screen
            self.progress.remove_task(worker)
        self.progress.stop()

    def plan(self, jobs: list, existing: int) -> None:
        """Sets the total number of sequences."""
        if existing:
            self.progress.console.print(f"{existing} sequences exist already", highlight=False)
        self.total = len(jobs)
        self.all = self.progress.add_task("sequences", total=len(jobs), news="")

    def show(self, event) -> None:
        """Shows one event."""
        name = event.job.name
        if event.kind == "stage":
            if event.worker not in self.workers:
                self.workers[event.worker] = self.progress.add_task("", total=100, news="")
            self.progress.update(
                self.workers[event.worker], description=f"  {name}: {event.text}", completed=round(100 * event.done)
            )
            return
        self.counts[event.kind] += 1
        terminal = self.progress.console.is_terminal
        if event.kind != "made" or not terminal:
            text = event.text.strip().splitlines()[-1] if event.text else ""
            self._print(f"{name}: {event.kind}{': ' * bool(text)}{text}")
        self.progress.update(self.all, completed=self._done(), news=self.news())
        if not terminal and time.monotonic() > self.told + 60:
            self.told = time.monotonic()
            self._print(f"{self._done()} of {self.total} sequences; {self.news()}")

    def news(self) -> str:
        """Rate, ETA and failures."""
        per_second = self._done() / max(time.monotonic() - self.start, 1e-3)
        parts = [f"{3600 * per_second:.0f}/h"]
        if per_second:
            minutes = round((self.total - self._done()) / per_second / 60)
            parts.append(f"{minutes // 60}:{minutes % 60:02d} h left")
        parts += [f"{self.counts[kind]} {kind}" for kind in ("rejected", "failed") if self.counts[kind]]
        parts += [f"{self.counts['retry']} tried again"] * bool(self.counts["retry"])
        return ", ".join(parts)

    def _done(self) -> int:
        return sum(self.counts[kind] for kind in ("made", "rejected", "failed"))

    def _print(self, text: str) -> None:
        self.progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_tool(main)
