"""Simulates the markers of a known body, and measures how well MoSh recovers it.

The simulation shares only the markers' names with the fit: markers are attached to single vertices of the full mesh
near their textbook places, offset along the posed mesh's normals, with jitter, gaps, and a swapped pair of labels.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mviper.body import SMPL, axis_angle_to_matrix, geodesic_angle
from mviper.motion import MARKER_HEIGHT, STANDARD_MARKERS, Mosh, MoshFit, MoshSettings, place_markers
from mviper.motion.sources import DeepMimicMotion
from mviper.structures import Motion


@dataclass(frozen=True)
class SimulatedMarkers:
    """A simulated capture.

    Attributes:
        names: The markers' names.
        points: [m], world axes, shape (T, P, 3); NaN where missing.
        swapped: The two markers whose labels are swapped, in half of the frames or in all, or None.
    """

    names: tuple[str, ...]
    points: np.ndarray
    swapped: tuple[str, str] | None


def simulate_markers(
    body: SMPL,
    motion: Motion,
    seed: int,
    names: tuple[str, ...] = STANDARD_MARKERS,
    noise: float = 0.005,
    missing: float = 0.1,
    swap: bool = True,
    placement: float = 0.01,
) -> SimulatedMarkers:
    """Simulates markers on a body in motion.

    Args:
        body: The body.
        motion: Its motion, with its betas.
        seed: For everything random.
        names: The markers.
        noise: Standard deviation of each coordinate [m].
        missing: Fraction of missing points, half of them single, half in gaps of 0.1 to 0.5 s.
        swap: Whether the labels of two markers are swapped, in the whole clip or from some frame on.
        placement: Standard deviation of a marker's placement along each axis [m].
    """
    rng = np.random.default_rng(seed)
    layout = place_markers(body, names)
    places = (layout.points.rest.cpu().numpy() + rng.normal(0, placement, (len(names), 3)))[:, None]
    template = body.template.cpu().numpy()
    own = layout.points.weights.argmax(1).cpu().numpy()
    elsewhere = body.weights[:, own].T < 0.3  # a marker stays on its part of the body
    stuck = (np.linalg.norm(places - template, axis=-1) + np.where(elsewhere, 1.0, 0.0)).argmin(1)
    vertices = body_vertices(body, motion, stuck)
    height = MARKER_HEIGHT + rng.normal(0, 0.001, len(names))
    points = vertices[0] + height[:, None] * vertices[1]
    points = points + rng.normal(0, noise, points.shape)

    frames, count = points.shape[:2]
    gone = rng.random((frames, count)) < missing / 2
    target = gone.sum() + missing / 2 * frames * count
    while gone.sum() < target:
        length = int(rng.uniform(0.1, 0.5) * motion.fps) + 1
        begin, which = rng.integers(-length + 1, frames), rng.integers(count)
        gone[max(begin, 0) : begin + length, which] = True
    points[gone] = np.nan
    swapped = None
    if swap:
        first, second = rng.choice(count, 2, replace=False)
        begin = rng.integers(0, 2) * rng.integers(0, max(frames // 2, 1))
        points[begin:, [first, second]] = points[begin:, [second, first]]
        swapped = names[first], names[second]
    return SimulatedMarkers(tuple(names), points, swapped)


@torch.no_grad()
def body_vertices(body: SMPL, motion: Motion, chosen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Chosen vertices of the full mesh over time, and their normals, (T, C, 3) each, world axes [m]."""
    chosen = np.arange(body.num_vertices) if chosen is None else chosen
    faces = torch.as_tensor(body.faces)
    used = torch.nonzero(torch.isin(faces, torch.as_tensor(chosen)).any(1)).flatten()
    positions, normals = [], []
    for rotmat, transl in zip(*(part.split(64) for part in _pose_of(body, motion))):
        betas = torch.as_tensor(motion.betas, dtype=torch.float32).expand(len(rotmat), -1)
        vertices = body(betas.to(rotmat), rotmat, transl).vertices
        corners = vertices[:, faces[used]]
        across = torch.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0], dim=-1)
        normal = torch.zeros_like(vertices)
        for corner in range(3):
            normal.index_add_(1, faces[used, corner].to(vertices.device), across)
        positions.append(vertices[:, chosen].double().cpu().numpy())
        normals.append(torch.nn.functional.normalize(normal[:, chosen], dim=-1).double().cpu().numpy())
    return np.concatenate(positions), np.concatenate(normals)


def _pose_of(body: SMPL, motion: Motion) -> tuple[Tensor, Tensor]:
    rotmat = axis_angle_to_matrix(torch.as_tensor(motion.poses)).to(body.template)
    return rotmat, torch.as_tensor(motion.transl).to(body.template)


@torch.no_grad()
def fit_errors(body: SMPL, motion: Motion, fit: MoshFit) -> dict[str, float]:
    """Errors of a fit against the true motion, in the capture's axes, without alignment.

    Returns:
        ``joints_mm``, ``vertices_mm`` (mean distances), ``rotation_deg`` (mean angle of the 24 joints' rotations
        relative to the parent), ``global_rotation_deg`` (of the global ones), ``height_cm`` (of the T-pose).
    """
    rotmat, transl = _pose_of(body, motion)
    betas = torch.as_tensor(motion.betas).to(rotmat)
    joints, vertices, turned = [], [], []
    for start in range(0, len(rotmat), 64):
        part = slice(start, start + 64)
        count = len(rotmat[part])
        true = body(betas.expand(count, -1), rotmat[part], transl[part])
        found = body(fit.calibration.betas.expand(count, -1), fit.rotmat[part], fit.transl[part])
        joints.append((true.joints[:, :24] - found.joints[:, :24]).norm(dim=-1))
        vertices.append((true.vertices - found.vertices).norm(dim=-1).mean(1))
        turned.append(geodesic_angle(_turned(body, rotmat[part]), _turned(body, fit.rotmat[part])))
    heights = [
        float(np.ptp(body.rest_vertices(shape[None])[0, :, 1].cpu().numpy()))
        for shape in (betas, fit.calibration.betas)
    ]
    return {
        "joints_mm": 1e3 * float(torch.cat(joints).mean()),
        "vertices_mm": 1e3 * float(torch.cat(vertices).mean()),
        "rotation_deg": float(torch.rad2deg(geodesic_angle(rotmat, fit.rotmat)).mean()),
        "global_rotation_deg": float(torch.rad2deg(torch.cat(turned)).mean()),
        "height_cm": 1e2 * abs(heights[0] - heights[1]),
    }


def _turned(body: SMPL, rotmat: Tensor) -> Tensor:
    turned = [rotmat[:, 0]]
    for joint in range(1, 24):
        turned.append(turned[int(body.layer.parents[joint])] @ rotmat[:, joint])
    return torch.stack(turned, 1)


def simulate_and_fit(
    body: SMPL, motion: Motion, seed: int, settings: MoshSettings | None = None, **simulation: object
) -> dict[str, float]:
    """Simulates markers on a moving body and fits them.

    Args:
        body: The body.
        motion: Its motion, with its betas.
        seed: Of the simulation.
        settings: MoSh's settings.
        **simulation: For :func:`simulate_markers`.

    Returns:
        :func:`fit_errors`, and ``frames_per_cpu_s`` of both stages together on one thread (placing the
        markers and loading the prior included).
    """
    capture = simulate_markers(body, motion, seed, **simulation)
    observed = torch.as_tensor(capture.points, dtype=torch.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would waste CPU time waiting for each other
    try:
        start = time.process_time()
        fit = Mosh(body, capture.names, settings=settings).fit(observed, motion.fps)
        spent = time.process_time() - start
    finally:
        torch.set_num_threads(threads)
    return {**fit_errors(body, motion, fit), "frames_per_cpu_s": len(motion) / spent}


def mosh_figures(
    seed: int = 0, clips: tuple[str, ...] = ("dance_b", "spinkick"), frames: int = 240
) -> dict[str, float]:
    """MoSh's figures for ``tools/benchmark.py motion``: clips held out from the pose prior, random people.

    Args:
        seed: Of the people's shapes and the markers.
        clips: DeepMimic's, from the pybullet wheel; sampled at 120 Hz.
        frames: Maximum number of frames of each.

    Returns:
        Means of :func:`simulate_and_fit` over the clips, with names that begin with ``mosh_``; frames per CPU second
        are over all clips together.
    """
    rng = np.random.default_rng(seed)
    body = SMPL()
    source = DeepMimicMotion(names=clips, fps=120)
    figures = []
    for clip in source.clips():
        motion = source.load_for_body(clip, body, rng.normal(size=body.num_betas).clip(-2, 2))[:frames]
        figures.append(simulate_and_fit(body, motion, seed))
        figures[-1]["seconds_per_frame"] = 1 / figures[-1].pop("frames_per_cpu_s")
    mean = {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}
    mean["frames_per_cpu_s"] = 1 / mean.pop("seconds_per_frame")
    return {f"mosh_{name}": value for name, value in mean.items()}
