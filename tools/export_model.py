#!/usr/bin/env python
"""Exports a trained network to ONNX or OpenVINO, with its recurrent state as inputs and outputs of the graph.

The exported model is checked against the torch model. FILE.pth writes only the weights, in half precision, for use in
MVIPER.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from mviper.config import command, run_tool
from mviper.errors import ConfigError, MviperError


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Example: {command('export_model')} configs/mviper_r50.py work_dirs/mviper_r50/best.pth --out "
        f"mviper.onnx mviper.xml\n         {command('recover')} dance.mp4 --config configs/mviper_r50.py "
        "--checkpoint mviper.xml",
    )
    parser.add_argument("config", type=Path, help="the model's config")
    parser.add_argument("checkpoint", type=Path, help="its weights")
    parser.add_argument(
        "--out", type=Path, nargs="+", required=True, metavar="FILE",
        help="files to write: .onnx, .xml for OpenVINO (with the weights next to it as .bin), or .pth for the "
        "weights alone",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=float, default=1e-3, metavar="D",
        help="maximum difference of phi from torch's in float32; 20 times as much for .pth (default: 1e-3)",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Exports the model and checks it."""
    arguments = parse_arguments()
    from mviper.engine import write_release
    from mviper.export import NETWORK_SUFFIXES, export_model, largest_difference
    from mviper.inference import load_model

    for path in arguments.out:
        if path.suffix not in (*NETWORK_SUFFIXES, ".pth"):
            raise ConfigError(f"--out {path}: the file name must end in {', '.join(NETWORK_SUFFIXES)} or .pth")
    model, crop = load_model(arguments.config, arguments.checkpoint)
    for path in arguments.out:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            draft = Path(folder) / path.name
            if path.suffix == ".pth":
                write_release(arguments.checkpoint, draft)
            else:
                export_model(model, draft, crop.size)
            difference = largest_difference(load_model(arguments.config, draft)[0], model, crop.size)
            # Half precision is intended here; it moves a joint by about a millimetre.
            tolerance = 20 * arguments.tolerance if path.suffix == ".pth" else arguments.tolerance
            if not difference <= tolerance:
                raise MviperError(
                    f"{path}: not written: its phi is off by {difference:.1e}, more than {tolerance:g} (--tolerance)"
                )
            for file in Path(folder).iterdir():  # with OpenVINO's weights
                file.replace(path.with_name(file.name))
        print(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB): phi within {difference:.1e} of torch's in float32")


if __name__ == "__main__":
    run_tool(main)
