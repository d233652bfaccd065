"""MoSh: from labelled markers (or joint centres) to body shape, pose and marker placement.

After Loper et al., "MoSh: Motion and Shape Capture from Sparse Markers" (SIGGRAPH Asia 2014) and Mahmood et al.,
"AMASS" (ICCV 2019): stage I finds one shape and one offset per marker, together with the poses, over a few frames;
stage II finds the poses of the whole sequence. Both maximise a posterior whose terms are Gaussians of stated width:
marker noise (with a Geman-McClure loss, which discounts outliers), marker placement, betas ~ N(0, 1), the pose prior,
and accelerations. Both take damped Gauss-Newton steps on exact derivatives (``mviper.body.attached_points``), for all
frames of a batch at once; frames are coupled only by the accelerations, which conjugate gradients handle.

Markers with swapped labels are detected when each of two lies at the other's predicted place, and are relabelled.

All computation uses torch on the body's device. Observed points are (T, P, 3) in metres, NaN where a marker is missing,
in any axes (those of the capture volume), to which root rotation and translation refer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from mviper.body import (
    SMPL,
    PosePrior,
    Smoothness,
    SolverState,
    add_pose_prior,
    bridged,
    damped_factor,
    minimize,
    newton_step,
    project_to_rotation,
    rotation_6d_to_matrix,
    take_step,
)
from mviper.errors import MviperError
from mviper.motion.markers import MarkerLayout, place_markers
from mviper.structures import SMPL_JOINTS


class MarkerError(MviperError):
    """Markers that no body fits: too few, not finite, or at impossible places."""


@dataclass(frozen=True)
class MoshSettings:
    """Weights of the different kinds of evidence.

    Attributes:
        marker_noise: Standard deviation of a marker about its place on the moving body [m], including skin motion.
        outlier: Distance at which a marker's influence starts to fade [m].
        pose_weight: Weight of the pose prior's negative log-likelihood.
        shape_pose_weight: The same in stage I, where all frames would pull poses towards the prior's means, at the
            expense of marker placement, which counts only once.
        turn_acceleration: Standard deviation of the joints' angular acceleration [rad/s^2].
        acceleration: Standard deviation of the root's acceleration [m/s^2].
        calibration_frames: Frames of stage I.
        batch: Frames solved at once.
    """

    marker_noise: float = 0.007
    outlier: float = 0.04
    pose_weight: float = 0.3
    shape_pose_weight: float = 0.1
    turn_acceleration: float = 100.0
    acceleration: float = 15.0
    calibration_frames: int = 24
    batch: int = 240


@dataclass(frozen=True)
class Calibration:
    """Result of stage I: a person's shape and marker placement.

    Attributes:
        names: The markers' names.
        betas: Shape (B,).
        offsets: From each marker's place on the layout to its centre, in T-pose axes [m], shape (P, 3).
    """

    names: tuple[str, ...]
    betas: Tensor
    offsets: Tensor


@dataclass(frozen=True)
class MoshFit:
    """Result of stage II: a body in motion.

    Attributes:
        rotmat: Rotation of each joint relative to its parent's, root first, shape (T, 24, 3, 3).
        transl: [m], shape (T, 3).
        calibration: Shape and marker placement.
        residuals: Distance of each marker from its predicted place [m], shape (T, P); NaN where it was missing.
        labels: Index of the observed point assigned to each marker, shape (T, P); ``labels[t, p] == p`` unless two were
            swapped.
    """

    rotmat: Tensor
    transl: Tensor
    calibration: Calibration
    residuals: Tensor
    labels: Tensor = field(repr=False)


#: A frame needs at least this many markers, and a body this many different ones.
MIN_MARKERS = 8

#: A fit with a larger median marker distance is rejected [m].
MAX_MEDIAN_RESIDUAL = 0.06

_TRUNK = [SMPL_JOINTS.index(name) for name in ("pelvis", "spine_1", "spine_2", "spine_3")]


@dataclass(frozen=True)
class _Observed:
    """Observations of some frames: points (N, P, 3) without NaN, visible (N, P), smoothness."""

    points: Tensor
    visible: Tensor
    pose_weight: float
    smooth: Smoothness | None = None

    def __getitem__(self, frames: Tensor | slice) -> _Observed:
        return replace(self, points=self.points[frames], visible=self.visible[frames])

    def relabelled(self, labels: Tensor) -> _Observed:
        """Reorders the points: ``labels[n, p]`` is the point of frame n that is marker p."""
        points = self.points.gather(1, labels[..., None].expand_as(self.points))
        return replace(self, points=points, visible=self.visible.gather(1, labels))

    def exchanged(self, predicted: Tensor, near: float) -> tuple[_Observed, Tensor]:
        points, visible, labels = exchange_swapped(predicted, self.points, self.visible, near)
        return replace(self, points=points, visible=visible), labels


class Mosh:
    """Fits one body model to the markers of one layout.

    Args:
        body: Any body in SMPL's format.
        names: The observed markers (:data:`mviper.motion.markers.MARKER_PLACES`) and SMPL joints, in the order of the
            observed points; or a layout.
        prior: The pose prior; None for the one shipped with the package.
        settings: Weights.
    """

    def __init__(
        self,
        body: SMPL,
        names: tuple[str, ...] | MarkerLayout,
        prior: PosePrior | None = None,
        settings: MoshSettings | None = None,
    ) -> None:
        self.layout = names if isinstance(names, MarkerLayout) else place_markers(body, tuple(names))
        self.points = self.layout.points
        self.prior = (prior or PosePrior()).to(self.points.rest)
        self.settings = settings or MoshSettings()
        self.num_betas = body.num_betas

    @torch.no_grad()
    def calibrate(self, observed: Tensor) -> Calibration:
        """Runs stage I.

        Args:
            observed: A person's markers, from any number of clips [m], shape (T, P, 3); NaN where missing.

        Returns:
            Shape and marker placement.

        Raises:
            MarkerError: See :meth:`fit`.
        """
        seen = self._checked(observed)
        seen = seen[_spread_frames(seen.visible, self.settings.calibration_frames)]
        seen = replace(seen, pose_weight=self.settings.shape_pose_weight)
        start, offsets = self.points.rest.new_zeros(self.num_betas), self.layout.offsets
        pose = self._first_poses(seen, start, offsets)
        # Poses of the mean body first: swapped labels would otherwise distort the shape.
        posing = replace(seen, pose_weight=self.settings.pose_weight)
        pose = self._settle(posing, start, offsets, pose, (1.0, 0.3, 0.1))
        for near in (0.2, 0.12):
            posing, _ = posing.exchanged(self.points.posed(start, *pose, offsets), near)
            pose = self._settle(posing, start, offsets, pose, (0.1,))
        seen = replace(posing, pose_weight=seen.pose_weight)
        shape = torch.cat([start, offsets.flatten()])
        for scale in (0.3, 0.1, self.settings.outlier):
            pose, shape = self._settle_shape(seen, shape, pose, scale)
            betas, offsets = self._split(shape)
            seen, _ = seen.exchanged(self.points.posed(betas, *pose, offsets), max(0.05, scale / 2))
        pose, shape = self._settle_shape(seen, shape, pose, self.settings.outlier)
        betas, offsets = self._split(shape)
        return Calibration(self.layout.names, betas, offsets)

    @torch.no_grad()
    def fit(self, observed: Tensor, fps: float, calibration: Calibration | None = None) -> MoshFit:
        """Runs stage II, preceded by stage I on the same frames if there is no calibration.

        Args:
            observed: [m], shape (T, P, 3); NaN where missing.
            fps: Frames per second.
            calibration: From :meth:`calibrate`, for these markers.

        Returns:
            The fit of every frame; frames without markers are interpolated.

        Raises:
            MarkerError: No frames, infinite coordinates, too few markers, or impossible marker places.
        """
        if calibration is None:
            calibration = self.calibrate(observed)
        every = self._checked(observed)
        betas, offsets, settings = calibration.betas, calibration.offsets, self.settings
        frames = len(every.points)
        rotmat = betas.new_empty(frames, 24, 3, 3)
        transl = betas.new_empty(frames, 3)
        residuals = betas.new_full((frames, len(self.points)), float("nan"))
        labels = torch.arange(len(self.points), device=betas.device).repeat(frames, 1)
        # Batches overlap: the last frames of one lack their successors, so they are solved again with the next.
        overlap = min(settings.batch // 8, 30)
        start = 0
        while start < frames:
            stop = min(start + settings.batch, frames)
            span = slice(start, stop)
            past = slice(max(start - 2, 0), start)
            seen = every[span]
            pose = self._settle(seen, betas, offsets, self._first_poses(seen, betas, offsets), (1.0, 0.3, 0.1))
            pose = bridged(seen.visible.sum(1) >= MIN_MARKERS, pose, (rotmat[past], transl[past]))
            seen, exchanged = seen.exchanged(self.points.posed(betas, *pose, offsets), 0.1)
            seen, pose, exchanged = self._repaired(every[span], betas, offsets, pose, exchanged)
            pose = bridged(seen.visible.sum(1) >= MIN_MARKERS, pose, (rotmat[past], transl[past]))
            seen = replace(
                seen,
                smooth=Smoothness(fps, settings.turn_acceleration, settings.acceleration, (rotmat[past], transl[past])),
            )
            pose = self._settle(seen, betas, offsets, pose, (0.1,))
            seen, again = seen.exchanged(self.points.posed(betas, *pose, offsets), 0.05)
            labels[span] = exchanged.gather(1, again)
            pose = self._settle(seen, betas, offsets, pose, (settings.outlier,))
            rotmat[span], transl[span] = pose
            distance = (self.points.posed(betas, *pose, offsets) - seen.points).norm(dim=-1)
            residuals[span] = torch.where(seen.visible, distance, torch.full_like(distance, float("nan")))
            start = stop if stop == frames else stop - overlap
        median = residuals[~residuals.isnan()].median()
        if not median < MAX_MEDIAN_RESIDUAL:
            raise MarkerError(
                f"the markers do not fit a body: half of them are more than {100 * median:.0f} cm off the fit; check "
                "labels and units"
            )
        return MoshFit(rotmat, transl, calibration, residuals, labels)

    def _checked(self, observed: Tensor) -> _Observed:
        observed = observed.to(self.points.rest)
        if observed.ndim != 3 or observed.shape[1:] != (len(self.points), 3):
            raise ValueError(f"expected points (T, {len(self.points)}, 3), got {tuple(observed.shape)}")
        if len(observed) == 0:
            raise MarkerError("there are no frames")
        visible = ~observed.isnan().any(-1)
        if (observed[visible].abs() > 1e3).any():
            raise MarkerError("a marker is more than 1 km away; expected metres")
        kinds = int(visible.any(0).sum())
        if kinds < MIN_MARKERS:
            raise MarkerError(f"only {kinds} known markers occur; at least {MIN_MARKERS} are needed")
        if not (visible.sum(1) >= MIN_MARKERS).any():
            raise MarkerError(f"no frame has {MIN_MARKERS} or more known markers")
        points = torch.where(visible[..., None], observed, torch.zeros_like(observed))
        return _Observed(points, visible, self.settings.pose_weight)

    def _split(self, shape: Tensor) -> tuple[Tensor, Tensor]:
        return shape[: self.num_betas], shape[self.num_betas :].unflatten(0, (-1, 3))

    def _first_poses(self, seen: _Observed, betas: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """The prior's mean pose, aligned to the trunk's markers frame by frame."""
        component = self.prior.means[self.prior.log_weights.argmax()].unflatten(0, (23, 6))
        rotmat = torch.cat([torch.eye(3).to(component)[None], rotation_6d_to_matrix(component)])
        rotmat = rotmat.expand(len(seen.points), 24, 3, 3).clone()
        transl = betas.new_zeros(len(seen.points), 3)
        rest = self.points.posed(betas, rotmat[:1], transl[:1], offsets)[0]
        trust = seen.visible * (self.points.weights[:, _TRUNK].sum(1) + 0.02)
        weights = trust
        for _ in range(8):
            turn, shift = _rigid(rest, seen.points, weights)
            away = (rest @ turn.transpose(1, 2) + shift[:, None] - seen.points).square().sum(-1)
            weights = trust / (1 + away / 0.1**2).square()
        rotmat[:, 0] = turn
        root = self.points.rest_joints(betas)[0]
        return rotmat, shift + turn @ root - root

    def _settle(
        self,
        seen: _Observed,
        betas: Tensor,
        offsets: Tensor,
        pose: tuple[Tensor, Tensor],
        scales: tuple[float, ...],
        steps: int = 12,
    ) -> tuple[Tensor, Tensor]:
        """Finds the best poses for known shape and placement.

        Args:
            seen: The N frames.
            betas: (B,).
            offsets: (P, 3).
            pose: Where to start: rotations (N, 24, 3, 3) and translations (N, 3).
            scales: Successive widths of the robust loss [m].
            steps: Maximum number of steps per scale.
        """

        def linearized(scale: float, state: SolverState, _: Tensor) -> tuple[Tensor, ...]:
            rotmat, transl = state
            return self._linearized(seen, betas, offsets, (rotmat, transl), scale)

        def moved(state: SolverState, system: tuple[Tensor, ...], damping: Tensor) -> SolverState:
            (rotmat, transl), (hessian, gradient) = state, system
            return take_step((rotmat, transl), newton_step(hessian, gradient, damping, seen.smooth))

        rotmat, transl = pose
        for scale in scales:
            rotmat, transl = minimize(
                (rotmat, transl),
                partial(linearized, scale),
                moved,
                steps,
                together=True,
                linked=seen.smooth is not None,  # frames depend on one another then
            )
        return rotmat, transl

    def _energy(
        self, seen: _Observed, betas: Tensor, offsets: Tensor, pose: tuple[Tensor, Tensor], scale: float
    ) -> Tensor:
        """Negative log-posterior of each frame (N,)."""
        away = (self.points.posed(betas, *pose, offsets) - seen.points).square().sum(-1)
        robust = seen.visible * away / (1 + away / scale**2) / self.settings.marker_noise**2
        energy = 0.5 * robust.sum(1) + seen.pose_weight * self.prior.energy(pose[0])
        return energy + seen.smooth.energy(pose) if seen.smooth is not None else energy

    def _linearized(
        self, seen: _Observed, betas: Tensor, offsets: Tensor, pose: tuple[Tensor, Tensor], scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energy (N,), and per frame the Gauss-Newton matrix (N, 75, 75) and gradient (N, 75).

        The accelerations are in the gradient, not in the matrix.
        """
        posed, jacobian, _ = self.points.linearized(betas, *pose, offsets)
        difference = posed - seen.points
        away = difference.square().sum(-1)
        fade = 1 + away / scale**2
        weight = seen.visible / fade.square() / self.settings.marker_noise**2
        robust = seen.visible * away / fade / self.settings.marker_noise**2
        weighted = (jacobian * weight[..., None, None]).flatten(1, 2).transpose(1, 2)
        hessian = weighted @ jacobian.flatten(1, 2)
        gradient = (weighted @ difference.flatten(1)[..., None]).squeeze(-1)
        energy = 0.5 * robust.sum(1) + add_pose_prior(self.prior, seen.pose_weight, pose[0], hessian, gradient)
        if seen.smooth is not None:
            energy = energy + seen.smooth.energy(pose)
            gradient = gradient + seen.smooth.gradient(pose)
        return energy, hessian, gradient

    def _repaired(
        self, seen: _Observed, betas: Tensor, offsets: Tensor, pose: tuple[Tensor, Tensor], labels: Tensor
    ) -> tuple[_Observed, tuple[Tensor, Tensor], Tensor]:
        """Restarts frames in a bad local optimum from the nearest good frames on either side.

        Args:
            seen: The frames with the file's labels.
            betas: (B,).
            offsets: (P, 3).
            pose: Pose of each frame.
            labels: Labels from :func:`exchange_swapped`, shape (N, P); the neighbours' swaps are tried too.

        Returns:
            The relabelled frames, poses and labels.
        """
        scale = 0.1

        def misfit(seen: _Observed, pose: tuple[Tensor, Tensor]) -> Tensor:
            away = (self.points.posed(betas, *pose, offsets) - seen.points).square().sum(-1)
            return (seen.visible * away / (1 + away / scale**2)).sum(1)

        rotmat, transl, labels = pose[0].clone(), pose[1].clone(), labels.clone()
        now = misfit(seen.relabelled(labels), pose)
        limit = 2 * now.median() + scale**2
        bad, good = torch.nonzero(now > limit).flatten(), torch.nonzero(now <= limit).flatten()
        if len(bad):
            turn, shift = self._first_poses(seen[bad], betas, offsets)
            after = torch.searchsorted(good, bad)
            for near in (good[(after - 1).clamp_min(0)], good[after.clamp_max(len(good) - 1)]):
                tried_seen = seen[bad].relabelled(labels[near])
                # Try the neighbour's pose, and its limbs on the frame's own trunk, which is easily found.
                on_trunk = torch.cat([turn[:, :1], rotmat[near, 1:]], 1), shift
                for start in ((rotmat[near], transl[near]), on_trunk):
                    tried = self._settle(tried_seen, betas, offsets, start, (0.3, 0.1))
                    cost = misfit(tried_seen, tried)
                    better = cost < now[bad]
                    rotmat[bad[better]], transl[bad[better]] = tried[0][better], tried[1][better]
                    labels[bad[better]] = labels[near[better]]
                    now[bad] = torch.minimum(cost, now[bad])
        return seen.relabelled(labels), (rotmat, transl), labels

    def _settle_shape(
        self, seen: _Observed, shape: Tensor, pose: tuple[Tensor, Tensor], scale: float, steps: int = 15
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Solves stage I at one width of the robust loss: poses, betas and offsets together.

        The matrix has arrowhead form (frames are coupled only by shape), so poses are eliminated first.
        """
        precision = torch.block_diag(torch.eye(self.num_betas).to(shape), *self.layout.precision())
        mean = torch.cat([shape.new_zeros(self.num_betas), self.layout.offsets.flatten()])

        count, every = len(self.points), torch.arange(len(self.points), device=shape.device)

        def linearized(state: SolverState, _: Tensor) -> tuple[Tensor, ...]:
            rotmat, transl, shape = (values[0] for values in state)
            betas, offsets = self._split(shape)
            posed, jacobian, rotation = self.points.linearized(betas, rotmat, transl, offsets)
            difference, far = posed - seen.points, shape - mean
            fade = 1 + difference.square().sum(-1) / scale**2
            weight = (seen.visible / fade.square() / self.settings.marker_noise**2)[..., None, None]
            by_offset = torch.zeros(*posed.shape, count, 3).to(posed)
            by_offset[:, every, :, every] = rotation.transpose(0, 1)
            by_shape = torch.cat([self.points.shape_derivative(rotmat), by_offset.flatten(-2)], -1)
            by_shape, by_pose = by_shape.flatten(1, 2), jacobian.flatten(1, 2)
            weighted_shape = (by_shape.unflatten(1, (count, 3)) * weight).flatten(1, 2).transpose(1, 2)
            weighted_pose = (jacobian * weight).flatten(1, 2).transpose(1, 2)
            residual = difference.flatten(1)[..., None]
            hessian, gradient = weighted_pose @ by_pose, (weighted_pose @ residual).squeeze(-1)
            add_pose_prior(self.prior, seen.pose_weight, rotmat, hessian, gradient)
            coupling = weighted_pose @ by_shape  # (N, 75, S)
            shape_hessian = (weighted_shape @ by_shape).sum(0) + precision
            shape_gradient = (weighted_shape @ residual).sum(0).squeeze(-1) + precision @ far
            energy = self._energy(seen, betas, offsets, (rotmat, transl), scale).sum() + 0.5 * far @ precision @ far
            return tuple(value[None] for value in (energy, hessian, gradient, coupling, shape_hessian, shape_gradient))

        def moved(state: SolverState, system: tuple[Tensor, ...], damping: Tensor) -> SolverState:
            hessian, gradient, coupling, shape_hessian, shape_gradient = (value[0] for value in system)
            inverse = torch.cholesky_inverse(damped_factor(hessian, damping.expand(len(hessian))))
            eliminated = inverse @ coupling
            schur = shape_hessian - (coupling.transpose(1, 2) @ eliminated).sum(0)
            schur = schur + damping * torch.diag(shape_hessian.diagonal())
            right = shape_gradient - (eliminated.transpose(1, 2) @ gradient[..., None]).sum(0).squeeze(-1)
            shape_step = -torch.linalg.solve(schur, right)
            step = -(inverse @ (gradient + coupling @ shape_step)[..., None]).squeeze(-1)
            rotmat, transl, shape = (values[0] for values in state)
            return tuple(values[None] for values in (*take_step((rotmat, transl), step), shape + shape_step))

        start = tuple(values[None] for values in (*pose, shape))  # poses and shape are one problem
        rotmat, transl, shape = (values[0] for values in minimize(start, linearized, moved, steps))
        return (rotmat, transl), shape


def _rigid(points: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares rotations (N, 3, 3) and shifts (N, 3) of points (P, 3) onto targets (N, P, 3) (Kabsch, 1976)."""
    share = (weights / weights.sum(1, keepdim=True).clamp_min(1e-9))[..., None]
    centre, goal = (share * points).sum(1), (share * targets).sum(1)
    covariance = (share * (targets - goal[:, None])).transpose(1, 2) @ (points - centre[:, None])
    turn = project_to_rotation(covariance)
    return turn, goal - (turn @ centre[..., None]).squeeze(-1)


def _spread_frames(visible: Tensor, count: int) -> Tensor:
    """Frames for stage I: the frame with the most markers in each of ``count`` equal parts of the sequence."""
    seen = visible.sum(1)
    usable = torch.nonzero(seen >= MIN_MARKERS).flatten()
    parts = torch.tensor_split(usable, min(count, len(usable)))
    return torch.stack([part[seen[part].argmax()] for part in parts])


def exchange_swapped(
    predicted: Tensor, observed: Tensor, visible: Tensor, near: float = 0.05, rounds: int = 3
) -> tuple[Tensor, Tensor, Tensor]:
    """Finds and corrects, frame by frame, markers with each other's label or with that of a missing one.

    Args:
        predicted: Where each marker should be [m], shape (T, P, 3).
        observed: Where it is [m], shape (T, P, 3); arbitrary where not visible.
        visible: Shape (T, P).
        near: A swap must bring both markers within this distance of their places, and reduce the squared distance by
            more than 0.64 of its square for each, so that neighbours that fit either way are not swapped [m].
        rounds: Maximum number of swaps per frame.

    Returns:
        Relabelled ``observed`` and ``visible``, and for each marker the index under which it was found, shape (T, P).
    """
    frames, count = visible.shape
    labels = torch.arange(count, device=visible.device).repeat(frames, 1)
    rows = torch.arange(frames, device=visible.device)
    for _ in range(rounds):
        squared = (observed[:, :, None] - predicted[:, None]).square().sum(-1)  # (T, observed i, place j)
        squared = torch.where(visible[:, :, None], squared.clamp_max((6 * near) ** 2), torch.zeros_like(squared))
        own = squared.diagonal(dim1=1, dim2=2)
        gain = own[:, :, None] + own[:, None] - squared - squared.transpose(1, 2)
        close = (squared < near**2) & (squared.transpose(1, 2) < near**2)
        gain = torch.where(close, gain, torch.zeros_like(gain))
        best, where = gain.flatten(1).max(1)
        found = rows[best > 2 * (0.8 * near) ** 2]
        if len(found) == 0:
            break
        first, second = where[found] // count, where[found] % count
        observed, visible = observed.clone(), visible.clone()
        for values in (observed, visible, labels):
            kept = values[found, first].clone()
            values[found, first] = values[found, second]
            values[found, second] = kept
    return observed, visible, labels


def mosh(
    body: SMPL, names: tuple[str, ...], observed: Tensor, fps: float, settings: MoshSettings | None = None
) -> MoshFit:
    """Runs both stages on one sequence; see :class:`Mosh`."""
    return Mosh(body, names, settings=settings).fit(observed, fps)
