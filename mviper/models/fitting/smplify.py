"""SMPLify: a body fitted to 2D joints, many frames at once.

After Bogo et al., "Keep it SMPL: Automatic Estimation of 3D Human Pose and Shape from a Single Image" (ECCV 2016): the
camera and the body's orientation from the torso first, then pose and shape, under a robust loss that narrows from stage
to stage, with priors on pose, joint angles, shape and intersecting limbs. Tracks have one shape and smooth motion, as
in Arnab et al., "Exploiting Temporal Context for 3D Human Pose Estimation in the Wild" (CVPR 2019).

Unlike theirs it takes damped Gauss-Newton steps on exact derivatives of the keypoints alone, without a mesh. Frames of
a batch are solved in parallel, each with its own damping, so that they do not affect each other.

Metres in camera axes (x right, y down, z forward) and pixels throughout. Every term is a Gaussian of stated width: a
keypoint's is in metres at the person's depth, so that the fit does not depend on the distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mviper.body import (
    SMPL,
    AttachedPoints,
    PosePrior,
    Smoothness,
    SolverState,
    add_pose_prior,
    axis_angle_to_matrix,
    bridged,
    minimize,
    newton_step,
    rotation_6d_to_matrix,
    skew,
    take_step,
    turn_derivatives,
)
from mviper.models.fitting.outline import Masks, Outline
from mviper.models.fitting.projection import Projection
from mviper.models.fitting.terms import JointLimits, SelfIntersection, Standing, Support
from mviper.structures import KEYPOINTS, SMPL_JOINTS

#: A frame with fewer keypoints than this does not determine a pose.
MIN_KEYPOINTS = 5

#: Keypoints near the plane of the torso: they give camera and orientation before the pose is known.
_TORSO = (
    "pelvis", "left_hip", "right_hip", "left_shoulder", "right_shoulder", "neck", "left_hip_extra", "right_hip_extra",
    "pelvis_extra", "thorax_extra", "neck_extra", "spine_extra",
)  # fmt: skip
#: Joints that carry it.
_TRUNK = [SMPL_JOINTS.index(name) for name in
          ("pelvis", "spine_1", "spine_2", "spine_3", "neck", "left_collar", "right_collar")]  # fmt: skip


@dataclass(frozen=True)
class SMPLifySettings:
    """Weights of the fit's terms.

    Attributes:
        keypoint_noise: Standard deviation of a keypoint of confidence 1 [m at the person's depth].
        outlier: Distance at which a keypoint's influence starts to fade [m at the person's depth].
        pose_weight: Weight of the pose prior's negative log-likelihood.
        shape_weight: Weight of the shape prior's, betas ~ N(0, 1).
        correlation: Share of a keypoint's error variance that is constant over a track, which limits what more frames
            tell about the shape.
        limit: Standard deviation of a joint's excess over its range [rad]; at the end no joint exceeds it.
        depth: Standard deviation of the depth of intersecting limbs [m].
        start: Standard deviation of joint rotations from a given start (a network's prediction) [rad]; None: the start
            has no weight.
        turn_acceleration: Standard deviation of joints' angular acceleration in a track [rad/s^2].
        acceleration: Of the root's acceleration in a track [m/s^2].
        shape_frames: Frames of a track from which its shape is estimated.
        batch: Frames solved at once.
    """

    keypoint_noise: float = 0.02
    outlier: float = 0.1
    pose_weight: float = 1.0
    shape_weight: float = 1.0
    correlation: float = 0.0
    limit: float = 0.05
    depth: float = 0.02
    start: float | None = None
    turn_acceleration: float = 50.0
    acceleration: float = 10.0
    shape_frames: int = 48
    batch: int = 256


class Bodies(NamedTuple):
    """Posed bodies: rotations (N, 24, 3, 3), root first, translations (N, 3) [m] and shapes (N, B)."""

    rotmat: Tensor
    transl: Tensor
    betas: Tensor

    def at(self, frames: Tensor | slice) -> Bodies:
        """Some of them, by index or mask."""
        return Bodies(*(values[frames] for values in self))


@dataclass(frozen=True)
class SMPLifyFit:
    """The fit of N frames.

    Attributes:
        bodies: In camera axes; ``x = SMPL(theta, beta) + transl``. Frames of a track have one shape.
        joints: The 44 keypoints, camera axes [m], shape (N, 44, 3).
        keypoints2d: Their projections [px], shape (N, 44, 2).
        energy: Negative log-posterior without the temporal terms, shape (N,).
        shape_covariance: Of each track's betas, shape (tracks, B, B); None if frames were fitted independently.
        seen: Frames with enough keypoints, shape (N,) bool. In a track the others are interpolated; otherwise they stay
            near the prior's mean pose.
    """

    bodies: Bodies
    joints: Tensor
    keypoints2d: Tensor
    energy: Tensor
    seen: Tensor
    shape_covariance: Tensor | None = None

    @property
    def root(self) -> Tensor:
        """Where SMPL joint 0 is, camera axes [m], shape (N, 3)."""
        return self.joints[:, 0]


@dataclass(frozen=True)
class _Frames:
    """Observations of N frames.

    Attributes:
        parts: The body's points that make up the K observed keypoints: those that are keypoints themselves, then P
            parts of the others, then the capsules' ends.
        share: Weight of each part in each of the S keypoints that are sums of parts, shape (S, P).
        keypoints: [px], sums of parts last, shape (N, K, 2).
        trust: Confidence times the keypoint's precision, shape (N, K).
        projection: The camera.
        unit: Pixels per metre at the person's depth, shape (N,).
        start: Given start rotations, shape (N, 24, 3, 3), or None.
        support: What the feet stand on, if known.
        masks: The person's masks, if used.
        height: The person's, if it is known [m].
        edge: Which surface points are on the outline, and how far inside it [px], shape (N, points) each.
    """

    parts: AttachedPoints
    share: Tensor
    keypoints: Tensor
    trust: Tensor
    projection: Projection
    unit: Tensor
    start: Tensor | None = None
    support: Support | None = None
    masks: Masks | None = None
    edge: tuple[Tensor, Tensor] | None = None
    height: float | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def carried(self) -> int:
        """Number of parts that make up keypoints."""
        return self.keypoints.shape[1] - self.share.shape[0] + self.share.shape[1]

    def composed(self, values: Tensor) -> Tensor:
        """Sums values of the parts to those of the keypoints: (N, parts, ...) -> (N, K, ...)."""
        joints = self.keypoints.shape[1] - len(self.share)
        if not len(self.share):
            return values[:, :joints]
        surface = (self.share @ values[:, joints : self.carried].flatten(2)).unflatten(2, values.shape[2:])
        return torch.cat([values[:, :joints], surface], 1)

    def at(self, frames: Tensor | slice) -> _Frames:
        """Some of the frames, by index or mask."""
        kept = {name: getattr(self, name)[frames] for name in ("keypoints", "trust", "projection", "unit")}
        return replace(
            self,
            **kept,
            start=None if self.start is None else self.start[frames],
            support=None if self.support is None else self.support.at(frames),
            masks=None if self.masks is None else self.masks.at(frames),
            edge=None if self.edge is None else (self.edge[0][frames], self.edge[1][frames]),
        )


@dataclass(frozen=True)
class _Stage:
    """A stage's unknowns and terms.

    Attributes:
        scale: Width of the robust loss [m].
        shape: Whether the shape is an unknown.
        intersection: Whether intersecting limbs are penalised.
        shared: One shape for all frames.
        smooth: Whether consecutive frames are linked.
    """

    scale: float
    shape: bool = False
    intersection: bool = False
    shared: bool = False
    smooth: Smoothness | None = None


class SMPLify:
    """Fits one body model to 2D keypoints.

    Args:
        body: Any body in SMPL's format.
        prior: The pose prior; None for the one that ships with the package.
        settings: Weights.
        points: Body points observed instead of the 44 keypoints, K of them.
        noise: Standard deviation of each keypoint, instead of the settings' [m at the person's depth], shape (K,).
        outline: How masks are compared with the body; None: without an offset.
    """

    def __init__(
        self,
        body: SMPL,
        prior: PosePrior | None = None,
        settings: SMPLifySettings | None = None,
        points: AttachedPoints | None = None,
        noise: Tensor | None = None,
        outline: Outline | None = None,
    ) -> None:
        self.body = body
        self.settings = settings or SMPLifySettings()
        self.parts, self.share = AttachedPoints.at_keypoints(body)
        #: Observed points, the last of them summed to keypoints with these weights; and which lie in the torso.
        self.points, self.sums = self.parts, self.share[24:, 24:]
        torso = [name in _TORSO for name in KEYPOINTS]
        if points is not None:
            self.points, self.sums = points, self.share[:0, :0]
            torso = (points.weights[:, _TRUNK].sum(1) > 0.5).tolist()
        heights = body.template[:, 1]
        ends = [int(heights.argmax()), int(heights.argmin())]
        #: The mean body's height [m], and how betas change it, shape (B,).
        self.tallness = heights[ends[0]] - heights[ends[1]], body.shapedirs[ends[0], 1] - body.shapedirs[ends[1], 1]
        self.torso = torch.tensor(torso).to(self.parts.rest)
        self.precision = torch.ones_like(self.torso)
        if noise is not None:
            self.precision = (self.settings.keypoint_noise / noise.to(self.parts.rest)).square()
        self.prior = (prior or PosePrior()).to(self.parts.rest)
        self.limits = JointLimits(self.prior)
        self.intersection = SelfIntersection(body)
        self.standing = Standing(body)
        self.outline = outline or Outline(body)
        self.num_betas = body.num_betas
        component = self.prior.means[self.prior.log_weights.argmax()].unflatten(0, (23, 6))
        self.mean_pose = rotation_6d_to_matrix(component)

    @torch.no_grad()
    def fit(
        self,
        keypoints: Tensor,
        projection: Projection,
        *,
        start: Bodies | None = None,
        tracks: Sequence[int] | None = None,
        fps: float = 30.0,
        masks: Masks | None = None,
        height: float | None = None,
    ) -> SMPLifyFit:
        """Fits N frames.

        Args:
            keypoints: x, y [px] and confidence in [0, 1], in the order of ``KEYPOINTS`` or of the fitter's points,
                shape (N, K, 3). Confidence 0 or NaN: not seen.
            projection: The N frames' camera.
            start: Start (a network's prediction); None: the prior's mean pose, aligned to the torso in both
                orientations that the picture allows.
            tracks: Lengths of the consecutive tracks that make up the frames: each gets one shape and smooth motion.
                None fits frames independently.
            fps: Frames per second of the tracks.
            masks: The person's masks in some frames, used to estimate the shape of a single track.
            height: The person's, if it is known [m].

        Returns:
            The fit, on the body's device.
        """
        frames, first = self._prepared(keypoints, projection)
        if tracks is not None and sum(tracks) != len(frames):
            raise ValueError(f"tracks of {sum(tracks)} frames together, but there are {len(frames)}")
        if start is not None:
            first = [Bodies(*(values.to(self.parts.rest) for values in start))]
            frames = replace(frames, start=first[0].rotmat)
        frames = replace(frames, height=height)
        seen = (frames.trust > 0).sum(1) >= MIN_KEYPOINTS
        fitted, covariances = [], []
        for span in torch.arange(len(frames)).split(self.settings.batch if tracks is None else list(tracks)):
            candidates = [bodies.at(span) for bodies in first]
            if tracks is None:
                fitted.append(self._fit_frames(frames.at(span), candidates))
            else:
                bodies, covariance = self._fit_track(frames.at(span), candidates, seen[span], fps, masks)
                fitted.append(bodies)
                covariances.append(covariance)
        result = self._result(frames, Bodies(*(torch.cat(values) for values in zip(*fitted))), seen)
        return replace(result, shape_covariance=torch.stack(covariances) if covariances else None)

    @torch.no_grad()
    def stand(
        self,
        keypoints: Tensor,
        projection: Projection,
        bodies: Bodies,
        support: Support,
        fps: float = 30.0,
        start: Bodies | None = None,
    ) -> SMPLifyFit:
        """Refits a track with its feet on their support; its shape is kept.

        The root accelerates in depth, where a camera sees it poorly, no more than across the line of sight.

        Args:
            keypoints: As in :meth:`fit`, of one track.
            projection: The frames' camera.
            bodies: Result of :meth:`fit`.
            support: Where feet rest.
            fps: Frames per second.
            start: As in :meth:`fit`.
        """
        frames, _ = self._prepared(keypoints, projection)
        if start is not None:
            frames = replace(frames, start=start.rotmat.to(self.parts.rest))
        support = Support(*(values.to(self.parts.rest) for values in (support.anchors, support.up, support.ground)))
        seen = (frames.trust > 0).sum(1) >= MIN_KEYPOINTS
        frames = replace(frames, support=support)
        lively = min(self.settings.acceleration, max(_CALM, self._acceleration_across(bodies, fps)))
        return self._result(frames, self._smoothed(frames, bodies, fps, (self.settings.outlier,), lively), seen)

    def _result(self, frames: _Frames, bodies: Bodies, seen: Tensor) -> SMPLifyFit:
        bodies = bodies._replace(rotmat=self.limits.clamp(bodies.rotmat))
        joints = torch.cat([self.share @ self.parts.posed(part.betas, part.rotmat, part.transl)
                            for part in _split(bodies, self.settings.batch)])  # fmt: skip
        energy = torch.cat([self.energy(*each) for each in zip(_split(frames, self.settings.batch),
                                                               _split(bodies, self.settings.batch))])  # fmt: skip
        return SMPLifyFit(bodies, joints, frames.projection.project(joints, joints[:, 0]), energy, seen)

    def _prepared(self, keypoints: Tensor, projection: Projection) -> tuple[_Frames, list[Bodies]]:
        """The frames without unseen keypoints, and both start bodies of each."""
        keypoints, projection = keypoints.to(self.parts.rest), projection.to(self.parts.rest)
        if keypoints.ndim != 3 or keypoints.shape[1:] != (len(self.torso), 3) or len(keypoints) == 0:
            raise ValueError(f"expected keypoints (N, {len(self.torso)}, 3), N > 0, got {tuple(keypoints.shape)}")
        known = keypoints.isfinite().all(-1) & (keypoints[..., 2] > 0)
        keypoints = torch.where(known[..., None], keypoints, torch.zeros_like(keypoints))
        pixels, trust = keypoints[..., :2], keypoints[..., 2].clamp(0, 1) * self.precision
        first = self._first_bodies(pixels, trust, projection)
        unit = projection.focal / first[0].transl[:, 2]
        chosen = known.any(0)
        single = len(chosen) - len(self.sums)  # keypoints that are not sums
        share = self.sums[chosen[single:]]
        used = torch.cat([chosen[:single], (share != 0).any(0)])
        parts = self.points[used] + self.intersection.ends
        return _Frames(parts, share[:, used[single:]], pixels[:, chosen], trust[:, chosen], projection, unit), first

    def _first_bodies(self, pixels: Tensor, trust: Tensor, projection: Projection) -> list[Bodies]:
        """The prior's mean pose aligned to the torso, in both orientations that look alike.

        The torso is nearly flat. The scaled orthographic projection of a flat figure is an affine map B (2 x 2); its
        larger singular value is the scale, and the ratio of the smaller one to it the cosine of the slant, whose sign
        is ambiguous.

        Args:
            pixels: (N, K, 2).
            trust: (N, K).
            projection: The camera.
        """
        frames = len(pixels)
        rotmat = torch.cat([torch.eye(3).to(pixels)[None], self.mean_pose]).repeat(frames, 1, 1, 1)
        betas = pixels.new_zeros(frames, self.num_betas)
        posed = self.points.posed(betas[:1], rotmat[:1], betas.new_zeros(1, 3))[0]
        single = len(self.torso) - len(self.sums)
        model = torch.cat([posed[:single], self.sums @ posed[single:]])
        root = self.parts.rest_joints(betas[0])[0]
        # Without a visible torso the other keypoints are used; without any, the guess is upright before the camera.
        weight = trust * (self.torso + 0.02)
        total = weight.sum(1, keepdim=True).clamp_min(1e-6)
        share = (weight / total)[..., None]
        middle, centre = (share * model[:, :2]).sum(1), (share * pixels).sum(1)
        flat, seen = model[:, :2] - middle[:, None], pixels - centre[:, None]
        size = _extent(seen, trust) / 1.6  # pixels per metre, roughly
        size = torch.where(size > 0, size, projection.focal / 5)
        upright = torch.diag(pixels.new_tensor([1.0, -1.0])) * size[:, None, None]
        spread = (share * flat).transpose(1, 2) @ flat
        ridge = 1e-3 * torch.eye(2).to(pixels)
        cross = (share * seen).transpose(1, 2) @ flat
        affine = (cross + 1e-3 * upright) @ torch.linalg.inv(spread + ridge)
        left, values, right = torch.linalg.svd(affine)
        signs = torch.stack([torch.ones_like(size), torch.linalg.det(left)], 1), torch.linalg.det(right)
        left = left * signs[0][:, None]
        right = torch.cat([right[:, :1], right[:, 1:] * signs[1][:, None, None]], 1)
        scale = values[:, 0].clamp(size / 1.8, size * 6)
        cosine = (values[:, 1] / values[:, 0].clamp_min(1e-9) * signs[0][:, 1] * signs[1]).clamp(-1, 1)
        empty = weight.sum(1, keepdim=True) == 0
        centre = torch.where(empty, projection.centre, centre)

        depth = projection.focal / scale
        pixel = centre + (affine @ (root[:2] - middle)[..., None]).squeeze(-1)
        place = torch.cat([(pixel - projection.centre) * (depth / projection.focal)[:, None], depth[:, None]], 1)
        candidates = []
        for sign in (1.0, -1.0):
            sine = sign * (1 - cosine.square()).clamp_min(0).sqrt()
            slant = torch.eye(3).to(pixels).repeat(frames, 1, 1)
            slant[:, 1, 1], slant[:, 1, 2], slant[:, 2, 1], slant[:, 2, 2] = cosine, -sine, sine, cosine
            turn = _in_plane(left) @ slant @ _in_plane(right)
            candidates.append(Bodies(torch.cat([turn[:, None], rotmat[:, 1:]], 1), place - root, betas))
        return candidates

    def _fit_frames(self, frames: _Frames, candidates: list[Bodies]) -> Bodies:
        """Fits frames independently."""
        fitted = []
        for bodies in candidates:
            bodies = self._turn_and_shift(frames, bodies)
            if frames.start is None:
                bodies = self._settle(frames, bodies, _Stage(1.0, True), 8)
            fitted.append(self._settle(frames, bodies, _Stage(0.3, True)))
        energies = torch.stack([self.energy(frames, bodies, 0.3) for bodies in fitted])
        bodies = _picked(fitted, energies.argmin(0))
        return self._settle(frames, bodies, _Stage(self.settings.outlier, True, intersection=True))

    def _fit_track(
        self, frames: _Frames, candidates: list[Bodies], seen: Tensor, fps: float, masks: Masks | None
    ) -> tuple[Bodies, Tensor]:
        """Fits a track; also returns the covariance of its shape."""
        settings, count = self.settings, len(frames)
        if not seen.any():
            return candidates[0], torch.eye(self.num_betas).to(frames.trust)
        stages = [_Stage(1.0), _Stage(0.3)]
        if frames.start is not None:
            candidates = [candidates[0]._replace(betas=candidates[0].betas.mean(0).expand(count, -1))]
            stages = stages[1:]
        fitted = []
        for bodies in candidates:
            bodies = self._in_batches(self._turn_and_shift, frames, bodies)
            for stage in stages:
                bodies = self._in_batches(partial(self._settle, stage=stage), frames, bodies)
            fitted.append(bodies)
        bodies = fitted[0]
        if len(fitted) > 1:
            bodies = _picked(fitted, self._likeliest_way(frames, fitted, seen, fps))
        sound = seen.clone()
        sound[seen] &= ~_flipped(bodies.rotmat[seen, 0], fps)
        rotmat, transl = bridged(sound, (bodies.rotmat, bodies.transl), (bodies.rotmat[:0], bodies.transl[:0]))
        bodies = bodies._replace(rotmat=rotmat, transl=transl)

        known = torch.nonzero(seen).flatten()
        spread = known[torch.linspace(0, len(known) - 1, min(settings.shape_frames, len(known))).round().long()]
        shape_stage = _Stage(settings.outlier, True, shared=True)
        if masks is not None:
            masks = masks.to(self.parts.rest).at(seen[masks.frames.to(seen.device)])
        if masks is not None and len(masks.frames):
            spread = masks.frames
        shown, own = frames.at(spread), self._settle(frames.at(spread), bodies.at(spread), shape_stage)
        for _ in range(_OUTLINES):
            if masks is None or not len(masks.frames):
                break
            points = self.outline.points.posed(own.betas, own.rotmat, own.transl)
            pixels = shown.projection.project(points, self._root(own))
            edge = self.outline.on_edge(masks, shown.projection, own.betas, own.rotmat, own.transl, pixels)
            shown = replace(shown, masks=masks, edge=edge)
            own = self._settle(shown, own, shape_stage, 8)
        _, hessian, gradient = self._linearized(shown, own, shape_stage)
        covariance = torch.linalg.inv(_shape_system(hessian, gradient, torch.zeros_like(shown.unit))[0])
        covariance = covariance * self._alike(len(shown))
        betas = own.betas[:1]
        bodies = bodies._replace(betas=betas.expand(count, -1))

        return self._smoothed(frames, bodies, fps, (0.3, settings.outlier)), covariance

    def _acceleration_across(self, bodies: Bodies, fps: float) -> float:
        """Root mean square of the root's acceleration along one axis across the line of sight [m/s^2]."""
        root = self._root(bodies)
        if len(root) < 3:
            return 0.0
        sight = root[1:-1] / root[1:-1].norm(dim=-1, keepdim=True)
        acceleration = (root[2:] - 2 * root[1:-1] + root[:-2]) * fps**2
        across = acceleration - (acceleration * sight).sum(-1, keepdim=True) * sight
        return float((across.square().sum(-1) / 2).mean().sqrt())

    def _smoothed(
        self, frames: _Frames, bodies: Bodies, fps: float, scales: Sequence[float], acceleration: float | None = None
    ) -> Bodies:
        """Fits consecutive frames with robust losses of the given widths in turn; ``acceleration`` as in settings."""
        settings, count = self.settings, len(frames)
        acceleration = settings.acceleration if acceleration is None else acceleration
        # Windows overlap: the last frames of one lack later frames, so they are solved again with the next.
        overlap, begin = min(settings.batch // 8, 30), 0
        rotmat, transl = bodies.rotmat.clone(), bodies.transl.clone()
        while begin < count:
            end = min(begin + settings.batch, count)
            past = slice(max(begin - 2, 0), begin)
            smooth = None
            if end - past.start > 2:  # acceleration needs three frames
                smooth = Smoothness(fps, settings.turn_acceleration, acceleration, (rotmat[past], transl[past]))
            window = Bodies(rotmat[begin:end], transl[begin:end], bodies.betas[begin:end])
            for scale in scales:
                stage = _Stage(scale, intersection=True, smooth=smooth)
                window = self._settle(frames.at(slice(begin, end)), window, stage)
            rotmat[begin:end], transl[begin:end] = window.rotmat, window.transl
            begin = end if end == count else end - overlap
        return Bodies(rotmat, transl, bodies.betas)

    def _likeliest_way(self, frames: _Frames, fitted: list[Bodies], seen: Tensor, fps: float) -> Tensor:
        """Chooses each frame's candidate for a good fit and smooth motion (Viterbi, 1967).

        Returns:
            Index of the candidate, shape (N,).
        """
        single = torch.stack([self.energy(frames, bodies, 0.3) for bodies in fitted], 1)  # (N, C)
        single = torch.where(seen[:, None], single, torch.zeros_like(single))
        joints = torch.stack([self.parts[:24].posed(*bodies[2:], *bodies[:2]) for bodies in fitted], 1)
        joints = joints - joints[:, :, :1]
        step = _WALK / fps
        moved = (joints[1:, None] - joints[:-1, :, None]).square().sum(-1)  # (N - 1, from, to, 24)
        linked = 0.5 * (moved / (moved + _LEAP**2)).mean(-1) * _LEAP**2 / step**2
        best, origin = single[0], []
        for unary, pair in zip(single[1:], linked):
            value, where = (best[:, None] + pair).min(0)
            best = value + unary
            origin.append(where)
        chosen = [best.argmin()]
        for where in reversed(origin):
            chosen.append(where[chosen[-1]])
        return torch.stack(chosen[::-1])

    def _in_batches(self, step: Callable[[_Frames, Bodies], Bodies], frames: _Frames, bodies: Bodies) -> Bodies:
        parts = zip(_split(frames, self.settings.batch), _split(bodies, self.settings.batch))
        return Bodies(*(torch.cat(values) for values in zip(*(step(*part) for part in parts))))

    def _settle(self, frames: _Frames, bodies: Bodies, stage: _Stage, steps: int = 25) -> Bodies:
        """Iterates until converged; frames that are not linked stop one by one."""

        def moved(state: SolverState, system: tuple[Tensor, ...], damping: Tensor) -> SolverState:
            (rotmat, transl, betas), (hessian, gradient) = state, system
            if stage.shared:
                step = _shared_step(hessian, gradient, damping)
            else:
                step = newton_step(hessian, gradient, damping, stage.smooth)
            return *take_step((rotmat, transl), step[:, :75]), betas + step[:, 75:] if stage.shape else betas

        def linearized(state: SolverState, which: Tensor) -> tuple[Tensor, ...]:
            return self._linearized(frames.at(which), Bodies(*state), stage)

        linked = stage.shared or stage.smooth is not None
        return Bodies(*minimize(tuple(bodies), linearized, moved, steps, linked=linked))

    def energy(self, frames: _Frames, bodies: Bodies, scale: float | None = None) -> Tensor:
        """Negative log-posterior of frames (N,), no temporal terms; differentiable; ``scale`` overrides ``outlier``."""
        settings = self.settings
        scale = settings.outlier if scale is None else scale
        posed = frames.parts.posed(bodies.betas, bodies.rotmat, bodies.transl)
        away = frames.projection.project(frames.composed(posed), self._root(bodies)) - frames.keypoints
        away = (away / frames.unit[:, None, None]).square().sum(-1)
        energy = 0.5 * (frames.trust * away / (1 + away / scale**2)).sum(1) / settings.keypoint_noise**2
        energy = energy + settings.pose_weight * self.prior.energy(bodies.rotmat)
        energy = energy + 0.5 * settings.shape_weight * bodies.betas.square().sum(1)
        energy = energy + 0.5 * self.limits.excess(bodies.rotmat).square().sum((1, 2)) / settings.limit**2
        energy = (
            energy + 0.5 * self.intersection.depths(posed[:, frames.carried :])[0].square().sum(1) / settings.depth**2
        )
        if settings.start is not None and frames.start is not None:
            energy = energy + 0.25 * (bodies.rotmat - frames.start).square().sum((1, 2, 3)) / settings.start**2
        return energy

    def _root(self, bodies: Bodies) -> Tensor:
        return bodies.transl + self.parts.rest_joints(bodies.betas)[:, 0]

    def _linearized(self, frames: _Frames, bodies: Bodies, stage: _Stage) -> tuple[Tensor, Tensor, Tensor]:
        """A stage's energy (N,), and per frame its Gauss-Newton matrix (N, D, D) and gradient (N, D)."""
        settings = self.settings
        carried = frames.carried
        parts = frames.parts if stage.intersection else frames.parts[:carried]
        posed, jacobian, _ = parts.linearized(bodies.betas, bodies.rotmat, bodies.transl)
        if stage.shape:
            jacobian = torch.cat([jacobian, parts.shape_derivative(bodies.rotmat)], -1)

        by_point = frames.composed(jacobian)
        energy, hessian, gradient = self._misfit(
            frames, frames.composed(posed), by_point, self._root(bodies), stage.scale
        )
        energy = energy + add_pose_prior(self.prior, settings.pose_weight, bodies.rotmat, hessian, gradient)
        excess, by_turn = self.limits.linearized(bodies.rotmat)
        energy = energy + 0.5 * excess.square().sum((1, 2)) / settings.limit**2
        down = by_turn.transpose(-1, -2) / settings.limit**2
        gradient[:, 3:72] += (down @ excess[..., None]).squeeze(-1).flatten(1)
        blocks = hessian[:, 3:72, 3:72].unflatten(2, (23, 3)).unflatten(1, (23, 3)).diagonal(dim1=1, dim2=3)
        blocks += (down @ by_turn).permute(0, 2, 3, 1)
        if settings.start is not None and frames.start is not None:
            apart = bodies.rotmat - frames.start
            energy = energy + 0.25 * apart.square().sum((1, 2, 3)) / settings.start**2
            turns = (turn_derivatives(bodies.rotmat) * apart[:, :, None]).sum((-2, -1))
            gradient[:, :72] += 0.5 * turns.flatten(1) / settings.start**2
            hessian[:, :72, :72] += torch.eye(72).to(hessian) / settings.start**2
        if stage.shape:
            precision = settings.shape_weight
            if stage.shared:
                precision *= self._alike(len(frames)) / len(frames)
            energy = energy + 0.5 * precision * bodies.betas.square().sum(1)
            gradient[:, 75:] += precision * bodies.betas
            hessian[:, 75:, 75:] += precision * torch.eye(self.num_betas).to(hessian)
            if frames.height is not None:
                precision = precision / settings.shape_weight / _HEIGHT**2
                short = self.tallness[0] + bodies.betas @ self.tallness[1] - frames.height
                energy = energy + 0.5 * precision * short.square()
                gradient[:, 75:] += precision * short[:, None] * self.tallness[1]
                hessian[:, 75:, 75:] += precision * torch.outer(self.tallness[1], self.tallness[1])
        if stage.intersection:
            terms = self.intersection.linearized(posed[:, carried:], jacobian[:, carried:])
            energy, hessian, gradient = (
                value + term / settings.depth**2 for value, term in zip((energy, hessian, gradient), terms)
            )
        if frames.masks is not None and frames.edge is not None:
            counted, own = frames.edge
            used = counted.any(0)
            chosen = self.outline.points[used]
            points, jacobian, _ = chosen.linearized(bodies.betas, bodies.rotmat, bodies.transl)
            jacobian = torch.cat([jacobian, chosen.shape_derivative(bodies.rotmat)], -1)
            pixels = frames.projection.linearized(points, jacobian, self._root(bodies))
            terms = self.outline.misfit(
                frames.masks, (counted[:, used], own[:, used]), *pixels, frames.unit, _EDGE_SCALE
            )
            energy, hessian, gradient = energy + terms[0], hessian + terms[1], gradient + terms[2]
        if frames.support is not None:
            terms = self.standing.linearized(frames.support, *bodies[2:], *bodies[:2])
            energy, hessian, gradient = energy + terms[0], hessian + terms[1], gradient + terms[2]
        if stage.smooth is not None:
            pose = bodies.rotmat, bodies.transl
            energy, gradient = energy + stage.smooth.energy(pose), gradient + stage.smooth.gradient(pose)
        return energy, hessian, gradient

    def _alike(self, frames: int) -> float:
        """Factor by which a track's correlated errors reduce its frames' joint evidence."""
        return 1 + self.settings.correlation * (frames - 1)

    def _misfit(
        self, frames: _Frames, points: Tensor, jacobian: Tensor, root: Tensor, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The keypoints' energy (N,), Gauss-Newton matrix (N, D, D) and gradient (N, D).

        Args:
            frames: The frames.
            points: The body's keypoints [m], shape (N, K, 3).
            jacobian: Their derivatives, shape (N, K, 3, D).
            root: Where SMPL joint 0 is [m], shape (N, 3).
            scale: Width of the robust loss [m].
        """
        pixels, by_pixel = frames.projection.linearized(points, jacobian, root)
        difference = (pixels - frames.keypoints) / frames.unit[:, None, None]
        away = difference.square().sum(-1)
        fade = 1 + away / scale**2
        precision = frames.trust / self.settings.keypoint_noise**2
        weight = precision / fade.square()
        weighted = by_pixel * (weight / frames.unit[:, None])[..., None, None]
        weighted = weighted.flatten(1, 2).transpose(1, 2)
        hessian = weighted @ by_pixel.flatten(1, 2) / frames.unit[:, None, None]
        gradient = (weighted @ difference.flatten(1)[..., None]).squeeze(-1)
        return 0.5 * (precision * away / fade).sum(1), hessian, gradient

    def _turn_and_shift(self, frames: _Frames, bodies: Bodies, scale: float = 1.0, steps: int = 8) -> Bodies:
        """Rotates and translates bodies rigidly: the six unknowns of the root."""
        root = self._root(bodies)
        points = frames.composed(frames.parts[: frames.carried].posed(bodies.betas, bodies.rotmat, bodies.transl))
        offsets = points - root[:, None]
        turn = torch.eye(3).to(root).repeat(len(root), 1, 1)

        def linearized(state: SolverState, which: Tensor) -> tuple[Tensor, ...]:
            turn, root = state
            turned = offsets[which] @ turn.transpose(1, 2)
            jacobian = torch.cat([-skew(turned), torch.eye(3).to(turned).expand(*turned.shape, 3)], -1)
            points = turned + root[:, None]
            energy, hessian, gradient = self._misfit(frames.at(which), points, jacobian, root, scale)
            return energy, hessian + 1e-3 * torch.eye(6).to(root), gradient

        def moved(state: SolverState, system: tuple[Tensor, ...], damping: Tensor) -> SolverState:
            hessian, gradient = system
            step = newton_step(hessian, gradient, damping, None)
            step = step / step[:, :3].norm(dim=-1, keepdim=True).clamp_min(1.0)
            return axis_angle_to_matrix(step[:, :3]) @ state[0], state[1] + step[:, 3:]

        turn, root = minimize((turn, root), linearized, moved, steps, tolerance=0.0)
        rotmat = torch.cat([(turn @ bodies.rotmat[:, 0])[:, None], bodies.rotmat[:, 1:]], 1)
        return Bodies(rotmat, root - self.parts.rest_joints(bodies.betas)[:, 0], bodies.betas)


#: Least standard deviation of the root's acceleration [m/s^2].
_CALM = 0.5
#: Standard deviation of a given height [m].
_HEIGHT = 0.01
#: How often outline points are chosen, and the distance at which a point's influence fades [m].
_OUTLINES, _EDGE_SCALE = 2, 0.06
#: Duration within which nobody turns away and back [s]; cosines of the angles beyond which a root faces away and within
#: which two agree.
_MOMENT, _AWAY, _AGREES = 0.2, 0.0, 0.6
#: Typical speed of a joint relative to the root [m/s], and the distance at which its penalty saturates [m].
_WALK, _LEAP = 1.5, 0.3


def _split(values: Bodies | _Frames, size: int) -> list:
    count = len(values) if isinstance(values, _Frames) else len(values.betas)
    return [values.at(slice(begin, begin + size)) for begin in range(0, count, size)]


def _picked(candidates: list[Bodies], which: Tensor) -> Bodies:
    """Each frame's candidate with the index ``which`` (N,)."""
    every = torch.arange(len(which), device=which.device)
    return Bodies(*(torch.stack(values)[which, every] for values in zip(*candidates)))


def _flipped(root: Tensor, fps: float) -> Tensor:
    """Frames whose root (N, 3, 3) faces away from those shortly before and after, which agree: (N,) bool.

    Nobody turns away and back that quickly; the detector mistook front for back. Acceleration terms cannot correct it,
    because both directions are local minima.
    """
    count, reach = len(root), max(1, round(_MOMENT * fps))
    flipped = torch.zeros(count, dtype=torch.bool, device=root.device)
    if count < 3:
        return flipped

    def mark(which: slice, first: Tensor, last: Tensor) -> None:
        away = torch.maximum(_cosine(root[which], first), _cosine(root[which], last)) < _AWAY
        flipped[which] |= away & (_cosine(first, last) > _AGREES)

    for before in range(1, reach + 1):
        for after in range(1, min(reach, count - before - 1) + 1):
            mark(slice(before, count - after), root[: count - before - after], root[before + after :])
    mark(slice(0, 1), root[1:2], root[2:3])
    mark(slice(count - 1, count), root[-2:-1], root[-3:-2])
    return flipped


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    """Cosine of the angle between rotations (N, 3, 3) and others."""
    return ((first * second).sum((1, 2)) - 1) / 2


def _extent(offsets: Tensor, trust: Tensor) -> Tensor:
    """Longer side of the box round the seen points (N, K, 2): (N,) [px]."""
    seen = (trust > 0)[..., None]
    high = torch.where(seen, offsets, offsets.new_tensor(-torch.inf)).amax(1)
    low = torch.where(seen, offsets, offsets.new_tensor(torch.inf)).amin(1)
    return (high - low).amax(1).clamp_min(0).nan_to_num(0.0)


def _in_plane(turn: Tensor) -> Tensor:
    """In-plane rotations (N, 2, 2) as rotations about z (N, 3, 3)."""
    result = torch.eye(3).to(turn).repeat(len(turn), 1, 1)
    result[:, :2, :2] = turn
    return result


def _shared_step(hessian: Tensor, gradient: Tensor, damping: Tensor) -> Tensor:
    """The Gauss-Newton step (N, 75 + B) of frames that share their last B unknowns.

    The matrix is an arrowhead matrix: each frame's own unknowns are eliminated first (Schur complement).
    """
    schur, right, eliminated = _shape_system(hessian, gradient, damping)
    shape = -torch.linalg.solve(schur, right)
    pose = -(eliminated[..., -1] + eliminated[..., :-1] @ shape)
    return torch.cat([pose, shape.expand(len(pose), -1)], 1)


def _shape_system(hessian: Tensor, gradient: Tensor, damping: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The shape's equations after eliminating the poses, (B, B) and (B,), and the eliminating factors."""
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    damped = hessian + torch.diag_embed(damping[:, None] * diagonal + 1e-6 * diagonal.amax(1, keepdim=True))
    factor = torch.linalg.cholesky(damped[:, :75, :75])
    coupling = hessian[:, :75, 75:]
    eliminated = torch.cholesky_solve(torch.cat([coupling, gradient[:, :75, None]], 2), factor)
    schur = (damped[:, 75:, 75:] - coupling.transpose(1, 2) @ eliminated[..., :-1]).sum(0)
    right = (gradient[:, 75:] - (coupling.transpose(1, 2) @ eliminated[..., -1:]).squeeze(-1)).sum(0)
    return schur, right, eliminated
