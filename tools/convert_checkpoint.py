#!/usr/bin/env python
"""Converts an HMR or SPIN checkpoint of MMHuman3D to MVIPER's format, for configs/hmr_mmhuman3d_r50.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from mviper.config import command, run_tool

CONFIG = "configs/hmr_mmhuman3d_r50.py"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Example: {command('convert_checkpoint')} data/checkpoints/resnet50_hmr_pw3d.pth --out "
        "work_dirs/hmr_mmhuman3d_r50/converted.pth",
    )
    parser.add_argument("checkpoint", help="MMHuman3D's checkpoint, a path or URL")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    return parser.parse_args()


def main() -> None:
    """Converts the checkpoint and prints how to use it."""
    arguments = parse_arguments()

    from mviper.engine import write_checkpoint
    from mviper.models import from_mmhuman3d, read_weights

    weights = read_weights(
        arguments.checkpoint, "a checkpoint of MMHuman3D", "Its model zoo: https://github.com/open-mmlab/mmhuman3d"
    )
    state_dict = from_mmhuman3d(weights, arguments.checkpoint)
    write_checkpoint({"state_dict": state_dict, "meta": {"converted_from": str(arguments.checkpoint)}}, arguments.out)
    print(f"Wrote {arguments.out}: {len(state_dict)} tensors of {len(weights)}")
    print("Its betas are those of the licensed SMPL. Next:")
    body = "data/body_models/SMPL_NEUTRAL.pkl"
    print(f"  {command('test', CONFIG, arguments.out, '--cfg-options', f'model.body_model.model_path={body}')}")


if __name__ == "__main__":
    run_tool(main)
