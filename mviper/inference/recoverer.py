"""From a video to moving bodies: tracking people, running the network over their crops, refining the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mviper.body import FITTED, LANDMARKS, SMPL, calibrated_points, to_keypoints
from mviper.datasets.transforms import CropClip
from mviper.engine import released_checkpoint
from mviper.errors import ConfigError, NobodyFound
from mviper.inference.bodies import lifted_bodies, network_bodies
from mviper.inference.camera_motion import Background, estimate_focal, measure_motion
from mviper.inference.confidence import frame_features
from mviper.inference.contacts import FEET, anchors, find_contacts, resting_places, runs
from mviper.inference.frames import Frame, FrameSource, ahead, open_frames
from mviper.inference.given import Detections, track_given
from mviper.inference.gravity import Gravity, estimate_gravity, line_segments, measured_up, plumb, steep_lines
from mviper.inference.live import LivePerson, recover_live
from mviper.inference.network import load_model, reads_landmarks, walk_landmarks, walk_tracks
from mviper.inference.optics import Optics
from mviper.inference.people import Track, track_people
from mviper.inference.result import RecoveredPerson, RecoveryResult
from mviper.inference.smoothing import METHODS
from mviper.inference.views import MORE_VIEWS
from mviper.models.fitting import Bodies, Masks, Outline, Projection, SMPLify, SMPLifySettings, Support
from mviper.shipped import NETWORK

#: Iterations of estimating up and resting feet in turn.
_ROUNDS = 2
#: Frames posed per batch.
_POSED = 256
#: Maximum number of frames in which vertical lines are detected.
_LINED = 16
#: A contact is taken back if holding it moves its leg's landmarks or those of the whole body by this much from the
#: detected ones, on average or in the median [m].
_LEG_CONTRADICTED, _BODY_CONTRADICTED = 0.035, 0.02
#: The landmarks of the left and of the right leg among those fitted.
_LEGS = [[FITTED.index(LANDMARKS.index(f"{side}_{part}")) for part in ("knee", "ankle", "heel", "foot_index")]
         for side in ("left", "right")]  # fmt: skip
#: Maximum number of fits to contacts.
_REVISIONS = 4
#: Standard deviation of the rotations that a network predicts, in the fit [rad].
_NETWORK_TRUST = 0.2
#: Weight of the fit's pose prior beside a network, which has learned poses itself.
_POSE_WEIGHT = 0.1


@dataclass
class Observation:
    """What is seen in a video, before bodies are recovered.

    Attributes:
        source: The video.
        times: Of its frames [s].
        tracks: Its people, the one seen longest first.
        cuts: Numbers of the frames that begin a new shot.
        background: Features of the background.
        lines: Ends of straight lines in some frames, by frame number, see
            :func:`mviper.inference.gravity.line_segments`.
    """

    source: FrameSource
    times: list[float]
    tracks: list[Track]
    cuts: list[int]
    background: Background
    lines: dict[int, np.ndarray]


class MeshRecoverer:
    """Recovers people's bodies from videos and photos.

    Args:
        config: A model's config, e.g. ``configs/mviper_r50.py``; None: no network, only the fit.
        checkpoint: Its weights, or the model that ``tools/export_model.py`` made of them (``.onnx``, ``.xml``). None:
            the released ones.
        body_model: File of the body model for the result. A network's result, which has the network's body model, is
            refitted to it at the end (:func:`mviper.inference.refit.refit`). None: the open body, or the network's own.
        refine: Whether to fit the result to the 2D joints (SMPLify over whole tracks), which then starts from the
            network's result and stays near it. None: without a network or with a released one.
        tta: Whether refinement uses test-time augmentation: detection also in mirrored and rotated images
            (:mod:`mviper.inference.views`).
        smoothing: ``"one_euro"``, ``"savgol"`` or None.
        max_people: Maximum number of people at once.
        focal: The camera's focal length [px]; None: from the file's metadata, else a guess
            (:mod:`mviper.inference.optics`), improved by the background's motion if the camera rotates.
        contacts: Whether the fit holds resting feet on the ground; not for skaters, swimmers, cyclists.
        stairs: Whether feet rest at several heights instead of on one floor.
        heights: People's heights [m], in the order of their numbers; others get a plausible height.
        clip_length: Frames per person and network batch.
        confidence: Detection threshold, 0 to 1.
        one_shape: Whether a network's bodies get one shape per track; otherwise each frame keeps the shape predicted
            for it. A refined track always has one shape.
        precision: Precision of the network, see :func:`mviper.inference.fast.accelerate`.

    Raises:
        ConfigError: A checkpoint without a config, or a config without weights; a value out of range.
        MissingDataError: No such checkpoint.
    """

    def __init__(
        self,
        config: str | Path | None = NETWORK,
        checkpoint: str | Path | None = None,
        *,
        body_model: str | Path | None = None,
        refine: bool | None = None,
        tta: bool = True,
        smoothing: str | None = None,
        max_people: int = 4,
        focal: float | None = None,
        contacts: bool = True,
        stairs: bool = False,
        heights: Sequence[float] = (),
        clip_length: int = 16,
        confidence: float = 0.5,
        one_shape: bool = True,
        precision: str = "float32",
    ) -> None:
        if config is None and checkpoint is not None:
            raise ConfigError(f"{checkpoint}: a checkpoint without a config: a network needs both")
        released = None if config is None or checkpoint is not None else released_checkpoint(config)
        if config is not None and checkpoint is None and released is None:
            raise ConfigError(f"{config}: a config without a checkpoint, and no weights are released for it")
        if smoothing is not None and smoothing not in METHODS:
            raise ConfigError(f"smoothing={smoothing!r}, expected one of {', '.join(METHODS)} or none")
        if focal is not None and not focal > 0:
            raise ConfigError(f"focal={focal}, expected a focal length in pixels, more than 0")
        if not all(0.4 <= height <= 2.6 for height in heights):
            raise ConfigError(f"height {' '.join(f'{each:g}' for each in heights)}: expected metres, from 0.4 to 2.6")
        if max_people < 1 or clip_length < 1:
            raise ConfigError(f"max_people={max_people} and clip_length={clip_length} must be 1 or more")
        if not 0 <= confidence <= 1:
            raise ConfigError(f"confidence={confidence}, expected a number from 0 to 1")
        self.model, self.crop = None, CropClip()
        if config is not None:
            self.model, self.crop = load_model(config, checkpoint or released, precision)
        self.body = SMPL(body_model) if self.model is None else self.model.body_model
        self.refit_to = None if self.model is None or body_model is None else SMPL(body_model)
        self.refine = (self.model is None or released is not None) if refine is None else refine
        self.views = MORE_VIEWS if self.refine and tta else ()
        self.smoothing, self.max_people, self.focal = smoothing, max_people, focal
        self.clip_length, self.confidence, self.one_shape = clip_length, confidence, one_shape
        self.contacts, self.stairs, self.heights = contacts, stairs, tuple(heights)
        if self.heights and not self.refine:
            raise ConfigError("a height is used only by the fit: add refinement, or give no height")

    def __call__(
        self,
        source: str | Path | FrameSource,
        box: Sequence[float] | None = None,
        progress: Callable[[str, int], None] | None = None,
        detections: str | Path | None = None,
    ) -> RecoveryResult:
        """Recovers the people in a video, a photo or a folder of pictures: :meth:`observe`, then :meth:`recover`.

        The frames are read twice (and again for each rendering) and not kept in memory.

        Args:
            source: File, folder, or frames.
            box: The person's position, if the detector does not find the person: left, top, width, height [px].
            progress: Called with the stage's name and the number of frames it has done.
            detections: A file of people found by another program (:meth:`mviper.inference.given.Detections.load`),
                which replaces detection.

        Returns:
            The people.

        Raises:
            ConfigError: A box without an area or outside the image, or both a box and detections.
            MissingDataError: No such file.
            NobodyFound: Nobody was found.
            FileFormatError: It cannot be read.
        """
        return self.recover(self.observe(source, box, progress, detections), progress)

    def observe(
        self,
        source: str | Path | FrameSource,
        box: Sequence[float] | None = None,
        progress: Callable[[str, int], None] | None = None,
        detections: str | Path | None = None,
    ) -> Observation:
        """Finds the people, cuts, background features and lines of a video; for the arguments see :meth:`__call__`."""
        if box is not None and detections is not None:
            raise ConfigError("give either a box or a file of detections, not both")
        given = None if detections is None else Detections.load(detections, self.confidence)
        source = source if isinstance(source, FrameSource) else open_frames(source)
        if box is not None:
            _check_box(box, source)
        seen = Observation(source, [], [], [], Background(), {})
        frames = _with_lines(_counted(source, "find people", progress), seen.lines, source.fps)
        common = {"times": seen.times, "views": self.views, "cuts": seen.cuts, "background": seen.background,
                  "masks": self.refine}  # fmt: skip
        if given is None:
            seen.tracks += track_people(frames, source.fps, self.max_people, box, self.confidence, **common)
        else:
            seen.tracks += track_given(frames, source.fps, given, self.confidence, **common)
        if not seen.tracks:
            count = len(seen.times)
            raise NobodyFound(
                f"{source.path}: no person found in {count} frame{'s' * (count != 1)}; if there is one, say where: "
                "--box LEFT TOP WIDTH HEIGHT"
            )
        return seen

    def recover(self, seen: Observation, progress: Callable[[str, int], None] | None = None) -> RecoveryResult:
        """Recovers the observed people.

        Args:
            seen: From :meth:`observe`; also of another recoverer, whose additional views are ignored if this one has
                none.
            progress: As in :meth:`__call__`.
        """
        source, times, tracks, cuts = seen.source, seen.times, list(seen.tracks), seen.cuts
        if not self.views:
            tracks = [replace(track, views=track.views[:0], views_world=track.views_world[:0]) for track in tracks]
        say = progress or (lambda stage, done: None)
        # The rate stated in the file is often rounded or wrong.
        fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else source.fps
        size = source.width, source.height
        optics = source.optics if self.focal is None else Optics(self.focal, 0.0, "given")
        optics = estimate_focal(seen.background, cuts, *size, optics)
        camera = measure_motion(seen.background, cuts, *size, optics.focal)
        squares = {track.number: track.squares(fps, self.crop.scale, self.crop.alignment) for track in tracks}
        phi: dict[int, Tensor] = {}
        if self.model is not None and reads_landmarks(self.model):
            phi = walk_landmarks(self.model, tracks, squares)
        elif self.model is not None:
            frames = _counted(source, "recover", progress)
            phi = walk_tracks(self.model, self.image_size, frames, tracks, squares, self.clip_length)
        people, starts, bodies, covariances, projections = [], [], [], [], []
        for at, track in enumerate(tracks):
            say(f"fit person {track.number}" if self.refine else f"person {track.number}", 0)
            height = self.heights[len(bodies)] if len(bodies) < len(self.heights) else None
            projections.append(Projection.of_picture(len(track), source.width, source.height, optics.focal))
            tracks[at], start = self._first_bodies(
                track, squares[track.number], phi.get(track.number), projections[-1], fps
            )
            starts.append(start)
            fitted, covariance = self._fitted(tracks[at], start, projections[-1], fps, height)
            bodies.append(fitted)
            covariances.append(covariance)
        lines = {}
        for number, ends in seen.lines.items():
            boxes = [squares[track.number][0][number - track.first] for track in tracks
                     if track.first <= number < track.first + len(track)]  # fmt: skip
            lines[number] = steep_lines(ends, *size, optics.focal, boxes)
        if self.refine:
            say("feet on the ground", 0)
        stands = {}
        for shot in pairwise([0, *cuts, len(times)]):
            own = [at for at, track in enumerate(tracks) if shot[0] <= track.first < shot[1]]
            lined = [number for number in lines if shot[0] <= number < shot[1]]
            steep = plumb([lines[number] for number in lined], camera.rotation[lined], optics.spread)
            measured = None if shot[0] else measured_up(source.metadata)  # of the first picture
            found = self._grounded([tracks[at] for at in own], [bodies[at] for at in own],
                                   [projections[at] for at in own], [starts[at] for at in own], camera.rotation, steep,
                                   measured, fps)  # fmt: skip
            stands.update(zip(own, found))
        for at, track in enumerate(tracks):
            each, gravity, resting, ground = stands[at]
            betas = each.betas.numpy()
            span = slice(track.first, track.first + len(track))
            people.append(
                RecoveredPerson(
                    track.number,
                    track.first,
                    np.asarray(times[span]),
                    each.rotmat.numpy(),
                    np.median(betas, axis=0),
                    each.transl.numpy(),
                    squares[track.number][0],
                    track.landmarks,
                    betas if (betas != betas[0]).any() else None,
                    covariances[at],
                    resting,
                    gravity,
                    ground,
                )
            )
        result = RecoveryResult(source, np.asarray(times), fps, optics, people, self.body, tuple(cuts), camera)
        for person, track in zip(people, tracks):
            joints, image = result.joints(person), result.keypoints2d(person)
            person.features = frame_features(track, joints, image, fps, *size)
        result = result if self.refit_to is None else result.on_body(self.refit_to)
        return result.smoothed(self.smoothing) if self.smoothing else result

    @property
    def image_size(self) -> int:
        """Side of the network's crops [px]."""
        return self.crop.size

    def _first_bodies(
        self,
        track: Track,
        square: tuple[np.ndarray, np.ndarray],
        phi: Tensor | None,
        projection: Projection,
        fps: float,
    ) -> tuple[Track, Bodies]:
        """A track's bodies predicted by the network, or else from the landmarks.

        The prediction guides the reconciliation of several views; a network on landmarks reads the result once more.

        Returns:
            The track, with its guide, and the bodies.
        """
        if phi is None:
            return track, lifted_bodies(self.body, track.reconciled, square[0], projection)
        one_shape = self.one_shape or self.refine
        bodies = network_bodies(self.model, phi, square[0], projection, square[1], one_shape)
        if len(track.views):
            guide = np.full((len(track), len(LANDMARKS), 2), np.nan)
            guide[:, FITTED] = self._drawn(bodies, projection)[0].numpy()
            track = replace(track, guide=guide)
            if reads_landmarks(self.model):
                square = track.reconciled.squares(fps, self.crop.scale, self.crop.alignment)
                phi = walk_landmarks(self.model, [track.reconciled], {track.number: square})[track.number]
                bodies = network_bodies(self.model, phi, square[0], projection, square[1], one_shape)
        return track, bodies

    def _fitted(
        self, track: Track, start: Bodies, projection: Projection, fps: float, height: float | None
    ) -> tuple[Bodies, np.ndarray | None]:
        """A track's bodies fitted, if requested.

        Returns:
            The bodies and, where they were fitted, the covariance of their shape.
        """
        if not (self.refine and track.detected.any()):
            return start, None
        seen = torch.from_numpy(track.reconciled.landmarks[:, FITTED]).float()
        masks = None
        if track.masks:
            probabilities, squares = (np.stack(values) for values in zip(*track.masks.values()))
            masks = Masks.of_probabilities(list(track.masks), probabilities / 255.0, squares)
        fit = self._fitter.fit(seen, projection, start=start, tracks=[len(track)], fps=fps, masks=masks, height=height)
        return fit.bodies, fit.shape_covariance[0].numpy()

    def _grounded(
        self,
        tracks: list[Track],
        bodies: list[Bodies],
        projections: list[Projection],
        starts: list[Bodies],
        turns: np.ndarray,
        lines: np.ndarray | None,
        measured: np.ndarray | None,
        fps: float,
    ) -> list[tuple[Bodies, Gravity, np.ndarray | None, float | None]]:
        """Estimates up in a shot and, if bodies are fitted, the support of feet, in turn; for each person."""
        joints = [self._steady_joints(track, each, turns) for track, each in zip(tracks, bodies)]
        gravity = estimate_gravity(joints, fps, lines=lines, measured=measured)
        found = [(each, gravity, None, None) for each in bodies]
        for number in range(_ROUNDS if self.refine and self.contacts else 0):
            contacts = [find_contacts(each[:, FEET], gravity.up, fps, gravity.uncertainty, _seen_feet(track))
                        for track, each in zip(tracks, joints)]  # fmt: skip
            if number == 0:  # bodies that stand on a floor already would confirm it
                steps = [resting_places(each[:, FEET], resting, _seen_feet(track))
                         for track, each, resting in zip(tracks, joints, contacts)]  # fmt: skip
                gravity = estimate_gravity(joints, fps, steps, lines, measured)
            stood = [
                self._stood(track, each, start, projection, turns, places[:, FEET], resting, gravity, fps)
                for track, each, start, projection, places, resting in zip(
                    tracks, bodies, starts, projections, joints, contacts
                )
            ]
            found = [(each, gravity, resting, ground) for each, ground, resting in stood]
            bodies = [each for each, *_ in found]
            joints = [self._steady_joints(track, each, turns) for track, each in zip(tracks, bodies)]
        return found

    def _stood(
        self,
        track: Track,
        bodies: Bodies,
        start: Bodies,
        projection: Projection,
        turns: np.ndarray,
        feet: np.ndarray,
        resting: np.ndarray,
        gravity: Gravity,
        fps: float,
    ) -> tuple[Bodies, float | None, np.ndarray]:
        """Fits a person whose feet (T, 4, 3) are held where they rest, without contacts that the landmarks contradict.

        Returns:
            The bodies, the height of the ground, and the remaining contacts (T, 4).
        """
        fitter, resting, up = self._fitter, resting.copy(), None if self.stairs else gravity.up
        seen = torch.from_numpy(track.reconciled.landmarks[:, FITTED]).float()
        own = turns[track.first :][: len(feet)]
        before = self._misfit(track, bodies, projection)
        for left in reversed(range(_REVISIONS)):
            if not resting.any():
                return bodies, None, resting
            places, ground = anchors(feet, resting, fitter.standing.clearance.numpy(), up, _seen_feet(track),
                                     gravity.uncertainty)  # fmt: skip
            support = Support(
                torch.from_numpy(places @ own.transpose(0, 2, 1)).float(),
                torch.from_numpy(own @ gravity.up).float(),
                torch.full((len(places),), float("nan") if ground is None else ground),
            )
            fitted = fitter.stand(seen, projection, bodies, support, fps, start).bodies
            misfit = self._misfit(track, fitted, projection) - before
            wrong = [(point, span) for point, span in runs(resting)
                     if misfit[span, point // 2].mean() > _LEG_CONTRADICTED
                     or misfit[span, 2].mean() > _BODY_CONTRADICTED]  # fmt: skip
            if not wrong or not left:
                break
            point, span = max(wrong, key=lambda run: np.linalg.norm((places - feet)[run[1], run[0]], axis=-1).mean())
            resting[span, point] = False  # it was moved farthest
        return fitted, ground, resting

    def _misfit(self, track: Track, bodies: Bodies, projection: Projection) -> np.ndarray:
        """Distance of the body's landmarks from the detected ones [m at the person's depth], (T, 3).

        Mean over the left and over the right leg, and median over the body.
        """
        seen = torch.from_numpy(track.reconciled.landmarks[:, FITTED]).float()
        drawn, depth = self._drawn(bodies, projection)
        away = (drawn - seen[..., :2]).norm(dim=-1) * (depth / projection.focal)[:, None]
        parts = torch.stack([*(away[:, leg].mean(1) for leg in _LEGS), away.nanmedian(1).values], 1)
        return parts.nan_to_num().numpy()  # frames without a detection contradict nothing

    def _drawn(self, bodies: Bodies, projection: Projection) -> tuple[Tensor, Tensor]:
        """Where bodies have the landmarks of :data:`FITTED` [px], (T, K, 2), and their roots' depth [m], (T,)."""
        fitter = self._fitter
        root = bodies.transl + fitter.parts.rest_joints(bodies.betas)[:, 0]
        return projection.project(fitter.points.posed(bodies.betas, bodies.rotmat, bodies.transl), root), root[:, 2]

    def _steady_joints(self, track: Track, bodies: Bodies, turns: np.ndarray) -> np.ndarray:
        """Keypoints in the axes of the first frame's camera [m], (T, 44, 3)."""
        parts = zip(*(values.split(_POSED) for values in (bodies.betas, bodies.rotmat, bodies.transl)))
        joints = torch.cat([self.body(*part, return_vertices=False).joints for part in parts]).numpy().astype(float)
        return joints @ turns[track.first :][: len(joints)]

    @cached_property
    def _fitter(self) -> SMPLify:
        points, noise, correlation, outline = calibrated_points(self.body)
        settings = SMPLifySettings(correlation=correlation, acceleration=5.0)
        if self.model is not None:
            settings = replace(settings, start=_NETWORK_TRUST, pose_weight=_POSE_WEIGHT)
        return SMPLify(self.body, settings=settings, points=points, noise=noise, outline=Outline(self.body, **outline))

    def stream(self, frames: Iterable[Frame], fps: float = 30.0) -> Iterator[tuple[Frame, list[LivePerson]]]:
        """Live recovery: each frame once, using only earlier frames (:mod:`mviper.inference.live`).

        Args:
            frames: E.g. :func:`mviper.inference.camera_frames`.
            fps: Approximate frames per second.

        Returns:
            Each frame with the people in it.

        Raises:
            ConfigError: No network: a fit needs the whole track.
        """
        if self.model is None:
            raise ConfigError("live recovery needs a network: give a config and a checkpoint")
        return recover_live(
            frames, self.model, self.crop, fps=fps, max_people=self.max_people, focal=self.focal,
            confidence=self.confidence,
        )  # fmt: skip


def _with_lines(frames: Iterable[Frame], segments: dict[int, np.ndarray], fps: float) -> Iterator[Frame]:
    """Yields the frames; stores the straight lines of one per second (fewer in long videos) by frame number."""
    step = max(1, round(fps))
    for frame in frames:
        if frame.number % step == 0:
            segments[frame.number] = line_segments(frame.image)
            if len(segments) > _LINED:
                step *= 2
                for number in [number for number in segments if number % step]:
                    del segments[number]
        yield frame


def _seen_feet(track: Track) -> np.ndarray:
    """Visibility of :data:`mviper.inference.contacts.FEET` in the landmarks, (T, 4)."""
    return np.nan_to_num(to_keypoints(track.reconciled.landmarks)[:, FEET, 2])


def _check_box(box: Sequence[float], source: FrameSource) -> None:
    left, top, width, height = box
    inside = -width < left < source.width and -height < top < source.height
    if not (0 < width < np.inf and 0 < height < np.inf and inside):
        raise ConfigError(
            f"{source.path}: box {left:g} {top:g} {width:g} {height:g}, expected left, top, width and height of a box "
            f"in a picture of {source.width} x {source.height} pixels, width and height above 0"
        )


def _counted(source: Iterable[Frame], stage: str, progress: Callable[[str, int], None] | None) -> Iterator[Frame]:
    for frame in ahead(source):
        yield frame
        if progress is not None:
            progress(stage, frame.number + 1)
