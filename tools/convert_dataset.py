#!/usr/bin/env python
"""Converts a public data set from its native layout to HumanData; run it again to go on where it stopped."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

from mviper.config import run_tool
from mviper.registry import DATA_CONVERTERS


def converters() -> dict[str, type]:
    """All registered converters by the name of their set."""
    DATA_CONVERTERS.import_from_location()
    return {converter.name: converter for converter in DATA_CONVERTERS.module_dict.values()}


def parse_arguments(known: dict[str, type]) -> argparse.Namespace:
    """The command line: one subcommand a set, whose --help says what to put where."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="SET --help says where the set is to be had and what to put where. "
        "Example: python tools/convert_dataset.py mpii data/raw/mpii --out data/converted",
    )
    sets = parser.add_subparsers(dest="set", required=True, metavar="SET", help=", ".join(known))
    for name, converter in known.items():
        description = (
            f"{inspect.getdoc(converter)}\n\nfrom:    {converter.source}\nlicence: {converter.licence}\n"
            f"layout:\n{converter.layout}"
        )
        command = sets.add_parser(
            name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )  # fmt: skip
        command.add_argument("root", type=Path, metavar="ROOT", help="the set's folder, as in the layout above")
        command.add_argument(
            "--out", type=Path, default=Path("data/converted"), help="where to write (default: data/converted)"
        )
        command.add_argument(
            "--splits", nargs="+", choices=converter.splits, default=None, metavar="SPLIT",
            help=f"which of {', '.join(converter.splits)} (default: all that can be; at least one must)",
        )  # fmt: skip
        options = inspect.signature(converter).parameters
        if "min_side" in options:
            command.add_argument(
                "--min-side", type=float, default=60.0, metavar="PX",
                help="training splits: leave out people whose joints' box is smaller (default: 60)",
            )  # fmt: skip
            command.add_argument(
                "--min-visible", type=int, default=6, metavar="N",
                help="training splits: leave out people with fewer visible joints (default: 6)",
            )  # fmt: skip
        if "fps" in options and not converter.stills:
            command.add_argument("--fps", type=float, metavar="F", help="frames kept of each second of a video")
        if name in ("pw3d", "surreal"):
            command.add_argument(
                "--body-models", type=Path, metavar="DIR", help="folder of SMPL_{NEUTRAL,MALE,FEMALE}.pkl: whose betas "
                "the set's are",
            )  # fmt: skip
            command.add_argument(
                "--refit-to", type=Path, metavar="FILE", help="refit the betas to this body model (needs --body-models)"
            )
    return parser.parse_args()


def main() -> int:
    """Converts the splits and sums up."""
    known = converters()
    arguments = vars(parse_arguments(known))
    converter_type = known[arguments.pop("set")]
    out, splits = arguments.pop("out"), arguments.pop("splits")
    converter = converter_type(**arguments)
    done = []
    for split in splits or available(converter):
        with Display(f"{converter.name} {split}") as display:
            summary = converter.convert(out, split, display.show)
        left_out = "".join(f"; left out: {count} {reason}" for reason, count in summary.dropped.items())
        what = f"{summary.rows} annotated frames, " if summary.rows else ""
        print(f"{converter.name} {split}: {what}{summary.sequences} sequences or files{left_out}; in {summary.folder}")
        done.append(split)
    if converter.name not in ("ucf101", "amass"):
        print(f"In a config: dict(type='HumanDataset', data_root='{out}', ann_file='{converter.name}/{done[0]}')")
    print("See docs/data_sets.md")
    return 0


def available(converter) -> list[str]:
    """The splits whose files are there.

    Raises:
        MissingDataError: None is; the first one's error.
    """
    from mviper.errors import MissingDataError

    found, errors = [], []
    for split in converter.splits:
        try:
            if converter.sequences(split):
                found.append(split)
        except MissingDataError as error:
            errors.append((split, error))
    if not found:
        raise errors[0][1]
    for split, error in errors:
        print(f"{converter.name} {split} is left out: {str(error).partition(f'{converter.name} is to')[0]}")
    return found


class Display:
    """A progress bar over a split's sequences."""

    def __init__(self, title: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self.title = title
        self.progress = Progress(
            TextColumn("{task.description}", justify="left"), BarColumn(30), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("ETA"), Remaining(),
        )  # fmt: skip
        self.task = self.progress.add_task(title, total=None)

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def show(self, done: int, total: int, name: str) -> None:
        """Shows how far it is."""
        self.progress.update(self.task, completed=done, total=total, description=f"{self.title} {name}".strip())


if __name__ == "__main__":
    run_tool(main)
