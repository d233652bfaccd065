#!/usr/bin/env python
"""Prints one of the paper's tables next to ours: methods, combinations of losses, or MVIPER without one of its parts.

Collects the results of tools/test.py from the work_dirs. For missing rows it prints the commands that produce them;
--run executes these.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mviper.config import command, run_tool
from mviper.files import atomic_path
from mviper.reports import page, tables
from mviper.shipped import SHIPPED


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Example: {command('tables')} --table 2 --setting demo --run",
    )
    parser.add_argument("--table", choices=tuple(tables.TABLES), required=True, help="number of the table")
    parser.add_argument(
        "--setting", choices=("paper", "demo", "volume"), default="paper",
        help="the paper's models (configs/*_r50.py); the demo models, which two CPU cores train in minutes "
        "(configs/demo); or those on BlazePose's frozen network (configs/*_blazepose.py), which learn from large data "
        "in minutes and are tested on configs/test_sets/volume.py",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=int, nargs="+", metavar="N",
        help="train with each of these seeds: figures are means, with intervals of the ratios (default: the configs' "
        "seed)",
    )  # fmt: skip
    parser.add_argument("--run", action="store_true", help="train and test missing models first")
    parser.add_argument("--work-dirs", type=Path, metavar="DIR", help="folder of the runs (default: each config's own)")
    parser.add_argument(
        "--configs",
        nargs="+",
        default=[],
        metavar="METHOD=CONFIG",
        help="replace a row's config, e.g. hmr=projects/x/hmr.py",
    )
    parser.add_argument(
        "--train-options", nargs="+", default=[], metavar="KEY=VALUE", help="config values to change in every training"
    )
    parser.add_argument(
        "--test-options", nargs="+", default=[], metavar="KEY=VALUE", help="config values to change in every test"
    )
    parser.add_argument("--out", type=Path, default=Path("work_dirs/tables"), help="folder for the .md and the .html")
    arguments = parser.parse_args()
    for pair in arguments.configs:
        if "=" not in pair:
            parser.error(f"--configs {pair}: expected METHOD=CONFIG")
    return arguments


def main() -> None:
    """Runs the requested commands, prints the table and writes it as Markdown and as a page."""
    arguments = parse_arguments()
    table = tables.TABLES[arguments.table]
    runs = [
        tables.plan(
            table,
            arguments.setting,
            config_root=Path("configs") if Path("configs").is_dir() else SHIPPED / "configs",
            root=arguments.work_dirs,
            seed=seed,
            configs={name: Path(path) for name, _, path in (pair.partition("=") for pair in arguments.configs)},
            train_options=arguments.train_options,
            test_options=arguments.test_options,
        )
        for seed in arguments.seeds or [None]
    ]
    for of_seed in runs if arguments.run else ():
        tables.execute(of_seed, launch)
    headings, cells = tables.compare(table, *runs)
    missing = list(dict.fromkeys(line for of_seed in runs for line in tables.still_to_do(of_seed)))
    ranges = {
        f"{tables.label(row)} / {tables.label(divisor)}, {figure}": values
        for (row, divisor), figures in tables.intervals(table, runs).items()
        for figure, values in figures.items()
    }
    range_headings = ["ours", "ratio", "95 % from", "to"]

    title = f"Table {arguments.table}" if arguments.table.isdigit() else arguments.table.capitalize()
    lines = [f"# {title}: {table.title}", "", f"Setting: {arguments.setting}.", "", *markdown(headings, cells)]
    if ranges:
        lines += ["", "Ratios with intervals over clips and seeds:", "", *markdown(range_headings, ranges)]
    lines += ["", *(["Still to do:", ""] if missing else []), *(f"- {line}" for line in missing)]
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    stem = arguments.out / (f"table_{arguments.table}" if arguments.table.isdigit() else arguments.table)
    with atomic_path(stem.with_suffix(".md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    sections = [page.section(table.title, page.table(headings, cells))]
    if ranges:
        sections.append(page.section("Ratios with intervals over clips and seeds", page.table(range_headings, ranges)))
    if missing:
        sections.append(page.section("Still to do", *(page.paragraph(line) for line in missing)))
    with atomic_path(stem.with_suffix(".html")) as temporary:
        temporary.write_text(page.page(title, f"setting {arguments.setting}", sections), encoding="utf-8")
    print(f"Wrote {stem.with_suffix('.md')} and {stem.with_suffix('.html')}")


def markdown(headings: Sequence[str], cells: Mapping[str, Sequence[float | None]]) -> list[str]:
    """Lines of a table, right-aligned but for the rows' names."""
    rows = [f"| {row} | " + " | ".join(page.number(value) for value in values) + " |" for row, values in cells.items()]
    return ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1), *rows]


def launch(words: Sequence[str]) -> int:
    """Runs a tool and returns its exit code."""
    return subprocess.run([sys.executable, str(SHIPPED / words[0]), *words[1:]]).returncode


if __name__ == "__main__":
    run_tool(main)
