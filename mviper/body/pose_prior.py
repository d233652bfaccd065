"""How likely a body pose is: a mixture of Gaussians over joint rotations, and the range of each joint.

The statistics ship with the package (``data/pose_prior.npz``); ``tools/build_pose_prior.py`` makes them from motion
capture. A joint's rotation enters by the first two columns of its matrix, six numbers without the ambiguities of
axis-angle, so a pose is a vector of 23 x 6 numbers; the root is excluded.

As with SMPLify's prior (Bogo et al., "Keep it SMPL", ECCV 2016) the energy is a negative log-likelihood; unlike there,
it is that of the whole mixture, not of the nearest component, and therefore smooth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mviper.body.rotations import matrix_to_axis_angle
from mviper.errors import FileFormatError
from mviper.files import load_npz

#: The statistics that ship with the package.
POSE_PRIOR = Path(__file__).parent / "data" / "pose_prior.npz"

#: Numbers in a pose: 23 joints, six each.
POSE_FEATURES = 23 * 6


def pose_features(rotmat: Tensor) -> Tensor:
    """The prior's feature vector: the first two columns of every joint's rotation except the root's.

    Args:
        rotmat: Rotations relative to the parent, root first, shape (..., 24, 3, 3).

    Returns:
        Shape (..., 138): joint by joint, row by row of its 3 x 2 matrix.
    """
    return rotmat[..., 1:, :, :2].flatten(-3)


class PosePrior(nn.Module):
    """The prior on any device and in any dtype (``prior.to(...)``); everything is differentiable.

    Args:
        path: A file that ``tools/build_pose_prior.py`` wrote; None for the one that ships with the package.

    Attributes:
        means: (K, 138) buffer.
        factors: (K, 138, 138) buffer, lower triangles L of the precisions L L^T.
        log_weights: (K,) buffer, log of weight times root of the precision's determinant; the largest is 0.
        lower, upper: (23, 3) buffers, range of each joint's rotation vector [rad].

    Raises:
        FileFormatError: The file is not a pose prior.
    """

    means: Tensor
    factors: Tensor
    log_weights: Tensor
    lower: Tensor
    upper: Tensor

    def __init__(self, path: str | Path | None = None) -> None:
        super().__init__()
        path = Path(path) if path is not None else POSE_PRIOR
        arrays = load_npz(path)
        try:
            means = np.asarray(arrays["means"], np.float32).reshape(-1, POSE_FEATURES)
            factors = np.zeros((len(means), POSE_FEATURES, POSE_FEATURES), np.float32)
            factors[:, *np.tril_indices(POSE_FEATURES)] = np.asarray(arrays["factors"], np.float32)
            weights = np.asarray(arrays["weights"], np.float64).reshape(len(means))
            lower, upper = (np.asarray(arrays[key], np.float32).reshape(23, 3) for key in ("lower", "upper"))
        except (KeyError, ValueError, TypeError) as error:
            raise FileFormatError(path, f"not a pose prior of tools/build_pose_prior.py: {error}") from error
        log_weights = np.log(weights) + np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1)
        buffers = {
            "means": means, "factors": factors, "log_weights": log_weights - log_weights.max(), "lower": lower,
            "upper": upper,
        }  # fmt: skip
        for name, value in buffers.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32), persistent=False)

    def energy(self, rotmat: Tensor) -> Tensor:
        """Negative log-likelihood of poses, up to a constant; at least 0 unless components overlap strongly.

        Args:
            rotmat: Rotations relative to the parent, root first (ignored), shape (..., 24, 3, 3).

        Returns:
            Shape (...).
        """
        return -torch.logsumexp(self._log_likelihoods(pose_features(rotmat))[0], -1)

    def _log_likelihoods(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Log-likelihoods by component (..., K), and the whitened differences from their means (..., K, 138)."""
        whitened = torch.einsum("...kd,kde->...ke", features[..., None, :] - self.means, self.factors)
        return self.log_weights - 0.5 * whitened.square().sum(-1), whitened

    def quadratic(self, rotmat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The energy with its gradient and curvature, for a Gauss-Newton step.

        Args:
            rotmat: Shape (N, 24, 3, 3).

        Returns:
            Energy (N,), its gradient with respect to :func:`pose_features` (N, 138), and a positive definite curvature
            (N, 138, 138): the components' precisions, weighted by the posterior probability of each.
        """
        log_likelihoods, whitened = self._log_likelihoods(pose_features(rotmat))
        share = log_likelihoods.softmax(-1)
        gradient = torch.einsum("nke,kde->nd", share[..., None] * whitened, self.factors)
        precisions = (self.factors @ self.factors.transpose(1, 2)).flatten(1)
        curvature = (share @ precisions).unflatten(1, (POSE_FEATURES, POSE_FEATURES))
        return -torch.logsumexp(log_likelihoods, -1), gradient, curvature

    def limit_energy(self, rotmat: Tensor) -> Tensor:
        """How far joints exceed the range seen in motion capture: summed squared excess of their rotation vectors.

        Args:
            rotmat: Shape (..., 24, 3, 3).

        Returns:
            [rad^2], shape (...).
        """
        turns = matrix_to_axis_angle(rotmat[..., 1:, :, :])
        return ((turns - self.upper).relu().square() + (self.lower - turns).relu().square()).sum((-2, -1))
