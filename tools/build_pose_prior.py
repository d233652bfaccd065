#!/usr/bin/env python3
"""Builds the pose prior of ``mviper/body/data/pose_prior.npz`` from motion capture.

Poses come from DeepMimic's clips in the pybullet wheel (zlib licence) and from the given folders of CMU's motions,
ASF/AMC or BVH (free to copy, modify and redistribute), each with its mirror image. Clips held out (``--hold-out``) are
excluded; the table shows how well they are predicted, for several numbers of components.
"""

from __future__ import annotations

import argparse
import fnmatch
from pathlib import Path

import numpy as np
import torch
from open_body.pose_statistics import fit_mixture, joint_ranges, log_likelihoods, mirrored, write_prior
from scipy.special import logsumexp

from mviper.body import POSE_PRIOR, SMPL, axis_angle_to_matrix, matrix_to_axis_angle, pose_features
from mviper.config import run_tool
from mviper.errors import FileFormatError
from mviper.motion import BVHMotion, CMUMotion, DeepMimicMotion, resample


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cmu", type=Path, nargs="*", default=[], help="folders with CMU's .asf and .amc files")
    parser.add_argument("--bvh", type=Path, nargs="*", default=[], help="folders with CMU's motions as .bvh files")
    parser.add_argument("--hold-out", nargs="*", default=[], metavar="PATTERN", help="clips to exclude")
    parser.add_argument("--components", type=int, default=2, help="Gaussians in the mixture (default: 2)")
    parser.add_argument("--fps", type=float, default=20.0, help="frames per second taken from a clip (default: 20)")
    parser.add_argument("--out", type=Path, default=POSE_PRIOR, help="file to write (default: the package's own)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    body = SMPL()
    kept, weights, held_out = [], [], {}
    for source in [DeepMimicMotion(), *map(CMUMotion, arguments.cmu), *map(BVHMotion, arguments.bvh)]:
        for clip in source.clips():
            try:
                motion = resample(source.load_for_body(clip, body, np.zeros(body.num_betas)), arguments.fps)
            except FileFormatError as error:
                print(f"left out: {error}")
                continue
            rotmat = axis_angle_to_matrix(torch.from_numpy(motion.poses)).numpy()
            if any(fnmatch.fnmatchcase(clip.name, pattern) for pattern in arguments.hold_out):
                held_out[clip.name] = rotmat
            else:
                kept += [rotmat, mirrored(rotmat)]
                # The information in a clip grows more slowly than its number of frames.
                weights += [np.full(len(rotmat), 0.5 * min(1.0, np.sqrt(60 / len(rotmat))))] * 2
            print(f"{clip.name}: {len(motion)} frames{', held out' if clip.name in held_out else ''}", flush=True)
    rotmat, frame_weights = np.concatenate(kept), np.concatenate(weights)

    def features(poses: np.ndarray) -> np.ndarray:
        return pose_features(torch.from_numpy(poses)).numpy()

    print(f"{len(rotmat)} poses with their mirror images")
    print("| components | fitted to | " + " | ".join(held_out) + " |\n|---|---|" + "---|" * len(held_out))
    for components in sorted({1, 2, 4, 8, arguments.components}):
        mixture = fit_mixture(features(rotmat), frame_weights, components, arguments.seed)
        rows = [rotmat, *held_out.values()]
        fits = [-logsumexp(log_likelihoods(features(poses), *mixture), axis=1).mean() for poses in rows]
        print(f"| {components} | " + " | ".join(f"{fit:.1f}" for fit in fits) + " |", flush=True)
        if components == arguments.components:
            chosen = mixture
    turns = matrix_to_axis_angle(torch.from_numpy(rotmat[:, 1:])).numpy()
    write_prior(arguments.out, *chosen, joint_ranges(turns))
    print(f"Wrote {arguments.out} ({arguments.out.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    run_tool(main)
