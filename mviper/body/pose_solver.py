"""Damped Gauss-Newton steps on body poses for all frames of a batch at once, independent or coupled by acceleration.

A frame has 75 unknowns: 24 joint rotations w, ``R <- exp([w]) R`` relative to the parent, then the translation. MoSh
and SMPLify both use it, with the exact derivatives of :mod:`mviper.body.attached_points`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mviper.body.attached_points import turn_derivatives
from mviper.body.pose_prior import PosePrior
from mviper.body.rotations import axis_angle_to_matrix, project_to_rotation


class Smoothness:
    """Penalises accelerations of joint rotations (as matrices, free of ambiguity) and root, as second differences.

    The Frobenius norm of a small rotation's matrix is sqrt(2) times its angle, hence the factor of a half.

    Args:
        fps: Frames per second.
        turn_acceleration: Standard deviation of the joints' angular acceleration [rad/s^2].
        acceleration: Standard deviation of the root's acceleration [m/s^2].
        past: Rotations (K, 24, 3, 3) and translations (K, 3) of up to two preceding frames, held fixed.
    """

    def __init__(self, fps: float, turn_acceleration: float, acceleration: float, past: tuple[Tensor, Tensor]) -> None:
        self.past = past
        self.turn = (fps**2 / turn_acceleration) ** 2
        self.shift = (fps**2 / acceleration) ** 2
        self.known = len(past[0])

    def precision(self, like: Tensor) -> Tensor:
        """Precision of a frame's 75 unknowns, (75,)."""
        return torch.cat([like.new_full((72,), self.turn), like.new_full((3,), self.shift)])

    def _differences(self, pose: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        rotmat, transl = (torch.cat(parts) for parts in zip(self.past, pose))
        return second_difference(rotmat), second_difference(transl)

    def energy(self, pose: tuple[Tensor, Tensor]) -> Tensor:
        """Energy (N,), assigned to the last of each three frames."""
        turn, shift = self._differences(pose)
        value = 0.25 * self.turn * turn.square().sum((1, 2, 3)) + 0.5 * self.shift * shift.square().sum(1)
        return torch.cat([value.new_zeros(len(pose[0]) - len(value)), value])

    def gradient(self, pose: tuple[Tensor, Tensor]) -> Tensor:
        """Gradient with respect to the unknowns, (N, 75)."""
        turn, shift = self._differences(pose)
        by_matrix = 0.5 * self.turn * spread_difference(turn)[self.known :]
        by_turn = (turn_derivatives(pose[0]) * by_matrix[:, :, None]).sum((-2, -1))
        return torch.cat([by_turn.flatten(1), self.shift * spread_difference(shift)[self.known :]], 1)

    def curvature(self, step: Tensor) -> Tensor:
        """The Gauss-Newton matrix times unknowns (N, 75), for small rotations between frames."""
        padded = torch.cat([step.new_zeros(self.known, step.shape[1]), step])
        return (spread_difference(second_difference(padded)) * self.precision(step))[self.known :]

    def diagonal(self, like: Tensor) -> Tensor:
        """Diagonal of the Gauss-Newton matrix, (N, 75)."""
        frames = len(like) + self.known
        inner = torch.zeros(frames, device=like.device, dtype=like.dtype)
        inner[2:] += 1
        inner[1:-1] += 4
        inner[:-2] += 1
        return inner[self.known :, None] * self.precision(like)


def second_difference(values: Tensor) -> Tensor:
    """Second differences along the first dimension: (N, ...) -> (max(N - 2, 0), ...)."""
    if len(values) < 3:
        return values[:0]
    return values[2:] - 2 * values[1:-1] + values[:-2]


def spread_difference(differences: Tensor) -> Tensor:
    """The transpose of :func:`second_difference`: (N, ...) -> (N + 2, ...)."""
    result = differences.new_zeros(len(differences) + 2, *differences.shape[1:])
    result[2:] += differences
    result[1:-1] -= 2 * differences
    result[:-2] += differences
    return result


def damped_factor(hessian: Tensor, damping: Tensor) -> Tensor:
    """Cholesky factors of matrices (N, 75, 75), their diagonals raised in proportion and by a small constant."""
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    raised = damping[:, None] * diagonal + 1e-6 * diagonal.amax(1, keepdim=True)
    return torch.linalg.cholesky(hessian + torch.diag_embed(raised))


def newton_step(hessian: Tensor, gradient: Tensor, damping: Tensor, smooth: Smoothness | None) -> Tensor:
    """The Gauss-Newton step (N, 75): exact frame by frame, or by conjugate gradients if frames are coupled.

    The diagonal blocks serve as preconditioner. Steps need not be exact, so a few dozen iterations suffice.
    """
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    raised = damping[:, None] * diagonal + 1e-6 * diagonal.amax(1, keepdim=True)
    damped = hessian + torch.diag_embed(raised)
    if smooth is None:
        factor = torch.linalg.cholesky(damped)
        return -torch.cholesky_solve(gradient[..., None], factor).squeeze(-1)
    blocks = torch.linalg.cholesky(damped + torch.diag_embed(smooth.diagonal(gradient)))
    inverse = torch.cholesky_inverse(blocks)
    step = torch.zeros_like(gradient)
    residual = -gradient
    ahead = (inverse @ residual[..., None]).squeeze(-1)
    direction, energy = ahead, (residual * ahead).sum()
    target = 1e-4 * energy
    for _ in range(60):
        image = (damped @ direction[..., None]).squeeze(-1) + smooth.curvature(direction)
        length = energy / (direction * image).sum().clamp_min(1e-30)
        step = step + length * direction
        residual = residual - length * image
        ahead = (inverse @ residual[..., None]).squeeze(-1)
        before, energy = energy, (residual * ahead).sum()
        if energy < target:
            break
        direction = ahead + energy / before * direction
    return step


#: Initial damping, its bounds, and the damping beyond which a step without gain is the last.
_DAMPING, _LEAST, _MOST, _STUCK = 1e-3, 1e-6, 1e3, 10.0

#: The unknowns of N problems, (N, ...) each.
SolverState = tuple[Tensor, ...]


def minimize(
    state: SolverState,
    linearized: Callable[[SolverState, Tensor], tuple[Tensor, ...]],
    moved: Callable[[SolverState, tuple[Tensor, ...], Tensor], SolverState],
    steps: int,
    *,
    together: bool = False,
    linked: bool = False,
    tolerance: float = 1e-3,
) -> SolverState:
    """The Levenberg-Marquardt method on N problems in parallel.

    A step that lowers a problem's energy is accepted and the damping reduced; any other is rejected and the damping
    increased.

    Args:
        state: Where to start.
        linearized: Called with a state and the indices of its problems, shape (n,); returns their energy (n,) and
            whatever else their steps need, (n, ...) each.
        moved: The state after a step, from the result of ``linearized`` and the damping (n,).
        steps: Maximum number of steps.
        together: Problems stop together, by the sum of their energies, rather than one by one.
        linked: They form one problem: all accept a step or none does, and all stop together.
        tolerance: Stop when a step gains less than this fraction of the energy.

    Returns:
        The state with the least energy found.
    """
    state = tuple(values.clone() for values in state)
    which = torch.arange(len(state[0]), device=state[0].device)
    damping = state[0].new_full((len(which),), _DAMPING)
    energy, *system = linearized(state, which)
    for _ in range(steps):
        trial = moved(tuple(values[which] for values in state), tuple(system), damping)
        new, *new_system = linearized(trial, which)
        better = (new.sum() < energy.sum()).expand_as(new) if linked else new < energy
        gain = torch.where(better, energy - new, torch.zeros_like(new))
        if linked or together:
            last = gain.sum() < tolerance * energy.sum().abs() if better.any() else damping.min() > _STUCK
            done = last.expand_as(better)
        else:
            done = torch.where(better, gain < tolerance * energy.abs(), damping > _STUCK)
        for values, tried in zip(state, trial):
            values[which[better]] = tried[better]
        damping = torch.where(better, damping * 0.3, damping * 10).clamp(_LEAST, _MOST)
        if done.all():
            break
        energy, *system = (
            torch.where(better.view(-1, *[1] * (old.ndim - 1)), tried, old)
            for tried, old in zip((new, *new_system), (energy, *system))
        )
        if done.any():
            which, damping, energy, *system = (values[~done] for values in (which, damping, energy, *system))
    return state


#: Largest rotation of a joint in one step [rad].
MAX_TURN = 1.0


def take_step(pose: tuple[Tensor, Tensor], step: Tensor) -> tuple[Tensor, Tensor]:
    """A pose after a step (N, 75), shortened if a joint would rotate too far for the linearization to hold."""
    turns = step[:, :72].unflatten(1, (24, 3))
    longest = turns.norm(dim=-1).amax(1, keepdim=True)
    step = step * (MAX_TURN / longest.clamp_min(MAX_TURN))
    turns = step[:, :72].unflatten(1, (24, 3))
    return axis_angle_to_matrix(turns) @ pose[0], pose[1] + step[:, 72:]


def add_pose_prior(prior: PosePrior, weight: float, rotmat: Tensor, hessian: Tensor, gradient: Tensor) -> Tensor:
    """Adds the pose prior to a Gauss-Newton system in place.

    Args:
        prior: The prior.
        weight: Weight of its negative log-likelihood.
        rotmat: Shape (N, 24, 3, 3).
        hessian: Shape (N, D, D); the first 72 unknowns are the joints' rotations.
        gradient: Shape (N, D).

    Returns:
        Its energy times the weight, (N,).
    """
    value, by_feature, curvature = prior.quadratic(rotmat)
    turns = turn_derivatives(rotmat[:, 1:])[..., :2].flatten(-2)  # (N, 23, 3 w, 6)
    gradient[:, 3:72] += weight * (turns @ by_feature.unflatten(1, (23, 6))[..., None]).squeeze(-1).flatten(1)
    half = (turns @ curvature.unflatten(1, (23, 6))).flatten(1, 2)  # (N, 69, 138)
    full = turns @ half.transpose(1, 2).unflatten(1, (23, 6))  # (N, 23, 3, 69)
    hessian[:, 3:72, 3:72] += weight * full.flatten(1, 2)
    return weight * value


def bridged(seen: Tensor, pose: tuple[Tensor, Tensor], past: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Interpolates the poses of frames without observations between the nearest known frames.

    Args:
        seen: Which frames are known, shape (N,) bool.
        pose: Rotations (N, 24, 3, 3) and translations (N, 3).
        past: The same for preceding frames, all known.

    Returns:
        The poses; unchanged if no frame is known, or all are.
    """
    known = len(past[0])
    seen = torch.cat([seen.new_ones(known), seen])
    rotmat, transl = (torch.cat(parts) for parts in zip(past, pose))
    good, blind = torch.nonzero(seen).flatten(), torch.nonzero(~seen).flatten()
    if len(blind) == 0 or len(good) == 0:
        return pose
    after = torch.searchsorted(good, blind)
    first, last = good[(after - 1).clamp_min(0)], good[after.clamp_max(len(good) - 1)]
    first, last = torch.where(after == 0, last, first), torch.where(after == len(good), first, last)
    share = ((blind - first) / (last - first).clamp_min(1)).to(transl)
    rotmat[blind] = project_to_rotation(torch.lerp(rotmat[first], rotmat[last], share[:, None, None, None]))
    transl[blind] = torch.lerp(transl[first], transl[last], share[:, None])
    return rotmat[known:], transl[known:]
