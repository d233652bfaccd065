"""Fits the statistics of ``mviper.body.pose_prior`` to poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from mviper.files import save_npz
from mviper.structures import SMPL_JOINTS, mirror_indices

#: Minimum standard deviation in any direction: clips are few, and rotations lie on a curved surface.
FLOOR = 0.06

#: A component's covariance is shrunk towards the mean one as if it had seen this many more frames of it.
SHRINKAGE = 150.0


def mirrored(rotmat: np.ndarray) -> np.ndarray:
    """Poses with left and right exchanged: (N, 24, 3, 3) -> (N, 24, 3, 3)."""
    flip = np.array([-1.0, 1.0, 1.0])
    return (flip[:, None] * rotmat * flip)[:, mirror_indices(SMPL_JOINTS)]


def fit_mixture(
    features: np.ndarray, frame_weights: np.ndarray, components: int, seed: int, iterations: int = 60
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fits a mixture of Gaussians with shrunk covariances by expectation maximisation.

    Args:
        features: (N, D).
        frame_weights: Weight of each frame, shape (N,); their sum is the effective number of frames.
        components: K.
        seed: For the first means (k-means++'s draw).
        iterations: Number of EM steps.

    Returns:
        Weights (K,), means (K, D), covariances (K, D, D).
    """
    rng = np.random.default_rng(seed)
    count, size = features.shape
    chosen = [rng.choice(count, p=frame_weights / frame_weights.sum())]
    for _ in range(components - 1):
        distance = np.min([((features - features[k]) ** 2).sum(1) for k in chosen], axis=0) * frame_weights
        chosen.append(rng.choice(count, p=distance / distance.sum()))
    means = features[chosen].copy()
    nearest = np.argmin([((features - mean) ** 2).sum(1) for mean in means], axis=0)
    share = np.eye(components)[nearest]
    for _ in range(iterations):
        share = share * frame_weights[:, None]
        total = share.sum(0)
        means = share.T @ features / total[:, None]
        scatter = np.empty((components, size, size))
        for k in range(components):
            centred = features - means[k]
            scatter[k] = (share[:, k, None] * centred).T @ centred
        pooled = scatter.sum(0) / total.sum()
        covariances = (scatter + SHRINKAGE * pooled) / (total + SHRINKAGE)[:, None, None] + FLOOR**2 * np.eye(size)
        weights = total / total.sum()
        log_likelihood = log_likelihoods(features, weights, means, covariances)
        share = np.exp(log_likelihood - logsumexp(log_likelihood, axis=1, keepdims=True))
    return weights, means, covariances


def log_likelihoods(
    features: np.ndarray, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> np.ndarray:
    """Log of weight times density, for each frame and component: (N, K)."""
    result = np.empty((len(features), len(weights)))
    for k, factor in enumerate(np.linalg.cholesky(covariances)):
        whitened = np.linalg.solve(factor, (features - means[k]).T)
        normaliser = np.log(np.diagonal(factor)).sum() + 0.5 * len(factor) * np.log(2 * np.pi)
        result[:, k] = np.log(weights[k]) - normaliser - 0.5 * (whitened**2).sum(0)
    return result


def joint_ranges(turns: np.ndarray, outside: float = 0.1, margin: float = np.radians(8)) -> tuple[np.ndarray, ...]:
    """Range of each joint's rotation vector.

    Args:
        turns: (N, 23, 3) [rad].
        outside: Percentage of frames beyond each end that is attributed to bad capture [%].
        margin: Added at both ends, as the clips do not show the full range of the joints [rad].

    Returns:
        Lower and upper end, (23, 3) each [rad].
    """
    return np.percentile(turns, outside, axis=0) - margin, np.percentile(turns, 100 - outside, axis=0) + margin


def write_prior(
    path: Path, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, ranges: tuple[np.ndarray, ...]
) -> None:
    """Writes the file that :class:`mviper.body.pose_prior.PosePrior` reads."""
    factors = np.linalg.cholesky(np.linalg.inv(covariances))
    rows, columns = np.tril_indices(means.shape[1])
    save_npz(
        path, weights=weights, means=means.astype(np.float32), lower=ranges[0].astype(np.float32),
        upper=ranges[1].astype(np.float32), factors=factors[:, rows, columns].astype(np.float32),
    )  # fmt: skip
