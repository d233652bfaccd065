#!/usr/bin/env python
"""Converts a public data set from its native layout to HumanData, or packs generated sequences for fast training."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

from mviper.config import command, run_tool
from mviper.registry import DATA_CONVERTERS


def converters() -> dict[str, type]:
    """All registered converters by the name of their data set."""
    DATA_CONVERTERS.import_from_location()
    return {converter.name: converter for converter in DATA_CONVERTERS.module_dict.values()}


def parse_arguments(known: dict[str, type]) -> argparse.Namespace:
    """The command line: one subcommand per data set, whose --help says where files must lie."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="SET --help says where to download the set and how to lay it out.  "
        f"Examples: {command('convert_dataset')} mpii data/raw/mpii --out data/converted (run it again to "
        f"resume); {command('convert_dataset')} synthetic data/mviper --out data/packed --as tar",
    )
    sets = parser.add_subparsers(dest="set", required=True, metavar="SET", help=", ".join(known))
    for name, converter in known.items():
        description = (
            f"{inspect.getdoc(converter)}\n\nfrom:    {converter.source}\nlicence: {converter.licence}\n"
            f"layout:\n{converter.layout}"
        )
        one_set = sets.add_parser(
            name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )  # fmt: skip
        one_set.add_argument("root", type=Path, metavar="ROOT", help="the set's folder, as in the layout above")
        one_set.add_argument(
            "--out", type=Path, default=Path("data/converted"), help="where to write (default: data/converted)"
        )
        one_set.add_argument(
            "--splits", nargs="+", choices=converter.splits, default=None, metavar="SPLIT",
            help=f"some of {', '.join(converter.splits)} (default: all that can be converted)",
        )  # fmt: skip
        one_set.add_argument(
            "--require-all", action="store_true",
            help="refuse an incomplete set (default: convert what is there and list what is missing)",
        )  # fmt: skip
        options = inspect.signature(converter).parameters
        if "min_side" in options:
            one_set.add_argument(
                "--min-side", type=float, default=60.0, metavar="PX",
                help="training splits: leave out people whose joints' box is smaller (default: 60)",
            )  # fmt: skip
            one_set.add_argument(
                "--min-visible", type=int, default=6, metavar="N",
                help="training splits: leave out people with fewer visible joints (default: 6)",
            )  # fmt: skip
        if "fps" in options and not converter.stills:
            one_set.add_argument("--fps", type=float, metavar="F", help="frames per second to keep of each video")
        if name in ("pw3d", "surreal", "emdb"):
            one_set.add_argument(
                "--body-models", type=Path, metavar="DIR", help="folder of SMPL_{NEUTRAL,MALE,FEMALE}.pkl, which the "
                "set's betas belong to",
            )  # fmt: skip
            one_set.add_argument(
                "--refit-to", type=Path, metavar="FILE", help="refit the betas to this body model (needs --body-models)"
            )
    add_packing(sets)
    return parser.parse_args()


def add_packing(sets) -> None:
    """Adds the subcommand for sequences from ``tools/generate.py``."""
    from mviper.datasets import PACKED_KINDS, SPLIT_ATTRIBUTES, SPLITS

    one_set = sets.add_parser(
        "synthetic", help="sequences of tools/generate.py",
        description="Packs what tools/generate.py made:  tar: one indexed tar of JPEGs per split, for "
            "PackedHumanVideo; "
        "human_data: one HumanData file per split; images: plain pictures and arrays for other projects' loaders "
        "(docs/scale.md).",
    )  # fmt: skip
    one_set.add_argument("root", type=Path, metavar="ROOT", help="the --out folder of tools/generate.py")
    one_set.add_argument(
        "--out", type=Path, default=Path("data/packed"), help="where to write (default: data/packed)"
    )  # fmt: skip
    one_set.add_argument(
        "--as", dest="kinds", nargs="+", choices=PACKED_KINDS, default=["tar"], help="output formats (default: tar)"
    )
    one_set.add_argument("--quality", type=int, default=95, help="JPEG quality (default: 95)")
    one_set.add_argument(
        "--split-by", nargs="+", choices=list(SPLIT_ATTRIBUTES), metavar="WHAT",
        help=f"make new splits that do not share a { ', '.join(SPLIT_ATTRIBUTES)} (default: the splits as they were "
        "generated)",
    )  # fmt: skip
    one_set.add_argument(
        "--shares", nargs=len(SPLITS), type=float, default=[0.8, 0.1, 0.1], metavar="SHARE",
        help=f"relative sizes of the new splits {', '.join(SPLITS)} (default: 0.8 0.1 0.1)",
    )  # fmt: skip
    one_set.add_argument("--seed", type=int, default=0, help="seed of the new splits (default: 0)")


def pack(arguments: argparse.Namespace) -> int:
    """Packs generated sequences and prints a summary."""
    from mviper.datasets import SPLITS, find_sequences, pack_split, split_without_overlap

    skipped: dict[str, str] = {}
    sequences = find_sequences(arguments.root, skipped)
    if skipped:
        print(f"{len(skipped)} sequences skipped: their manifests are damaged")
    splits = [sequence.split for sequence in sequences]
    if arguments.split_by:
        shares = dict(zip(SPLITS, arguments.shares))
        manifests = [sequence.manifest for sequence in sequences]
        splits = split_without_overlap(manifests, arguments.split_by, shares, arguments.seed)
        left_out = splits.count(None)
        print(f"Splits that do not share a {', '.join(arguments.split_by)}; {left_out} sequences fit none of them")
    for split in SPLITS:
        own = [sequence for sequence, of in zip(sequences, splits) if of == split]
        for kind in arguments.kinds if own else []:
            with Display(f"{split} {kind}") as display:
                summary = pack_split(own, arguments.out, split, kind, arguments.quality, display.show)
            skipped |= summary.skipped
            print(
                f"{split} {kind}: {summary.sequences} sequences, {summary.views} views, {summary.frames} frames, "
                f"{summary.bytes / 1e6:.1f} MB; {len(summary.skipped)} views skipped"
            )
    for path, reason in skipped.items():
        print(f"skipped {path}: {reason}")
    if "tar" in arguments.kinds:
        print(f"In a config: dict(type='PackedHumanVideo', data_root={str(arguments.out)!r}, split='train')")
    return 0


def main() -> int:
    """Converts the splits and prints a summary."""
    known = converters()
    parsed = parse_arguments(known)
    if parsed.set == "synthetic":
        return pack(parsed)
    arguments = vars(parsed)
    converter_type = known[arguments.pop("set")]
    out, splits = arguments.pop("out"), arguments.pop("splits")
    converter = converter_type(**arguments)
    done, damaged = [], {}
    for split in splits or available(converter):
        with Display(f"{converter.name} {split}") as display:
            summary = converter.convert(out, split, display.show)
        report(f"{converter.name} {split}", summary)
        damaged |= summary.damaged
        done.append(split)
    if converter.name not in ("ucf101", "amass"):
        print(f"In a config: dict(type='HumanDataset', data_root={str(out)!r}, ann_file='{converter.name}/{done[0]}')")
    print("See docs/data_sets.md")
    return 1 if damaged else 0


def report(title: str, summary) -> None:
    """Prints what was kept, what was left out and why, and what is missing."""
    what = f"{summary.rows} annotated frames, " if summary.rows else ""
    print(f"{title}: {what}{summary.sequences} sequences or files; in {summary.folder}")
    for reason, count in summary.dropped.items():
        print(f"  left out: {count} {reason}")
    for kind, names in summary.missing.items():
        print(f"  missing: {len(names)} {kind}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}")
    for sequence, problem in summary.damaged.items():
        print(f"  not converted: {sequence}: {problem}")


def available(converter) -> list[str]:
    """The splits whose files exist.

    Raises:
        MissingDataError: There is none; the error is that of the first split.
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
        print(f"{converter.name} {split} is left out: {str(error).partition(f'{converter.name} can be downloaded')[0]}")
    return found


class Display:
    """Progress bar over a split's sequences."""

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
        """Updates the progress bar."""
        self.progress.update(self.task, completed=done, total=total, description=f"{self.title} {name}".strip())


if __name__ == "__main__":
    run_tool(main)
