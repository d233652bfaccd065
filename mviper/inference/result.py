"""Results of recovery: people as parameters over time, rendered and exported from there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp

from mviper.body import SMPL
from mviper.errors import ConfigError
from mviper.export import export_motions
from mviper.inference.build import Interval, build_of
from mviper.inference.camera_motion import CameraMotion
from mviper.inference.confidence import Confidence, stored_calibration
from mviper.inference.frames import FrameSource, Pictures
from mviper.inference.gravity import Gravity, estimate_gravity
from mviper.inference.ground import CAMERA_TO_WORLD, ground_height, level_rotation
from mviper.inference.optics import Optics
from mviper.inference.refit import refit
from mviper.inference.render import OverlaidPerson, draw_frames, write_overlay
from mviper.inference.smoothing import smooth_motion
from mviper.models.fitting import Bodies
from mviper.structures import KEYPOINTS, Camera, HumanData, Motion

#: Frames whose surfaces are computed per batch.
_CHUNK = 64
_LOWEST = [KEYPOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("heel", "bigtoe", "smalltoe")]


@dataclass(eq=False)
class RecoveredPerson:
    """One person over T consecutive frames; a surface point is ``SMPL(rotmat, betas) + transl`` in camera axes.

    Attributes:
        number: 1, 2, ...
        first: Number of the first frame in the video.
        times: Of the frames [s], shape (T,).
        rotmat: Rotations relative to the parent, the root's in camera axes, shape (T, 24, 3, 3).
        betas: One shape for all frames, so that bones keep their lengths, shape (10,).
        transl: Camera axes [m], shape (T, 3).
        boxes: The crops: centre x, centre y, side [px], shape (T, 3).
        landmarks: MediaPipe's, x, y [px] and visibility, NaN where the person was not found, shape (T, 33, 3).
        frame_betas: Each frame's own shape from the network, which is then drawn, shape (T, 10); None: ``betas`` in all
            frames.
        shape_covariance: Covariance of the fitted betas, shape (10, 10); None without a fit.
        contacts: Which points of the feet (:data:`mviper.inference.contacts.FEET`) rest on the ground, shape (T, 4);
            None if not estimated.
        gravity: Up, in the axes of the first frame's camera; the same for all people of a shot.
        ground: Height of the ground along up [m]; None if unknown.
        refit_error: Mean distance between the vertices of the recovered body and of the body it was refitted to [m],
            see :meth:`RecoveryResult.on_body`; None: not refitted.
        features: Features from which the confidence is computed (:func:`mviper.inference.confidence.frame_features`),
            (T, 8); None if not computed.
    """

    number: int
    first: int
    times: np.ndarray
    rotmat: np.ndarray
    betas: np.ndarray
    transl: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    frame_betas: np.ndarray | None = None
    shape_covariance: np.ndarray | None = None
    contacts: np.ndarray | None = None
    gravity: Gravity | None = None
    ground: float | None = None
    refit_error: float | None = None
    features: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rotmat)

    @property
    def shapes(self) -> np.ndarray:
        """Betas per frame, shape (T, 10)."""
        return np.tile(self.betas, (len(self), 1)) if self.frame_betas is None else self.frame_betas

    @property
    def confidence(self) -> Confidence | None:
        """Confidence of each frame and reasons for low confidence; None if not computed."""
        return None if self.features is None else stored_calibration().judge(self.features)

    @property
    def detected(self) -> np.ndarray:
        """Whether the detector found the person in each frame, shape (T,) bool."""
        return np.isfinite(self.landmarks).all((1, 2))


@dataclass
class RecoveryResult:
    """The people of one video.

    Attributes:
        source: The video.
        times: Of all its frames [s], shape (N,).
        fps: Frames per second, on average.
        optics: Focal length [px], its uncertainty and origin; the principal point is the image centre.
        people: The people, the one seen longest first.
        body: Their body model.
        cuts: Numbers of the frames that begin a new shot.
        camera: Camera rotation in each shot; None: the camera did not rotate.
    """

    source: FrameSource
    times: np.ndarray
    fps: float
    optics: Optics
    people: list[RecoveredPerson]
    body: SMPL
    cuts: tuple[int, ...] = ()
    camera: CameraMotion | None = None

    def __post_init__(self) -> None:
        if self.camera is None:
            count = len(self.times)
            self.camera = CameraMotion(np.tile(np.eye(3), (count, 1, 1)), np.ones(count, bool), np.ones(count, bool))
        for person in self.people:
            if person.gravity is None:
                together = self.in_shot_of(person)
                joints = [self.joints(other) @ self.turns_of(other) for other in together]
                gravity = estimate_gravity(joints, self.fps)
                for other in together:
                    other.gravity = other.gravity or gravity

    def turns_of(self, person: RecoveredPerson) -> np.ndarray:
        """The camera's rotations in a person's frames, from the axes of the shot's first frame, shape (T, 3, 3)."""
        return self.camera.rotation[person.first : person.first + len(person)]

    def in_shot_of(self, person: RecoveredPerson) -> list[RecoveredPerson]:
        """The people of a person's shot, the one seen longest first; no person is in two shots."""
        shot = np.searchsorted(self.cuts, person.first, "right")
        return [other for other in self.people if np.searchsorted(self.cuts, other.first, "right") == shot]

    @property
    def focal(self) -> float:
        """Focal length [px]."""
        return self.optics.focal

    @property
    def intrinsics(self) -> np.ndarray:
        """Intrinsics [px], shape (3, 3)."""
        width, height = self.source.width, self.source.height
        return np.array([[self.focal, 0, (width - 1) / 2], [0, self.focal, (height - 1) / 2], [0, 0, 1]])

    def meshes(self, person: RecoveredPerson) -> Iterator[np.ndarray]:
        """A person's surface in camera axes, frame by frame [m], each (V, 3)."""
        for vertices, _ in self._posed(person, True):
            yield from vertices

    def joints(self, person: RecoveredPerson) -> np.ndarray:
        """A person's keypoints in camera axes [m], shape (T, 44, 3)."""
        return np.concatenate([joints for _, joints in self._posed(person, False)])

    def keypoints2d(self, person: RecoveredPerson) -> np.ndarray:
        """A person's keypoints in the picture [px], shape (T, 44, 2)."""
        image = self.joints(person) @ self.intrinsics.T
        return image[..., :2] / image[..., 2:]

    @torch.no_grad()
    def _posed(self, person: RecoveredPerson, surface: bool) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
        for start in range(0, len(person), _CHUNK):
            betas, rotmat, transl = (
                torch.as_tensor(values[start : start + _CHUNK], dtype=torch.float32)
                for values in (person.shapes, person.rotmat, person.transl)
            )
            output = self.body(betas, rotmat, transl, return_vertices=surface)
            yield (output.vertices.numpy() if surface else None), output.joints.numpy()

    def motion(self, person: RecoveredPerson, frame: str = "world") -> Motion:
        """A person's motion at the video's mean frame rate (interpolated if the rate is not constant).

        Args:
            person: Whose.
            frame: ``"world"``: level, not rotating with the camera, feet on the floor, the shot's first person starting
                above the origin; ``"camera"``: the camera at the origin, its vertical axis as up. In both, z is up and
                the camera looks north (in the world: in the shot's first frame).

        Returns:
            The motion.
        """
        if frame == "world":
            rotmat, transl = self.levelled(person)
        elif frame == "camera":
            pelvis = self.joints(person)[:, 0] @ CAMERA_TO_WORLD.T
            rotmat, transl = _turned(person.rotmat, CAMERA_TO_WORLD), pelvis - self.rest_pelvis(person.betas)
        else:
            raise ValueError(f"frame={frame!r}, expected 'world' or 'camera'")
        rotmat, transl = _at_constant_rate(rotmat, transl, person.times, self.fps)
        poses = Rotation.from_matrix(rotmat.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 24, 3)
        return Motion(
            poses, transl, person.betas, self.fps, self.body.body_model_id, self.source.path.stem, f"{person.number}"
        )

    def levelled(self, person: RecoveredPerson) -> tuple[np.ndarray, np.ndarray]:
        """A person's rotations (T, 24, 3, 3) and translations (T, 3) [m] in the world of :meth:`motion`, per frame."""
        first = self.in_shot_of(person)[0]
        level = level_rotation(person.gravity.up)
        origin = level @ (self.joints(first)[:1] @ self.turns_of(first)[:1])[0, 0]
        rest = self.rest_pelvis(person.betas)
        own = self.joints(person) @ self.turns_of(person) @ level.T
        if person.ground is None:
            floor = ground_height(own[:, _LOWEST, 2].min(1), self.fps)
        else:
            floor = np.full(len(own), person.ground)
        pelvis = own[:, 0] - np.stack([np.full_like(floor, origin[0]), np.full_like(floor, origin[1]), floor], axis=1)
        return _turned(person.rotmat, level @ self.turns_of(person).transpose(0, 2, 1)), pelvis - rest

    def rest_pelvis(self, betas: np.ndarray) -> np.ndarray:
        """Where a body's pelvis is before it is translated [m], shape (3,)."""
        return self.body.rest_joints(torch.as_tensor(betas, dtype=torch.float32)[None])[0, 0].numpy().astype(float)

    def human_data(self, person: RecoveredPerson) -> HumanData:
        """A person as HumanData in the camera's frame: parameters, 3D and 2D joints, boxes."""
        joints, image = self.joints(person), self.keypoints2d(person)
        count, ones = len(person), np.ones((len(person), len(KEYPOINTS), 1))
        axis_angle = Rotation.from_matrix(person.rotmat.reshape(-1, 3, 3)).as_rotvec().reshape(count, 24, 3)
        corner = person.boxes[:, :2] - person.boxes[:, 2:] / 2
        width, height = self.source.width, self.source.height
        camera = Camera(self.intrinsics, np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3)), width, height)
        numbers = np.arange(person.first, person.first + count)
        pictures = isinstance(self.source, Pictures)
        stem = self.source.path.stem
        return HumanData(
            np.concatenate([image, ones], -1),
            np.concatenate([joints, ones], -1),
            np.concatenate([corner, person.boxes[:, [2, 2]], np.ones((count, 1))], 1),
            {
                "global_orient": axis_angle[:, 0], "body_pose": axis_angle[:, 1:],
                "betas": person.shapes, "transl": person.transl,
            },
            body_model=self.body.body_model_id,
            image_path=[
                self.source.paths[number].name if pictures else f"{stem}/{number:06d}.png" for number in numbers
            ],
            video_path="" if pictures else self.source.path.name,
            frame_idx=numbers,
            camera=camera,
            meta={"gender": ["n"] * count, "height": height, "width": width},
        )  # fmt: skip

    def build(self, person: RecoveredPerson) -> dict[str, Interval]:
        """A person's build (:func:`mviper.inference.build.build_of`); empty if the shape was not fitted."""
        if person.shape_covariance is None:
            return {}
        return build_of(self.body, person.betas.astype(float), person.shape_covariance.astype(float))

    def summary(self) -> dict[str, object]:
        """A short summary as plain numbers and text."""
        return {
            "frames": len(self.times),
            "frames_per_second": round(self.fps, 3),
            "focal_length": {
                "pixels": round(self.optics.focal, 1), "spread": round(self.optics.spread, 3), "by": self.optics.origin
            },
            "shots_begin": [0, *map(int, self.cuts)],
            "camera_still": [bool(self.camera.still[first]) for first in (0, *self.cuts)],
            "people": [
                {
                    "number": person.number, "first_frame": int(person.first), "frames": len(person),
                    "frames_seen": int(person.detected.sum()),
                    "up_in_camera": [round(float(x), 4) for x in person.gravity.up],
                    "up_uncertainty_degrees": round(float(np.degrees(person.gravity.uncertainty)), 1),
                    **({} if person.refit_error is None else {"refit_error_m": round(person.refit_error, 4)}),
                    "build": {
                        name: {"value": round(each.value, 3), "90_percent": [round(each.low, 3), round(each.high, 3)]}
                        for name, each in self.build(person).items()
                    },
                    **({} if person.confidence is None else person.confidence.summary()),
                }
                for person in self.people
            ],
        }  # fmt: skip

    def pictures(self, *, skeleton: bool = True, bar: bool = True, **options) -> Iterator[np.ndarray]:
        """Yields the frames with the bodies drawn over them and a rotated view next to them.

        Args:
            skeleton: Draws the joints and the track number.
            bar: Adds a bar with each frame's confidence and reasons for low confidence.
            **options: See :func:`mviper.inference.render.draw_frames`.
        """
        people = [
            OverlaidPerson(
                person.number,
                range(person.first, person.first + len(person)),
                self.meshes(person),
                self.keypoints2d(person) if skeleton else None,
                person.confidence if bar else None,
            )
            for person in self.people
        ]
        yield from draw_frames(self.source, people, self.body.faces, self.intrinsics, len(self.times), **options)

    def render(self, path: str | Path, **options) -> Path:
        """Writes the overlay as a video, or as an image for a photo.

        Args:
            path: Ends in ``.mp4``, or in an image format for a photo.
            **options: See :meth:`pictures`.

        Returns:
            The path.

        Raises:
            ConfigError: The file ending does not fit the source.
        """
        return write_overlay(self.pictures(**options), path, self.source, self.fps, self.times)

    def export(
        self, path: str | Path, *, person: int | None = None, frame: str = "world", kind: str | None = None
    ) -> list[Path]:
        """Exports to a file for other programs; the file ending selects the format.

        Args:
            path: Ends in one of :data:`mviper.export.WRITERS`.
            person: Number of the person; None: everyone, in one file if the format supports it, else in ``NAME_1.bvh``,
                ``NAME_2.bvh``.
            frame: See :meth:`motion`.
            kind: ``"human_data"`` for a ``.npz`` with HumanData, in camera axes; otherwise AMASS's layout.

        Returns:
            The written files.

        Raises:
            ConfigError: No such person or format.
            MissingDependencyError: The format needs Blender, which is not installed.
        """
        path = Path(path)
        chosen = [each for each in self.people if person in (None, each.number)]
        if not chosen:
            raise ConfigError(f"there is no person {person}; {len(self.people)} were found, numbered from 1")
        if kind == "human_data":
            paths = [path] if len(chosen) == 1 else [path.with_stem(f"{path.stem}_{each.number}") for each in chosen]
            for each, place in zip(chosen, paths):
                self.human_data(each).save(place)
            return paths
        motions = [self.motion(each, frame) for each in chosen]
        starts = [round((each.times[0] - self.times[0]) * self.fps) for each in chosen]
        return export_motions(motions, path, self.body, starts)

    def on_body(self, body: SMPL) -> RecoveryResult:
        """The same people with another body model, see :func:`mviper.inference.refit.refit`."""
        people = []
        for person in self.people:
            count, shapes = len(person), person.frame_betas
            betas = np.tile(person.betas, (count, 1)) if shapes is None else shapes
            own = Bodies(*(torch.as_tensor(values).float() for values in (person.rotmat, person.transl, betas)))
            bodies, error = refit(self.body, body, own)
            rotmat, transl, betas = (values.numpy() for values in bodies)
            people.append(
                replace(
                    person,
                    rotmat=rotmat,
                    transl=transl,
                    betas=np.median(betas, axis=0),
                    frame_betas=None if shapes is None else betas,
                    shape_covariance=None,
                    refit_error=error,
                )
            )
        return replace(self, people=people, body=body)

    def smoothed(self, method: str | None) -> RecoveryResult:
        """The same with smoothed poses and translations, see :func:`mviper.inference.smoothing.smooth_motion`."""
        people = []
        for person in self.people:
            rotmat, transl = smooth_motion(person.rotmat, person.transl, person.times, method)
            people.append(replace(person, rotmat=rotmat, transl=transl))
        return replace(self, people=people)


def _turned(rotmat: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Poses with the root rotated to other axes, by one rotation (3, 3) or one per frame (T, 3, 3)."""
    rotmat = rotmat.astype(np.float64)
    rotmat[:, 0] = turn @ rotmat[:, 0]
    return rotmat


def _at_constant_rate(
    rotmat: np.ndarray, transl: np.ndarray, times: np.ndarray, fps: float
) -> tuple[np.ndarray, np.ndarray]:
    count = len(times)
    even = times[0] + np.arange(count) / fps
    if count < 2 or np.abs(times - even).max() < 0.25 / fps:
        return rotmat, transl
    even = times[0] + np.arange(round((times[-1] - times[0]) * fps) + 1) / fps
    even = even[even <= times[-1] + 1e-9].clip(max=times[-1])
    turned = [Slerp(times, Rotation.from_matrix(rotmat[:, j]))(even).as_matrix() for j in range(rotmat.shape[1])]
    return np.stack(turned, 1), np.stack([np.interp(even, times, column) for column in transl.T], axis=1)
