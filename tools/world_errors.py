#!/usr/bin/env python
"""Measures a recovered motion in the world by EMDB 2's metrics: WA-MPJPE, W-MPJPE, RTE, jitter, foot sliding.

The motion is an export of tools/recover.py (AMASS' layout, in the world); the ground truth is a sequence written by
tools/convert_dataset.py emdb. Frames are matched by their numbers in the video.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mviper.config import command, run_tool
from mviper.errors import ConfigError
from mviper.files import atomic_path

#: Points of the feet that correspond on all bodies. WHAM takes four vertices of SMPL's soles.
_FEET = [f"{side}_{point}" for side in ("left", "right") for point in ("heel", "bigtoe")]


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Example: {command('recover')} data/raw/emdb/P0/09_outdoor_walk/images --out work_dirs/emdb\n"
        f"         {command('world_errors')} work_dirs/emdb/images/images.npz "
        "data/converted/emdb/emdb2/P0_09_outdoor_walk.npz",
    )
    parser.add_argument("motion", type=Path, help="NAME.npz written by tools/recover.py")
    parser.add_argument(
        "truth", type=Path, help="data/converted/emdb/emdb2/NAME.npz written by tools/convert_dataset.py emdb"
    )
    parser.add_argument("--body-model", type=Path, help="the motion's body (default: the open one)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def main() -> None:
    """Measures the motion; prints and writes the figures."""
    arguments = parse_arguments()
    import numpy as np
    import torch

    from mviper.body import SMPL, axis_angle_to_matrix, same_body
    from mviper.evaluation import world_figures
    from mviper.files import load_npz
    from mviper.structures import KEYPOINTS, HumanData, Motion

    motion, truth = Motion.load(arguments.motion), HumanData.load(arguments.truth)
    first = int(load_npz(arguments.motion).get("first_frame", 0))
    body = SMPL(arguments.body_model)
    if motion.body_model and not same_body(motion.body_model, body.body_model_id):
        raise ConfigError(f"{arguments.motion}: its body is {motion.body_model}, --body-model is {body.body_model_id}")
    if truth.camera is None or truth.keypoints3d is None or truth.frame_idx is None:
        raise ConfigError(
            f"{arguments.truth}: no camera and joints over time; was it written by tools/convert_dataset.py emdb?"
        )
    rows = np.flatnonzero((truth.frame_idx >= first) & (truth.frame_idx < first + len(motion)))
    if len(rows) < 4:
        raise ConfigError(
            f"{arguments.motion}: frames {first} to {first + len(motion) - 1} have {len(rows)} in common with "
            f"{arguments.truth}; expected 4 or more"
        )
    frames = truth.frame_idx[rows]
    # By the transposed rotation: x_cam = R x_world + t.
    target = torch.from_numpy((truth.keypoints3d[rows, :, :3] - truth.camera.t[rows, None]) @ truth.camera.R[rows])
    shown = frames - first
    with torch.no_grad():
        rotmat = axis_angle_to_matrix(torch.from_numpy(motion.poses[shown])).float()
        betas = torch.from_numpy(motion.betas).float().expand(len(shown), -1)
        transl = torch.from_numpy(motion.transl[shown]).float()
        pred = body(betas, rotmat, transl, return_vertices=False).joints.double()
    feet = [KEYPOINTS.index(name) for name in _FEET]
    figures = world_figures(
        pred[:, :24], target[:, :24], pred[:, feet], target[:, feet], motion.fps, torch.from_numpy(frames)
    )
    print(f"{len(rows)} frames")
    for name, value in figures.items():
        print(f"{name:18} {value:10.3f}")
    if arguments.json:
        with atomic_path(arguments.json) as temporary:
            temporary.write_text(json.dumps({"frames": len(rows), **figures}, indent=1) + "\n")
        print(f"Wrote {arguments.json}")


if __name__ == "__main__":
    run_tool(main)
