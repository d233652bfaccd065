"""Repairs cloth after the simulation: pushes out vertices slightly inside the body."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mviper.synthesis.simulation.meshes import edges_of


def project_outside(
    cloth: np.ndarray,
    faces: np.ndarray,
    measure: Callable[[int, np.ndarray], tuple[np.ndarray, np.ndarray]],
    margin: float = 0.003,
    rounds: int = 3,
) -> np.ndarray:
    """Pushes cloth inside the body, or behind an inner garment, to just outside it.

    Such vertices move to ``margin`` along the normal; the push is spread over their neighbours to avoid spikes.

    Args:
        cloth: Vertices over time [m], shape (T, V, 3).
        faces: Shape (F, 3).
        measure: Gives for a frame and points (N, 3) the signed distance (N,) [m] and the normal (N, 3), as the probes'
            ``distance`` does (``probes.py``).
        margin: Distance to keep [m].
        rounds: Maximum number of pushes per frame.

    Returns:
        Shape (T, V, 3).
    """
    edges = edges_of(faces)
    degree = np.bincount(edges.ravel(), minlength=cloth.shape[1]).clip(1)[:, None]
    out = np.array(cloth, float)
    for frame in range(len(out)):
        for step in range(rounds):
            distance, normal = measure(frame, out[frame])
            if step and distance.min() >= 0.0005:
                break
            bad = distance < margin
            if not bad.any():
                break
            own = np.zeros_like(out[frame])
            own[bad] = normal[bad] * (margin - distance[bad])[:, None]
            push = own
            for _ in range(3):
                sums = np.zeros_like(push)
                np.add.at(sums, edges[:, 0], push[edges[:, 1]])
                np.add.at(sums, edges[:, 1], push[edges[:, 0]])
                push = 0.5 * push + 0.5 * sums / degree
                push[bad] = own[bad]
            out[frame] += push
    return out
