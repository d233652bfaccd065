"""People in videos: found and followed by MediaPipe, joined to tracks, lost and found again.

Both networks of MediaPipe's BlazePose (Apache-2.0) lie in its wheel. They are packed into a bundle for MediaPipe's task
``PoseLandmarker``, which, unlike the older ``solutions.pose``, follows several people.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.optimize import linear_sum_assignment

from mviper.datasets import crop_squares
from mviper.extras import give_back_memory, import_extra, quiet
from mviper.inference.camera_motion import Background
from mviper.inference.frames import Frame
from mviper.inference.landmarks import to_keypoints
from mviper.inference.looks import Look, reconciled
from mviper.inference.shots import with_cuts

#: Longer side of the pictures that the detector gets at most [px]; it looks at people in 256 x 256.
_DETECTOR_SIDE = 960
#: A person lost for longer than this, and found again, is another person [s].
_LOST_FOR = 2.0
#: Frames without anybody that are kept, to look at them backwards once a person is found.
_KEPT_FRAMES = 60
#: How far a person's joints may jump from frame to frame, in sides of the box.
_LARGEST_JUMP = 0.5
#: Two poses as near to each other are one person seen twice, in sides of the box.
_DOUBLED = 0.15
#: Tracks shorter than this are taken for false finds [s].
_SHORTEST_TRACK = 0.3
#: Cells along a side of a person's mask, and the side in sides of the landmarks' box.
_MASK_SIDE, _MASK_MARGIN = 96, 1.35
#: Frames of a track whose masks are kept, at most: of two that follow each other the clearer one.
_MASKS = 48
#: Standard deviation of the boxes' smoothing in time [s].
_BOX_SMOOTHING = 0.1


@dataclass
class Pose:
    """One person in one frame as MediaPipe sees it.

    Attributes:
        points: x, y [px], visibility, shape (33, 3), of :data:`mviper.inference.landmarks.LANDMARKS`.
        world: [m], camera axes' directions, the hips' middle at 0, shape (33, 3).
        mask: How likely each cell of a square is the person's, 0 to 255, shape (G, G) uint8, if it was asked for.
        square: The square: centre x, centre y, side [px], shape (3,).
    """

    points: np.ndarray
    world: np.ndarray
    mask: np.ndarray | None = None
    square: np.ndarray | None = None

    @property
    def box(self) -> tuple[np.ndarray, float]:
        """Centre [px] (2,) and longer side [px] of the landmarks' bounding box."""
        low, high = self.points[:, :2].min(0), self.points[:, :2].max(0)
        return (low + high) / 2, float((high - low).max())


@dataclass
class Track:
    """One person over a stretch of frames without a gap; where it was lost, landmarks are NaN.

    Attributes:
        number: 1, 2, ...
        first: Number of the first frame.
        landmarks: x, y [px], visibility, shape (T, 33, 3) float32.
        world: [m], shape (T, 33, 3) float32.
        boxes: Given by hand: centre x, centre y, side [px], shape (T, 3); None: they follow from the landmarks.
        looks: Landmarks as more looks saw them, shape (L, T, 33, 3) float32; L = 0 if there were none.
        looks_world: Theirs in space [m], shape (L, T, 33, 3) float32.
        masks: Of the clearest frames (counted from the first), what they show of the person, as :class:`Pose` has it.
    """

    number: int
    first: int
    landmarks: np.ndarray
    world: np.ndarray
    boxes: np.ndarray | None = None
    looks: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 33, 3), np.float32))
    looks_world: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 33, 3), np.float32))
    masks: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def detected(self) -> np.ndarray:
        """In which frames the person was found, shape (T,) bool."""
        return np.isfinite(self.landmarks).all((1, 2))

    def reconciled(self) -> Track:
        """The same with the landmarks that all looks together say."""
        if not len(self.looks):
            return self
        every = (self.landmarks, self.looks), (self.world, self.looks_world)
        landmarks, world = reconciled(*(np.concatenate([first[None], more]) for first, more in every))
        return replace(self, landmarks=landmarks, world=world)

    def crops(self, fps: float) -> np.ndarray:
        """The upright boxes of :meth:`squares`."""
        return self.squares(fps)[0]

    def squares(
        self, fps: float, scale: float | None = None, alignment: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squares as training cuts them, smooth in time, filled where the person was lost.

        Args:
            fps: Frames per second.
            scale: As of :func:`mviper.datasets.crop.crop_squares`.
            alignment: As of :func:`mviper.datasets.crop.crop_squares`.

        Returns:
            Centre x, centre y, side [px], shape (T, 3), and the picture's turn in each [rad], shape (T,); boxes that
            were given by hand are upright.
        """
        if self.boxes is not None:
            return self.boxes, np.zeros(len(self.boxes))
        boxes, turns = crop_squares(to_keypoints(self.landmarks), None, scale, alignment)
        squares = np.concatenate([boxes, np.unwrap(turns)[:, None]], axis=1)
        if len(squares) >= 3:
            squares = median_filter(squares, (3, 1), mode="nearest")
            squares = gaussian_filter1d(squares, max(_BOX_SMOOTHING * fps, 1e-3), axis=0, mode="nearest")
        return squares[:, :3], squares[:, 3]


@functools.cache
def _model_bundle() -> bytes:
    """MediaPipe's own detector and landmark network in the form that its task takes."""
    mediapipe = import_extra("mediapipe")
    writers = import_extra("mediapipe.tasks.python.metadata.metadata_writers.metadata_writer")
    bundles = import_extra("mediapipe.tasks.python.metadata.metadata_writers.model_asset_bundle_utils")
    folder = Path(mediapipe.__file__).parent / "modules"
    networks = {}
    for name, path, mean, std in (
        ("pose_detector.tflite", "pose_detection/pose_detection.tflite", 127.5, 127.5),
        ("pose_landmarks_detector.tflite", "pose_landmark/pose_landmark_full.tflite", 0.0, 255.0),
    ):
        writer = writers.MetadataWriter.create(bytearray((folder / path).read_bytes()))
        writer.add_image_input([mean], [std])
        networks[name] = bytes(writer.populate()[0])
    content = io.BytesIO()
    with bundles.AlignZipFile(content, mode="w", alignment=4) as archive:
        for name, network in networks.items():
            archive.writestr(name, network)
    return content.getvalue()


class PoseDetector:
    """MediaPipe's pose landmarker.

    Args:
        max_people: How many people it may find at once.
        follow: Pictures are those of a video, each person is followed from the last; else each stands for itself.
        confidence: How sure it must be of a person, 0 to 1.
        look: How it turns pictures before it looks at them.
        masks: Whether people's masks are wanted; of pictures as they are.

    Raises:
        MissingDependencyError: MediaPipe is not installed.
    """

    def __init__(
        self,
        max_people: int = 4,
        follow: bool = True,
        confidence: float = 0.5,
        look: Look | None = None,
        masks: bool = False,
    ) -> None:
        mediapipe = import_extra("mediapipe")
        tasks, vision = mediapipe.tasks, mediapipe.tasks.vision
        self._image = lambda data: mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)
        self._follow, self._count, self._look = follow, 0, look or Look()
        options = vision.PoseLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_buffer=_model_bundle()),
            running_mode=vision.RunningMode.VIDEO if follow else vision.RunningMode.IMAGE,
            num_poses=max_people,
            min_pose_detection_confidence=confidence,
            min_pose_presence_confidence=confidence,
            min_tracking_confidence=confidence,
            output_segmentation_masks=masks,
        )
        with quiet(2):
            self._landmarker = vision.PoseLandmarker.create_from_options(options)

    def __call__(self, image: np.ndarray, region: tuple[int, int, int, int] | None = None) -> list[Pose]:
        """Finds people.

        Args:
            image: RGB uint8, shape (H, W, 3).
            region: Only look there: left, top, right, bottom [px]; may reach beyond the picture.

        Returns:
            The people, in the picture's pixels.
        """
        left, top, right, bottom = region or (0, 0, image.shape[1], image.shape[0])
        part = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if not part.size:
            return []
        beyond = (max(-top, 0), max(bottom - image.shape[0], 0), max(-left, 0), max(right - image.shape[1], 0))
        if any(beyond):
            part = cv2.copyMakeBorder(part, *beyond, cv2.BORDER_CONSTANT)
        scale = min(1.0, _DETECTOR_SIDE / max(part.shape[:2]))
        if scale < 1:
            part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture = self._image(self._look.turned(part))
        self._count += 1
        with contextlib.nullcontext() if self._count > 1 else quiet(2):  # the first picture makes it talk once more
            if self._follow:  # time stamps [ms] must grow; their pace only steers the smoothing
                found = self._landmarker.detect_for_video(picture, 33 * self._count)
            else:
                found = self._landmarker.detect(picture)
        size, corner = np.array([right - left, bottom - top]), np.array([left, top])
        poses = []
        for points, world in zip(found.pose_landmarks, found.pose_world_landmarks):
            points, world = self._look.undone(
                np.array([[p.x, p.y, p.visibility] for p in points], np.float32),
                np.array([[p.x, p.y, p.z] for p in world], np.float32),
            )
            points[:, :2] = size * points[:, :2] + corner - 0.5
            poses.append(Pose(points, world))
        for pose, mask in zip(poses, found.segmentation_masks or ()):
            middle, side = pose.box
            pose.square = np.array([*middle, _MASK_MARGIN * side], np.float32)
            step = pose.square[2] / _MASK_SIDE  # the cells' centres in the detector's picture
            first = (middle - (_MASK_SIDE - 1) / 2 * step - corner + 0.5) * scale - 0.5
            turn = np.array([[step * scale, 0, first[0]], [0, step * scale, first[1]]])
            cells = cv2.warpAffine(
                mask.numpy_view(), turn, (_MASK_SIDE, _MASK_SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            )
            pose.mask = np.round(255 * cells).clip(0, 255).astype(np.uint8)
        return poses

    def close(self) -> None:
        """Ends it."""
        self._landmarker.close()


@dataclass
class _OpenTrack:
    """A track that may go on: its poses by frame, the last of these frames, and what more looks saw in them."""

    number: int
    last: int
    poses: dict[int, Pose] = field(default_factory=dict)
    looks: dict[int, list[Pose | None]] = field(default_factory=dict)
    masks: dict[int, tuple[float, np.ndarray, np.ndarray]] = field(default_factory=dict)
    every: int = 1

    def add(self, frame: int, pose: Pose) -> None:
        self.poses[frame], self.last = pose, frame
        mask, square, pose.mask, pose.square = pose.mask, pose.square, None, None  # most are not kept
        if mask is not None and frame % self.every == 0:
            self.masks[frame] = float(pose.points[:, 2].mean()), mask, square
            if len(self.masks) > 2 * _MASKS:
                self.every *= 2
                self.masks = dict(_clearer(list(self.masks.items())))


class PeopleTracker:
    """Finds people in a video and follows them, frame by frame.

    People that fill too little of the picture for the detector are looked for in tiles of it; from then on it looks
    at the region round them. Frames before a person was found (or found again) are looked at once more, backwards.

    Args:
        fps: Of the video.
        max_people: How many people at once at most.
        box: A region to look in, given by hand: left, top, width, height [px].
        confidence: How sure the detector must be, 0 to 1.
        looks: More looks that are had at those who are seen.
        live: Nothing is kept of what was: no looking backwards, no tracks at the end, memory that does not grow.
        masks: Whether the masks of the clearest frames are kept.
    """

    def __init__(
        self,
        fps: float,
        max_people: int = 4,
        box: Sequence[float] | None = None,
        confidence: float = 0.5,
        looks: Sequence[Look] = (),
        live: bool = False,
        masks: bool = False,
    ) -> None:
        self.fps, self.max_people, self.confidence, self.looks = fps, max_people, confidence, tuple(looks)
        self.live, self.masks, self._numbers = live, masks, itertools.count(1)
        self._detector = PoseDetector(max_people, confidence=confidence, masks=self.masks)
        self._more: list[PoseDetector] = []  # one for each of the looks
        self._more_people, self._more_region = 0, None
        self._searcher: PoseDetector | None = None
        self._region: tuple[int, int, int, int] | None = None
        self._fixed = None if box is None else _widened(box)
        self._unseen: deque[tuple[int, np.ndarray]] = deque(maxlen=_KEPT_FRAMES)  # since somebody was last seen: JPEG
        self._missing = 0
        self._tracks: list[_OpenTrack] = []
        self._alive: list[_OpenTrack] = []

    @property
    def alive(self) -> set[int]:
        """Numbers of the tracks that may go on: those who were seen in the last two seconds."""
        return {track.number for track in self._alive}

    def step(self, frame: Frame) -> dict[int, Pose]:
        """Looks at the next frame.

        Returns:
            The people in it by track number.
        """
        poses = self._detector(frame.image, self._fixed or self._region)
        poses = _without_doubles([pose for pose in poses if _plausible(pose, frame.image.shape)])
        if self._fixed is None:
            poses = self._recalled(frame, poses) or poses
        if not poses and self._region is not None:  # they left the region
            self._look_at(None)
        if not poses and self._fixed is None and self._missing % max(1, round(self.fps / 5)) == 0:
            poses = self._search(frame.image)
        self._missing = 0 if poses else self._missing + 1
        seen = self._assign(frame.number, poses)
        if self.live:
            self._forget()
        elif seen and self._unseen:
            self._look_back(frame, seen)
            self._unseen.clear()
        elif not seen:
            self._unseen.append((frame.number, cv2.imencode(".jpg", frame.image)[1]))
        if seen and self.looks:
            self._look_more(frame, seen)
        elif self._more and self._missing <= self.fps / 2:  # they go on, to be there when the person is seen again
            for detector in self._more:
                detector(frame.image, self._more_region)
        if seen and self._region is not None:
            self._keep_in_region(list(seen.values()), frame.image.shape)
        return seen

    def _look_more(self, frame: Frame, seen: dict[int, Pose]) -> None:
        """The other looks at those who are seen, each with what is nearest to what is known of the person."""
        region, poses = self._fixed or self._region, list(seen.values())
        whole = (0, 0, frame.image.shape[1], frame.image.shape[0])
        # They start anew as rarely as can be, since people are followed where they would not be found.
        moved = region != self._more_region and not _well_placed(poses, self._more_region or whole)
        if not self._more or moved or len(seen) > self._more_people:
            self._close_more()
            # Not max_people: a follower with room for more searches in every frame.
            self._more_people, self._more_region = max(len(seen), self._more_people), region
            self._more = [PoseDetector(self._more_people, confidence=self.confidence, look=look) for look in self.looks]
        every = [detector(frame.image, self._more_region) for detector in self._more]
        for track in self._alive:
            if track.number in seen:
                pose = seen[track.number]
                nearest = [min(found, key=lambda other: _distance(pose, other), default=None) for found in every]
                track.looks[frame.number] = [
                    other if other is not None and _distance(pose, other) < _LARGEST_JUMP else None for other in nearest
                ]

    def cut(self) -> None:
        """Another shot begins with the next frame: nobody is followed into it."""
        self._look_at(None)
        self._close_more()
        self._unseen.clear()
        self._missing, self._alive = 0, []

    def finish(self) -> list[Track]:
        """Ends the search.

        Returns:
            The tracks, the longest first.
        """
        self._detector.close()
        self._close_more()
        if self._searcher is not None:
            self._searcher.close()
        give_back_memory()  # a detector has some 100 MB
        whole = [_whole(track, len(self.looks)) for track in self._tracks]
        longest = max((track.detected.sum() for track in whole), default=0)
        least = min(max(2, round(_SHORTEST_TRACK * self.fps)), longest)
        return sorted((track for track in whole if track.detected.sum() >= least), key=len, reverse=True)

    def _look_at(self, region: tuple[int, int, int, int] | None) -> None:
        self._region = region
        self._detector.close()
        self._detector = PoseDetector(self.max_people, confidence=self.confidence, masks=self.masks)

    def _close_more(self) -> None:
        for detector in self._more:
            detector.close()
        self._more = []

    def _recalled(self, frame: Frame, poses: list[Pose]) -> list[Pose]:
        """Looks where those were who are suddenly gone, before the detector's jump to something else is believed."""
        gone = [track for track in self._alive if 0 < frame.number - track.last <= self.fps]
        if any(_distance(track.poses[track.last], pose) < _LARGEST_JUMP for track in gone for pose in poses):
            return []
        for track in sorted(gone, key=lambda track: -track.last)[: self.max_people]:
            waited, last = frame.number - track.last, track.poses[track.last]
            if waited > 3 and waited % max(1, round(self.fps / 5)):
                continue
            found = self._look_once(frame.image, _region_round([last]))
            if found and _distance(last, found[0]) < _LARGEST_JUMP:
                return found
        return []

    def _look_once(self, image: np.ndarray, part: tuple[int, int, int, int]) -> list[Pose]:
        """Looks into a part of the picture with fresh eyes; where somebody is there, it becomes the region."""
        if self._searcher is None:
            self._searcher = PoseDetector(1, follow=False, confidence=self.confidence)
        poses = [pose for pose in self._searcher(image, part) if _plausible(pose, image.shape)]
        if not poses:
            return []
        region = _region_round(poses)
        self._look_at(region if region[2] - region[0] < 0.9 * max(image.shape[:2]) else None)
        again = [pose for pose in self._detector(image, self._region) if _plausible(pose, image.shape)]
        return again or poses

    def _search(self, image: np.ndarray) -> list[Pose]:
        """Looks into overlapping tiles, coarse ones first, and stays with the tile where somebody is."""
        height, width = image.shape[:2]
        for parts in (1, 2, 3):
            side = int(2 * min(height, width) / (parts + 1))
            rows, columns = (max(1, round(2 * length / side) - 1) for length in (height, width))
            for top in np.linspace(0, height - side, rows).astype(int):
                for left in np.linspace(0, width - side, columns).astype(int):
                    poses = self._look_once(image, (left, top, left + side, top + side))
                    if poses:
                        return poses
        return []

    def _keep_in_region(self, poses: list[Pose], shape: tuple[int, ...]) -> None:
        """Moves the region along before somebody leaves it."""
        if not _well_placed(poses, self._region):
            region = _region_round(poses)
            self._look_at(region if region[2] - region[0] < 0.9 * max(shape[:2]) else None)

    def _assign(self, number: int, poses: list[Pose]) -> dict[int, Pose]:
        """Joins poses to the tracks that are nearest; the rest become new tracks."""
        alive = self._alive = [track for track in self._alive if number - track.last <= _LOST_FOR * self.fps]
        cost = np.array([[_distance(track.poses[track.last], pose) for pose in poses] for track in alive])
        seen, taken = {}, set()
        if cost.size:
            for row, column in zip(*linear_sum_assignment(np.minimum(cost, 1e3))):
                track = alive[row]
                # The longer somebody was lost, the further may they have gone.
                allowed = _LARGEST_JUMP * (1 + (number - track.last - 1) / self.fps)
                if cost[row, column] <= allowed:
                    track.add(number, poses[column])
                    seen[track.number] = poses[column]
                    taken.add(column)
        for column, pose in enumerate(poses):
            doubled = any(_distance(other, pose) < _DOUBLED for other in seen.values())
            if column not in taken and not doubled and len(seen) < self.max_people:
                track = _OpenTrack(next(self._numbers), number, {number: pose})
                self._tracks.append(track)
                self._alive = [*self._alive, track]
                seen[track.number] = pose
        return seen

    def _forget(self) -> None:
        """All but the last pose of those who may go on."""
        self._tracks = list(self._alive)
        for track in self._alive:
            track.poses = {track.last: track.poses[track.last]}

    def _look_back(self, frame: Frame, seen: dict[int, Pose]) -> None:
        """Follows those who are seen now backwards through the frames in which nobody was."""
        region = self._fixed or self._region
        follower = PoseDetector(self.max_people, confidence=self.confidence)
        tracks = {track.number: track for track in self._alive if track.number in seen}
        later, missed = dict(seen), 0
        try:
            follower(frame.image, region)
            for number, picture in reversed(self._unseen):
                image = cv2.imdecode(picture, cv2.IMREAD_COLOR)
                poses = [pose for pose in follower(image, region) if _plausible(pose, image.shape)]
                missed = 0 if poses else missed + 1
                if missed > 2:
                    return
                for track_number, pose in list(later.items()):
                    nearest = min(poses, key=lambda other, pose=pose: _distance(pose, other), default=None)
                    if nearest is not None and _distance(pose, nearest) < _LARGEST_JUMP:
                        tracks[track_number].poses.setdefault(number, nearest)
                        later[track_number] = nearest
        finally:
            follower.close()


def _widened(box: Sequence[float]) -> tuple[int, int, int, int]:
    """The square round a box given by hand, with room for limbs."""
    left, top, width, height = box
    side = 1.3 * max(width, height)
    centre = np.array([left + width / 2, top + height / 2])
    return tuple(np.round([*(centre - side / 2), *(centre + side / 2)]).astype(int).tolist())


def _region_round(poses: list[Pose]) -> tuple[int, int, int, int]:
    low = np.min([pose.points[:, :2].min(0) for pose in poses], axis=0)
    high = np.max([pose.points[:, :2].max(0) for pose in poses], axis=0)
    centre, side = (low + high) / 2, 2.0 * (high - low).max()
    return tuple(np.round([*(centre - side / 2), *(centre + side / 2)]).astype(int).tolist())


def _well_placed(poses: list[Pose], region: tuple[int, int, int, int]) -> bool:
    """Whether people are well within a region, and large enough in it."""
    left, top, right, bottom = region
    low = np.min([pose.points[:, :2].min(0) for pose in poses], axis=0)
    high = np.max([pose.points[:, :2].max(0) for pose in poses], axis=0)
    margin = 0.08 * (right - left)
    inside = (low > [left + margin, top + margin]).all() and (high < [right - margin, bottom - margin]).all()
    return bool(inside and (high - low).max() >= 0.25 * (right - left))


def _distance(first: Pose, second: Pose) -> float:
    """How far two poses lie apart, in sides of the larger box: mean of the landmarks' distance and the boxes'.

    The boxes' stays small when somebody turns a somersault.
    """
    (centre, side), (other_centre, other_side) = first.box, second.box
    landmarks = np.linalg.norm(first.points[:, :2] - second.points[:, :2], axis=1).mean()
    return float((landmarks + np.linalg.norm(centre - other_centre)) / (2 * max(side, other_side, 1.0)))


def _without_doubles(poses: list[Pose]) -> list[Pose]:
    """The poses without those that a surer one lies on: several followers may end up with one person."""
    kept: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.points[:, 2].mean()):
        if all(_distance(other, pose) >= _DOUBLED for other in kept):
            kept.append(pose)
    return kept


def _plausible(pose: Pose, shape: tuple[int, ...]) -> bool:
    """Whether it is a person in this picture: most of it inside, and larger than a few pixels."""
    points = pose.points[:, :2]
    inside = ((points > 0) & (points < [shape[1], shape[0]])).all(1)
    return bool(np.isfinite(points).all() and inside.mean() > 0.3 and pose.box[1] > 24)


def _whole(track: _OpenTrack, looks: int) -> Track:
    first, last = min(track.poses), max(track.poses)
    values = np.full((2, 1 + looks, last - first + 1, 33, 3), np.nan, np.float32)
    for number, pose in track.poses.items():
        for look, seen in enumerate([pose, *track.looks.get(number, ())]):
            if seen is not None:
                values[:, look, number - first] = seen.points, seen.world
    (landmarks, *_), (world, *_) = values
    masks = list(track.masks.items())
    if len(masks) > _MASKS:
        masks = _clearer(masks)
    kept = {frame - first: (mask, square) for frame, (_, mask, square) in masks}
    return Track(track.number, first, landmarks, world, looks=values[0, 1:], looks_world=values[1, 1:], masks=kept)


def _clearer(masks: list) -> list:
    """Of each two the one with the larger first value."""
    return [max(masks[at : at + 2], key=lambda item: item[1][0]) for at in range(0, len(masks), 2)]


def track_people(
    frames: Iterable[Frame],
    fps: float,
    max_people: int = 4,
    box: Sequence[float] | None = None,
    confidence: float = 0.5,
    times: list[float] | None = None,
    looks: Sequence[Look] = (),
    cuts: list[int] | None = None,
    background: Background | None = None,
    masks: bool = False,
) -> list[Track]:
    """Finds and follows the people in a video.

    Args:
        frames: The video.
        fps: Its rate.
        max_people: How many people at once at most.
        box: Where the person is, by hand: left, top, width, height [px]. A person the detector does not find there
            becomes a track all the same, with that box and no landmarks.
        confidence: How sure the detector must be, 0 to 1.
        times: Filled with the frames' times [s].
        looks: More looks that are had at those who are seen.
        cuts: Filled with the numbers of frames with which another shot begins; nobody is followed across.
        background: Follows what is behind the people.
        masks: Whether the masks of the clearest frames are kept.

    Returns:
        The tracks, the longest first, numbered in that order; none if nobody was found.
    """
    tracker = PeopleTracker(fps, max_people, box, confidence, looks, masks=masks)
    times = [] if times is None else times
    for frame, is_cut in with_cuts(frames):
        times.append(frame.time)
        if is_cut:
            tracker.cut()
            if cuts is not None:
                cuts.append(frame.number)
            if background is not None:
                background.cut()
        seen = tracker.step(frame)
        if background is not None:
            background.step(frame.image, [pose.points for pose in seen.values()])
    tracks = tracker.finish()
    if box is not None and not tracks:
        nothing = np.full((len(times), 33, 3), np.nan, np.float32)
        left, top, width, height = box
        square = np.array([left + width / 2, top + height / 2, max(width, height)])
        tracks = [Track(1, 0, nothing, nothing, np.tile(square, (len(times), 1)))]
    for number, track in enumerate(tracks, 1):
        track.number = number
    return tracks
