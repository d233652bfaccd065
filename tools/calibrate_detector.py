#!/usr/bin/env python
"""Measures the position of the pose detector's landmarks on the body and their accuracy, on generated videos.

Writes the file used in fitting (mviper/body/data/blazepose.json). Uses only training clips.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from mviper.config import run_tool
from mviper.errors import MissingDataError
from mviper.files import atomic_path

#: A landmark farther than this from its keypoint, offset included, is an outlier, not noise [m].
MISTAKE = 0.15
#: Landmarks to which the detector gives less visibility than this are left out.
VISIBLE = 0.5


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    from mviper.body import CALIBRATION

    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: python tools/generate.py configs/volume/painted.py --out data/painted --limit 120; "
        "python tools/calibrate_detector.py data/painted",
    )
    parser.add_argument("data", type=Path, help="generated data set, whose training videos are used")
    parser.add_argument(
        "--every", type=int, default=10, metavar="N", help="use every N-th frame of each video (default: 10)"
    )
    parser.add_argument("--out", type=Path, default=CALIBRATION, help="output file (default: the package's own)")
    return parser.parse_args()


def main() -> None:
    """Processes every frame, solves for the offsets and writes them."""
    arguments = parse_arguments()
    from mviper.body import SMPL, landmark_places
    from mviper.datasets import find_sequences
    from mviper.inference import PoseDetector, open_frames
    from mviper.models.fitting import Outline
    from mviper.structures import HumanData

    torch.set_num_threads(1)
    body, detector = SMPL(), PoseDetector(1, follow=False, masks=True)
    sequences = [
        each for each in find_sequences(arguments.data) if each.manifest["split"] == "train" and len(each.people) == 1
    ]
    if not sequences:
        raise MissingDataError(
            f"{arguments.data}: no sequences of training clips with one person; "
            "generate some with configs/volume/painted.py"
        )
    rows, groups, edges, images, track = [], [], [], 0, 0
    outline = Outline(body)
    for number, sequence in enumerate(sequences):
        for view in sequence.manifest["views"]:
            truth = HumanData.load(sequence.folder / f"{view}.npz")
            track += 1
            for frame in open_frames(sequence.folder / f"{view}.mp4"):
                if frame.number % arguments.every:
                    continue
                poses, images = detector(frame.image), images + 1
                if poses:
                    rows.append(observed(body, truth, frame.number, poses[0].points))
                    groups.append(track)
                    edges.append(edge_depths(outline, truth, frame.number, poses[0]))
        print(f"{number + 1} of {len(sequences)}: {sequence.folder.name}, {len(rows)} of {images} images", flush=True)
    if not rows:
        raise MissingDataError(f"{arguments.data}: the detector found nobody in {images} images; generate larger ones")
    off, by_offset, visibility = (np.stack(column) for column in zip(*rows))
    names = [name for name, _, _ in landmark_places()]
    unseen = [name for name, seen in zip(names, (visibility > VISIBLE).sum(0)) if not seen]
    if unseen:
        raise MissingDataError(
            f"{arguments.data}: in none of {len(rows)} images with a person is {', '.join(unseen)} visible; "
            "generate more images"
        )
    offsets, residuals, valid = solve(off, by_offset, visibility)
    noise, correlation = spread(residuals, valid, groups)
    depths = np.concatenate(edges)
    offset = float(np.median(depths))
    content = {
        "made_by": "tools/generate.py configs/volume/painted.py --limit 120; tools/calibrate_detector.py",
        "bodies": len(sequences),
        "images": len(rows),
        "correlation": round(correlation, 3),
        "outline": {"offset": round(offset, 4), "noise": round(float(1.4826 * np.median(np.abs(depths - offset))), 4)},
        "landmarks": {
            name: {"offset": [round(float(x), 4) for x in offset], "noise": round(float(sigma), 4)}
            for (name, _, _), offset, sigma in zip(landmark_places(), offsets, noise)
        },
    }
    with atomic_path(arguments.out) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    for name, each in content["landmarks"].items():
        print(
            f"{name:18} {np.round(1e3 * np.array(each['offset'])).astype(int)} mm, noise {1e3 * each['noise']:.0f} mm"
        )
    print(f"outline of the body inside the mask's edge: {content['outline']} m")
    print(f"{images - len(rows)} of {images} images without a person; correlation in a track {correlation:.2f}")
    print(f"Wrote {arguments.out}, which recovery reads")


def observed(body: object, truth: object, frame: int, landmarks: np.ndarray) -> tuple[np.ndarray, ...]:
    """One picture's equations: the landmarks' deviations from their keypoints, and the effect of offsets on the body.

    Returns:
        Differences [m at the point's depth] (K, 2), their derivatives with respect to the offsets (K, 2, 3), visibility
        (K,).
    """
    from mviper.body import FITTED, axis_angle_to_matrix, points_near

    smpl = {key: torch.as_tensor(values[frame : frame + 1], dtype=torch.float32) for key, values in truth.smpl.items()}
    pose = torch.cat([smpl["global_orient"][:, None], smpl["body_pose"]], 1)
    near = points_near(body)
    places, _, turned = near.linearized(smpl["betas"], axis_angle_to_matrix(pose), smpl["transl"])
    places, turned = places[0].numpy(), turned[0].numpy()
    focal, centre = truth.camera.K[0, 0], truth.camera.K[:2, 2]
    depth = places[:, 2:]
    off = (landmarks[FITTED, :2] - centre) * depth / focal - places[:, :2]
    by_offset = turned[:, :2] - places[:, :2, None] / depth[..., None] * turned[:, 2:]
    return off, by_offset, landmarks[FITTED, 2]


def edge_depths(outline: object, truth: object, frame: int, pose: object) -> np.ndarray:
    """Distance of points on the body's outline from the mask's edge, positive inside [m], (P,)."""
    from mviper.body import axis_angle_to_matrix
    from mviper.models.fitting import Masks, Projection

    smpl = {key: torch.as_tensor(values[frame : frame + 1], dtype=torch.float32) for key, values in truth.smpl.items()}
    rotmat = axis_angle_to_matrix(torch.cat([smpl["global_orient"][:, None], smpl["body_pose"]], 1))
    camera = truth.camera
    projection = Projection.of_picture(1, camera.width, camera.height, float(camera.K[0, 0]))
    masks = Masks.of_probabilities([frame], pose.mask[None] / 255.0, pose.square[None])
    points = outline.points.posed(smpl["betas"], rotmat, smpl["transl"])
    pixels = projection.project(points, smpl["transl"])
    edge, own = outline.on_edge(masks, projection, smpl["betas"], rotmat, smpl["transl"], pixels)
    depth, _, _ = masks.inside(pixels)
    return ((depth - own) / (projection.focal[:, None] / points[..., 2]))[edge].numpy()


def solve(off: np.ndarray, by_offset: np.ndarray, visibility: np.ndarray) -> tuple[np.ndarray, ...]:
    """Solves for the offsets, symmetric between both sides, by robust least squares (Cauchy weights).

    Args:
        off: Shape (N, K, 2).
        by_offset: Shape (N, K, 2, 3).
        visibility: Shape (N, K).

    Returns:
        Offsets [m] (K, 3); residuals (N, K, 2) [m]; which of them are inliers (N, K).
    """
    from mviper.body import landmark_places

    names = [name for name, _, _ in landmark_places()]
    swapped = {"left": "right", "right": "left"}
    other = [names.index("_".join(swapped.get(part, part) for part in name.split("_"))) for name in names]
    flip = np.array([-1.0, 1.0, 1.0])
    offsets, seen = np.zeros((len(names), 3)), visibility > VISIBLE
    for _ in range(20):
        left = off - np.einsum("nkij,kj->nki", by_offset, offsets)
        weight = seen / (1 + (left**2).sum(-1) / 0.03**2)
        matrix = np.einsum("nk,nkia,nkib->kab", weight, by_offset, by_offset)
        right = np.einsum("nk,nkia,nki->ka", weight, by_offset, off)
        # The counterpart's equations, mirrored: x changes sign.
        matrix = matrix + flip[:, None] * matrix[other] * flip
        right = right + flip * right[other]
        offsets = np.linalg.solve(matrix + 1e-3 * np.trace(matrix, axis1=1, axis2=2)[:, None, None] * np.eye(3),
                                  right[..., None])[..., 0]  # fmt: skip
    left = off - np.einsum("nkij,kj->nki", by_offset, offsets)
    return offsets, left, seen & (np.linalg.norm(left, axis=-1) < MISTAKE)


def spread(left: np.ndarray, valid: np.ndarray, groups: list[int]) -> tuple[np.ndarray, float]:
    """Each landmark's standard deviation along one axis [m] (K,), and the share of it common to a track."""
    weight = valid[..., None]
    noise = np.sqrt((weight * left**2).sum((0, 2)) / np.maximum(2 * valid.sum(0), 1))
    within, total = 0.0, 0.0
    keys = np.array(groups)
    for key in np.unique(keys):
        chosen, count = left[keys == key], valid[keys == key].sum(0)
        several = count > 1
        mean = (weight[keys == key] * chosen).sum(0) / np.maximum(count, 1)[:, None]
        square = (weight[keys == key] * (chosen - mean) ** 2).sum(0) * (count / np.maximum(count - 1, 1))[:, None]
        within += float((square / noise[:, None] ** 2)[several].sum())
        total += float(((weight[keys == key] * chosen**2).sum(0) / noise[:, None] ** 2)[several].sum())
    return noise, float(np.clip(1 - within / max(total, 1e-9), 0, 1))


if __name__ == "__main__":
    run_tool(main)
