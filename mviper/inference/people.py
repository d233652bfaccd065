"""People in videos: detection and tracking by MediaPipe, association to tracks, recovery after loss.

Both networks of MediaPipe's BlazePose (Apache-2.0) are in its wheel. They are packed into a bundle for MediaPipe's task
``PoseLandmarker``, which, unlike the older ``solutions.pose``, tracks several people.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.optimize import linear_sum_assignment

from mviper.body import to_keypoints
from mviper.datasets import crop_squares
from mviper.extras import import_extra, quiet, release_memory
from mviper.inference.appearance import colours_of, dissimilarity, moving_average
from mviper.inference.camera_motion import Background
from mviper.inference.frames import Frame, ahead
from mviper.inference.shots import with_cuts
from mviper.inference.views import View, disagreement, reconciled

#: Maximum longer side of the detector's input [px]; its networks use crops of 256 x 256.
_DETECTOR_SIDE = 960
#: A person found again after a longer gap becomes a new person [s].
_LOST_FOR = 2.0
#: Frames without people that are kept for tracking backwards once a person is found.
_KEPT_FRAMES = 60
#: Maximum jump of a person's joints between frames, in box sides.
_LARGEST_JUMP = 0.5
#: Two poses closer than this are the same person, in box sides.
_DOUBLED = 0.15
#: All views are used where two differ by more than this, in person heights, and for this many more frames.
_DISPUTED, _DISPUTE = 0.04, 2
#: Sides of the regions in which people are tracked, in box sides; the first in which they are detected is used.
_ROOMS = (3.0, 2.0, 1.4)
#: Grey value for hiding parts of the image.
_HIDDEN = 114
#: Weight of the difference in appearance between a pose and a track, relative to their distance.
_APPEARANCE = 1.5
#: Shorter tracks are discarded as false positives [s].
_SHORTEST_TRACK = 0.3
#: Cells along a side of a person's mask, and the mask's side in sides of the landmarks' box.
_MASK_SIDE, _MASK_MARGIN = 96, 1.35
#: Maximum number of masks kept per track; of two consecutive ones, the clearer one is kept.
_MASKS = 48
#: Standard deviation of the temporal smoothing of boxes [s].
_BOX_SMOOTHING = 0.1

_Result = TypeVar("_Result")

#: A region of the image: left, top, right, bottom [px].
Region = tuple[int, int, int, int]


@dataclass
class Pose:
    """One person in one frame, as detected by MediaPipe.

    Attributes:
        points: x, y [px], visibility, shape (33, 3), of :data:`mviper.body.landmarks.LANDMARKS`.
        world: [m], in camera axes relative to the mid-hips, shape (33, 3).
        mask: Probability of each cell of a square to belong to the person, 0 to 255, shape (G, G) uint8, if requested.
        square: The square: centre x, centre y, side [px], shape (3,).
    """

    points: np.ndarray
    world: np.ndarray
    mask: np.ndarray | None = None
    square: np.ndarray | None = None

    def moved(self, by: np.ndarray) -> Pose:
        """The same pose shifted by x, y [px]."""
        points = self.points.copy()
        points[:, :2] += by
        return replace(self, points=points)

    @property
    def box(self) -> tuple[np.ndarray, float]:
        """Centre [px] (2,) and longer side [px] of the landmarks' bounding box."""
        low, high = self.points[:, :2].min(0), self.points[:, :2].max(0)
        return (low + high) / 2, float((high - low).max())


@dataclass
class Track:
    """One person over consecutive frames; where the person was lost, landmarks are NaN.

    Attributes:
        number: 1, 2, ...
        first: Number of the first frame.
        landmarks: x, y [px], visibility, shape (T, 33, 3) float32.
        world: [m], shape (T, 33, 3) float32.
        boxes: Boxes given by the user: centre x, centre y, side [px], shape (T, 3); None: computed from the landmarks.
        views: Landmarks from L additional views, shape (L, T, 33, 3) float32.
        views_world: Their 3D landmarks [m], shape (L, T, 33, 3) float32.
        masks: Masks of the clearest frames (counted from the first), see :class:`Pose`.
        guide: Where a network expects the landmarks, see :func:`mviper.inference.views.reconciled`; None: no network.
    """

    number: int
    first: int
    landmarks: np.ndarray
    world: np.ndarray
    boxes: np.ndarray | None = None
    views: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 33, 3), np.float32))
    views_world: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 33, 3), np.float32))
    masks: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    guide: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def detected(self) -> np.ndarray:
        """Whether the person was detected in each frame, shape (T,) bool."""
        return np.isfinite(self.landmarks).all((1, 2))

    @functools.cached_property
    def reconciled(self) -> Track:
        """The track as one view, all views' landmarks reconciled; computed once, so the track must not change after."""
        if not len(self.views):
            return self
        every = (self.landmarks, self.views), (self.world, self.views_world)
        landmarks, world = reconciled(*(np.concatenate([first[None], more]) for first, more in every), self.guide)
        return replace(self, landmarks=landmarks, world=world, views=self.views[:0], views_world=self.views_world[:0])

    def crops(self, fps: float) -> np.ndarray:
        """The upright boxes of :meth:`squares`."""
        return self.squares(fps)[0]

    def squares(
        self, fps: float, scale: float | None = None, alignment: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Crop squares as in training, smoothed over time and interpolated where the person was lost.

        Args:
            fps: Frames per second.
            scale: See :func:`mviper.datasets.crop.crop_squares`.
            alignment: See :func:`mviper.datasets.crop.crop_squares`.

        Returns:
            Centre x, centre y, side [px], shape (T, 3), and the image's rotation in each [rad], shape (T,); boxes given
            by the user are upright.
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
    """MediaPipe's own detector and landmark network in the format of its task."""
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
        max_people: Maximum number of people per image.
        follow: Images are consecutive frames of a video, in which people are tracked; otherwise they are independent.
        confidence: Detection threshold, 0 to 1.
        view: Orientation in which it sees images.
        masks: Whether to compute people's masks; only for unrotated images.

    Raises:
        MissingDependencyError: MediaPipe is not installed.
    """

    def __init__(
        self,
        max_people: int = 4,
        follow: bool = True,
        confidence: float = 0.5,
        view: View | None = None,
        masks: bool = False,
    ) -> None:
        mediapipe = import_extra("mediapipe")
        tasks, vision = mediapipe.tasks, mediapipe.tasks.vision
        self._image = lambda data: mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)
        self._follow, self._count, self._view = follow, 0, view or View()
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

    def __call__(self, image: np.ndarray, region: Region | None = None) -> list[Pose]:
        """Finds people.

        Args:
            image: RGB uint8, shape (H, W, 3).
            region: Only search there: left, top, right, bottom [px]; may extend beyond the image.

        Returns:
            The people, in pixels of the image.
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
        picture = self._image(self._view.turned(part))
        self._count += 1
        with contextlib.nullcontext() if self._count > 1 else quiet(2):  # it prints once more on the first image
            if self._follow:  # time stamps [ms] must increase; their rate only affects smoothing
                found = self._landmarker.detect_for_video(picture, 33 * self._count)
            else:
                found = self._landmarker.detect(picture)
        size, corner = np.array([right - left, bottom - top]), np.array([left, top])
        poses = []
        for points, world in zip(found.pose_landmarks, found.pose_world_landmarks):
            points, world = self._view.undone(
                np.array([[p.x, p.y, p.visibility] for p in points], np.float32),
                np.array([[p.x, p.y, p.z] for p in world], np.float32),
            )
            points[:, :2] = size * points[:, :2] + corner - 0.5
            poses.append(Pose(points, world))
        for pose, mask in zip(poses, found.segmentation_masks or ()):
            pose.square, pose.mask = mask_cells(255 * mask.numpy_view(), *pose.box, corner, scale)
        return poses

    def close(self) -> None:
        """Releases it."""
        self._landmarker.close()


def mask_cells(
    mask: np.ndarray, middle: np.ndarray, side: float, corner: Sequence[float] = (0, 0), scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Samples a mask in a square round a person, as stored in :class:`Pose`.

    Args:
        mask: 0 to 255, shape (H, W).
        middle: Centre of the person's box [px of the image], shape (2,).
        side: Longer side of the person's box [px of the image].
        corner: Position of the mask's top left corner in the image [px].
        scale: Mask pixels per image pixel.

    Returns:
        The square, shape (3,), and its cells, shape (G, G).
    """
    square = np.array([*middle, _MASK_MARGIN * side], np.float32)
    step = square[2] / _MASK_SIDE
    first = (middle - (_MASK_SIDE - 1) / 2 * step - np.asarray(corner) + 0.5) * scale - 0.5
    turn = np.array([[step * scale, 0, first[0]], [0, step * scale, first[1]]])
    cells = cv2.warpAffine(mask, turn, (_MASK_SIDE, _MASK_SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return square, np.round(cells).clip(0, 255).astype(np.uint8)


@dataclass
class OpenTrack:
    """A track that may continue: its poses by frame, the last of these frames, and the results of additional views.

    Also its recent speed [px per frame] and the person's colours.
    """

    number: int
    last: int
    poses: dict[int, Pose] = field(default_factory=dict)
    views: dict[int, list[Pose | None]] = field(default_factory=dict)
    masks: dict[int, tuple[float, np.ndarray, np.ndarray]] = field(default_factory=dict)
    every: int = 1
    speed: np.ndarray = field(default_factory=lambda: np.zeros(2))
    colours: np.ndarray | None = None

    def add(self, frame: int, pose: Pose) -> None:
        """Appends the person's pose in a frame."""
        if frame > self.last:
            moved = (pose.box[0] - self.poses[self.last].box[0]) / (frame - self.last)
            self.speed = self.speed + 0.3 * (moved - self.speed)
        self.poses[frame], self.last = pose, frame
        mask, square, pose.mask, pose.square = pose.mask, pose.square, None, None  # most are not kept
        if mask is not None and frame % self.every == 0:
            self.masks[frame] = float(pose.points[:, 2].mean()), mask, square
            if len(self.masks) > 2 * _MASKS:
                self.every *= 2
                self.masks = dict(_clearer(list(self.masks.items())))

    def distance(self, frame: int, pose: Pose, fps: float) -> float:
        """Distance of a pose from the person's last position or from the extrapolated one, whichever is smaller."""
        last = self.poses[self.last]
        going = last.moved(self.speed * min(frame - self.last, fps / 2))
        return min(_distance(last, pose), _distance(going, pose))


class _Follower:
    """Tracks one person from a detection.

    Args:
        confidence: Detection threshold, 0 to 1.
        fixed: The region to search, if given by the user.
        masks: Whether to compute the person's masks.
    """

    def __init__(self, confidence: float, fixed: Region | None = None, masks: bool = False) -> None:
        self.confidence, self.fixed, self.masks = confidence, fixed, masks
        self.region, self.pose, self.missed = fixed, None, 0
        self._detector: PoseDetector | None = None

    def begin(self, image: np.ndarray, pose: Pose) -> bool:
        """Starts or restarts with a detected person, hiding everything else in the image.

        Returns:
            Whether the detector finds the person in this way; if so, it tracks from the next frame on.
        """
        low, high = _box_round(pose, image.shape, 0.15)
        alone = np.full_like(image, _HIDDEN)
        alone[low[1] : high[1], low[0] : high[0]] = image[low[1] : high[1], low[0] : high[0]]
        self.close()
        for room in _ROOMS if self.fixed is None else (0.0,):
            if self._detector is None:
                self._detector = PoseDetector(1, confidence=self.confidence, masks=self.masks)
            self.region = self.fixed or _region_round([pose], room, image.shape)
            found = self._detector(alone, self.region)
            if found and _distance(found[0], pose) < _LARGEST_JUMP and _plausible(found[0], image.shape):
                self.pose, self.missed = found[0], 0
                return True
            if found:  # it would go on with somebody else
                self.close()
        self.pose = None
        return False

    def step(self, image: np.ndarray) -> None:
        """Processes the next frame; ``pose`` is then the person's pose, or None."""
        self.pose = next((pose for pose in self._detector(image, self.region) if _plausible(pose, image.shape)), None)
        self.missed = 0 if self.pose is not None else self.missed + 1

    def keep_in_region(self, image: np.ndarray) -> None:
        """Moves the region before the person leaves it or becomes too small in it."""
        whole = (0, 0, image.shape[1], image.shape[0])
        if self.fixed is None and self.pose is not None:
            small = self.region is None and _region_round([self.pose], 2 * _ROOMS[0], image.shape) is not None
            if small or (self.region is not None and not _well_placed([self.pose], self.region or whole)):
                kept = self.pose
                self.begin(image, kept)
                self.pose = kept

    def close(self) -> None:
        """Releases it."""
        if self._detector is not None:
            self._detector.close()
            self._detector = None


class PeopleTracker:
    """Detects and tracks people in a video, frame by frame.

    Every person is tracked by a separate landmarker, within a region if the person is small. New people are searched
    twice a second, more often while somebody is lost, in the whole image and in tiles, with the known people hidden:
    the detector is less reliable for several people than for each alone. The frames before a person was found, or found
    again, are searched backwards.

    Args:
        fps: Frame rate of the video.
        max_people: Maximum number of people at once.
        box: A region to search, given by the user: left, top, width, height [px].
        confidence: Detection threshold, 0 to 1.
        views: Additional views of detected people.
        live: Keeps no history: no backward search, no tracks at the end, constant memory.
        masks: Whether to keep the masks of the clearest frames.
    """

    def __init__(
        self,
        fps: float,
        max_people: int = 4,
        box: Sequence[float] | None = None,
        confidence: float = 0.5,
        views: Sequence[View] = (),
        live: bool = False,
        masks: bool = False,
    ) -> None:
        self.fps, self.max_people, self.confidence, self.views = fps, max_people, confidence, tuple(views)
        self.live, self.masks, self._numbers = live, masks, itertools.count(1)
        self._followers: list[_Follower] = []
        self._searchers: list[PoseDetector] = []
        self._searched = 0  # frames ago
        self._more: list[PoseDetector] = []  # of the first views; the others are made when they are needed
        self._more_people, self._more_region = 0, None
        self._disputed = -_DISPUTE - 1  # the last frame in which views disagreed
        self._fixed = None if box is None else _widened(box)
        self._unseen: deque[tuple[int, np.ndarray]] = deque(maxlen=_KEPT_FRAMES)  # since the last detection, as JPEG
        self._missing = 0
        self._tracks: list[OpenTrack] = []
        self._alive: list[OpenTrack] = []

    @property
    def alive(self) -> set[int]:
        """Numbers of the tracks that may continue: people detected in the last two seconds."""
        return {track.number for track in self._alive}

    def step(self, frame: Frame) -> dict[int, Pose]:
        """Looks at the next frame.

        Returns:
            The people in the frame by track number.
        """
        poses = self._followed(frame.image)
        if self._is_time_to_search(frame.number, len(poses)):
            poses += self._found(frame.image, poses)
        self._missing = 0 if poses else self._missing + 1
        seen = self._assign(frame.number, poses, frame.image)
        if self.live:
            self._forget()
        elif seen and self._unseen:
            self._look_back(frame, seen)
            self._unseen.clear()
        elif not seen:
            self._unseen.append((frame.number, cv2.imencode(".jpg", frame.image)[1]))
        if seen and self.views:
            self._add_views(frame, seen)
        elif self._more and self._missing <= self.fps / 2:  # they continue, in case the person reappears
            _together([partial(detector, frame.image, self._more_region) for detector in self._more])
        for follower in self._followers:
            follower.keep_in_region(frame.image)
        return seen

    def _add_views(self, frame: Frame, seen: dict[int, Pose]) -> None:
        """Finds detected people again in the additional views, in each the result nearest to the known pose.

        The first view is always used; the others where it disagrees with the original image, and for a while after
        that.
        """
        poses, shape = list(seen.values()), frame.image.shape
        region, whole = self._fixed or _region_round(poses, 2.0, shape), (0, 0, shape[1], shape[0])
        # They restart as rarely as possible, since tracking works where detection would fail.
        moved = region != self._more_region and not _well_placed(poses, self._more_region or whole)
        if not self._more or moved or len(seen) > self._more_people:
            self._close_more()
            # Not max_people: with free capacity, a follower would search in every frame.
            self._more_people, self._more_region = max(len(seen), self._more_people), region
            self._make_detectors(self.views[:1])
        found = self._more[0](frame.image, self._more_region)
        views = {number: [_nearest(pose, found)] for number, pose in seen.items()}
        pairs = [(seen[number], other) for number, (other,) in views.items()]
        if any(other is None or disagreement(pose.points, other.points) > _DISPUTED for pose, other in pairs):
            self._disputed = frame.number
        if frame.number - self._disputed <= _DISPUTE:
            self._make_detectors(self.views)
            every = _together([partial(detector, frame.image, self._more_region) for detector in self._more[1:]])
            for number, pose in seen.items():
                views[number] += [_nearest(pose, found) for found in every]
        for track in self._alive:
            if track.number in views:
                track.views[frame.number] = views[track.number]

    def _make_detectors(self, views: Sequence[View]) -> None:
        """Makes the missing ones of the first additional views; each takes a fifth of a second and some 100 MB."""
        self._more += [PoseDetector(self._more_people, confidence=self.confidence, view=view)
                       for view in views[len(self._more):]]  # fmt: skip

    def cut(self) -> None:
        """Announces that the next frame begins a new shot, into which nobody is tracked."""
        self._close_followers()
        self._close_more()
        self._unseen.clear()
        self._missing, self._alive = 0, []
        release_memory()

    def finish(self) -> list[Track]:
        """Finishes tracking.

        Returns:
            The tracks, the longest first.
        """
        self._close_followers()
        self._close_more()
        for searcher in self._searchers:
            searcher.close()
        release_memory()  # a detector takes some 100 MB
        whole = [_whole(track, len(self.views)) for track in self._tracks]
        longest = max((track.detected.sum() for track in whole), default=0)
        least = min(max(2, round(_SHORTEST_TRACK * self.fps)), longest)
        return sorted((track for track in whole if track.detected.sum() >= least), key=len, reverse=True)

    def _close_followers(self) -> None:
        for follower in self._followers:
            follower.close()
        self._followers = []

    def _close_more(self) -> None:
        for detector in self._more:
            detector.close()
        self._more = []

    def _followed(self, image: np.ndarray) -> list[Pose]:
        """The tracked people; if two followers converge on one person, the less certain one is removed."""
        _together([partial(follower.step, image) for follower in self._followers])
        surest = sorted(self._followers, key=lambda each: 0 if each.pose is None else -each.pose.points[:, 2].mean())
        kept: list[_Follower] = []
        for follower in surest:
            doubled = follower.pose is not None and any(
                other.pose is not None and _distance(other.pose, follower.pose) < _DOUBLED for other in kept
            )
            if doubled or follower.missed > self.fps:
                follower.close()
            else:
                kept.append(follower)
        self._followers = kept
        return [follower.pose for follower in kept if follower.pose is not None]

    def _is_time_to_search(self, number: int, seen: int) -> bool:
        """Whether to search for new people: rarely as a rule, more often while somebody is lost."""
        self._searched += 1
        if seen >= (self.max_people if self._fixed is None else 1):
            return False
        lost = seen == 0 or any(1 < number - track.last <= self.fps for track in self._alive)
        every = self.fps / 5 if seen == 0 else self.fps / 10 if lost else self.fps / 2
        return self._searched >= round(every) or (seen == 0 and self._missing == 0)

    def _found(self, image: np.ndarray, known: Sequence[Pose]) -> list[Pose]:
        """Searches for new people in the image and in tiles, and starts to track them."""
        self._searched = 0
        picture, known = image, list(known)
        if known:
            picture = image.copy()
            for pose in known:
                _hide(picture, pose)
        new: list[Pose] = []
        most = self.max_people if self._fixed is None else 1
        parts = [self._fixed] if self._fixed is not None else list(_parts(image.shape, not known))
        seen: list[list[Pose]] = []  # in this part and the next ones, of the picture as it is now
        for place, part in enumerate(parts):
            if part is not None and part[2] - part[0] < 0.6 * min(image.shape[:2]) and new:
                break  # small tiles are for people not detected in large ones
            seen = seen or self._searched_in(picture, parts[place : place + 2])
            for pose in seen.pop(0):
                if len(known) >= most or not _plausible(pose, image.shape):
                    continue
                if any(_distance(other, pose) < _DOUBLED for other in known):
                    continue
                follower = _Follower(self.confidence, self._fixed, self.masks)
                if follower.begin(image, pose) and all(_distance(other, follower.pose) >= _DOUBLED for other in known):
                    self._let_go_for(follower)
                    known.append(follower.pose)
                    new.append(follower.pose)
                    picture = image.copy() if picture is image else picture
                    _hide(picture, pose)
                    seen = []
                else:
                    follower.close()
        return new

    def _searched_in(self, picture: np.ndarray, parts: Sequence[Region | None]) -> list[list[Pose]]:
        """The people in parts of a picture, searched at the same time."""
        while len(self._searchers) < len(parts):
            self._searchers.append(PoseDetector(self.max_people, follow=False, confidence=self.confidence))
        return _together([partial(detector, picture, part) for detector, part in zip(self._searchers, parts)])

    def _let_go_for(self, follower: _Follower) -> None:
        """Adds a follower; if there are too many, it replaces the one whose person has been lost longest."""
        if len(self._followers) >= self.max_people:
            longest = max(self._followers, key=lambda each: each.missed)
            longest.close()
            self._followers.remove(longest)
        self._followers.append(follower)

    def _assign(self, number: int, poses: list[Pose], image: np.ndarray) -> dict[int, Pose]:
        """Assigns poses to tracks by distance and appearance; the rest become new tracks."""
        alive = self._alive = [track for track in self._alive if number - track.last <= _LOST_FOR * self.fps]
        colours = [colours_of(image, pose.points) for pose in poses]
        apart = np.array([[track.distance(number, pose, self.fps) for pose in poses] for track in alive])
        unlike = np.array([[dissimilarity(track.colours, other) for other in colours] for track in alive])
        seen, taken = {}, set()
        if apart.size:
            # The longer somebody was lost, the further they may have moved, and the more appearance matters.
            lost = np.array([[number - track.last - 1] for track in alive]) / self.fps
            likest = (unlike == unlike.min(0)) & (lost > 0)
            allowed = _LARGEST_JUMP * (1 + lost + np.where(likest, 1 + 2 * lost, 0))
            cost = np.where(apart <= allowed, apart + _APPEARANCE * unlike, 1e3)
            for row, column in zip(*linear_sum_assignment(cost)):
                if cost[row, column] < 1e3:
                    alive[row].add(number, poses[column])
                    seen[alive[row].number] = poses[column]
                    taken.add(column)
                    if not any(_overlap(poses[column], other) for other in poses if other is not poses[column]):
                        alive[row].colours = moving_average(alive[row].colours, colours[column], 3 / self.fps)
        for column, pose in enumerate(poses):
            doubled = any(_distance(other, pose) < _DOUBLED for other in seen.values())
            if column not in taken and not doubled and len(seen) < self.max_people:
                track = self._begun(number, pose, colours[column])
                self._alive = [*self._alive, track]
                seen[track.number] = pose
        return seen

    def _begun(self, number: int, pose: Pose, colours: np.ndarray | None = None) -> OpenTrack:
        """A new track."""
        track = OpenTrack(next(self._numbers), number, colours=colours)
        track.add(number, pose)
        self._tracks.append(track)
        return track

    def _forget(self) -> None:
        """Forgets everything except the last pose of open tracks."""
        self._tracks = list(self._alive)
        for track in self._alive:
            track.poses = {track.last: track.poses[track.last]}

    def _look_back(self, frame: Frame, seen: dict[int, Pose]) -> None:
        """Tracks the detected people backwards through the frames without people."""
        tracks = {track.number: track for track in self._alive}
        followers = {number: _Follower(self.confidence, self._fixed) for number in seen}
        later = {number: pose for number, pose in seen.items() if followers[number].begin(frame.image, pose)}
        for number, picture in reversed(self._unseen):
            image = cv2.imdecode(picture, cv2.IMREAD_COLOR) if later else None
            for person, pose in list(later.items()):
                follower = followers[person]
                follower.step(image)
                if follower.missed > 2:
                    del later[person]
                elif follower.pose is not None and _distance(pose, follower.pose) < _LARGEST_JUMP:
                    tracks[person].poses.setdefault(number, follower.pose)
                    later[person] = follower.pose
                    follower.keep_in_region(image)
        for follower in followers.values():
            follower.close()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="detector")


def _together(calls: Sequence[Callable[[], _Result]]) -> list[_Result]:
    """Results of calls of different detectors, each of which uses one core, at the same time."""
    return [call() for call in calls] if len(calls) < 2 else list(_threads().map(lambda call: call(), calls))


def _widened(box: Sequence[float]) -> Region:
    """The square round a user's box, with a margin for limbs."""
    left, top, width, height = box
    side = 1.3 * max(width, height)
    centre = np.array([left + width / 2, top + height / 2])
    return tuple(np.round([*(centre - side / 2), *(centre + side / 2)]).astype(int).tolist())


def _region_round(poses: list[Pose], room: float, shape: tuple[int, ...]) -> Region | None:
    """A square round people, its side a multiple of theirs; None (the whole image) if that is not much larger."""
    low = np.min([pose.points[:, :2].min(0) for pose in poses], axis=0)
    high = np.max([pose.points[:, :2].max(0) for pose in poses], axis=0)
    centre, side = (low + high) / 2, room * (high - low).max()
    if side >= 0.9 * max(shape[:2]):
        return None
    return tuple(np.round([*(centre - side / 2), *(centre + side / 2)]).astype(int).tolist())


def _parts(shape: tuple[int, ...], small: bool) -> Iterator[Region | None]:
    """The whole image, and tiles that overlap by half: as large as possible, and smaller ones on request."""
    height, width = shape[:2]
    yield None
    for parts in (1, 2, 3) if small else (1,):
        side = int(2 * min(height, width) / (parts + 1))
        rows, columns = (max(1, round(2 * length / side) - 1) for length in (height, width))
        if rows * columns > 1:
            for top in np.linspace(0, height - side, rows).astype(int):
                for left in np.linspace(0, width - side, columns).astype(int):
                    yield (left, top, left + side, top + side)


def _box_round(pose: Pose, shape: tuple[int, ...], margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a person's box with a margin relative to its side, clipped to the image, each (2,) int."""
    low, high = pose.points[:, :2].min(0), pose.points[:, :2].max(0)
    room, limit = margin * (high - low).max(), np.array(shape[1::-1])
    return (low - room).clip(0, limit).astype(int), np.ceil(high + room).clip(0, limit).astype(int)


def _hide(image: np.ndarray, pose: Pose) -> None:
    """Paints over a person."""
    low, high = _box_round(pose, image.shape, 0.03)
    image[low[1] : high[1], low[0] : high[0]] = _HIDDEN


def _well_placed(poses: list[Pose], region: Region) -> bool:
    """Whether people are well inside a region, and large enough in it."""
    left, top, right, bottom = region
    low = np.min([pose.points[:, :2].min(0) for pose in poses], axis=0)
    high = np.max([pose.points[:, :2].max(0) for pose in poses], axis=0)
    margin = 0.08 * (right - left)
    inside = (low > [left + margin, top + margin]).all() and (high < [right - margin, bottom - margin]).all()
    return bool(inside and (high - low).max() >= 0.25 * (right - left))


def _distance(first: Pose, second: Pose) -> float:
    """Distance of two poses, in sides of the larger box: mean of the distances of landmarks and of boxes.

    That of the boxes stays small in a somersault.
    """
    (centre, side), (other_centre, other_side) = first.box, second.box
    landmarks = np.linalg.norm(first.points[:, :2] - second.points[:, :2], axis=1).mean()
    return float((landmarks + np.linalg.norm(centre - other_centre)) / (2 * max(side, other_side, 1.0)))


def _nearest(pose: Pose, found: Sequence[Pose]) -> Pose | None:
    """Selects the person's pose from the results of another view."""
    nearest = min(found, key=lambda other: _distance(pose, other), default=None)
    return nearest if nearest is not None and _distance(pose, nearest) < _LARGEST_JUMP else None


def _overlap(first: Pose, second: Pose) -> bool:
    """Whether the landmark boxes of two people overlap."""
    (low, high), (other_low, other_high) = (
        (pose.points[:, :2].min(0), pose.points[:, :2].max(0)) for pose in (first, second)
    )
    return bool((low < other_high).all() and (other_low < high).all())


def _plausible(pose: Pose, shape: tuple[int, ...]) -> bool:
    """Whether a pose is plausible: mostly inside the image, and larger than a few pixels."""
    points = pose.points[:, :2]
    inside = ((points > 0) & (points < [shape[1], shape[0]])).all(1)
    return bool(np.isfinite(points).all() and inside.mean() > 0.3 and pose.box[1] > 24)


def _whole(track: OpenTrack, views: int) -> Track:
    first, last = min(track.poses), max(track.poses)
    values = np.full((2, 1 + views, last - first + 1, 33, 3), np.nan, np.float32)
    for number, pose in track.poses.items():
        for view, seen in enumerate([pose, *track.views.get(number, ())]):
            if seen is not None:
                values[:, view, number - first] = seen.points, seen.world
    (landmarks, *_), (world, *_) = values
    masks = list(track.masks.items())
    if len(masks) > _MASKS:
        masks = _clearer(masks)
    kept = {frame - first: (mask, square) for frame, (_, mask, square) in masks}
    return Track(track.number, first, landmarks, world, views=values[0, 1:], views_world=values[1, 1:], masks=kept)


def _clearer(masks: list) -> list:
    """Of each pair, the one with the larger first value."""
    return [max(masks[at : at + 2], key=lambda item: item[1][0]) for at in range(0, len(masks), 2)]


def track_people(
    frames: Iterable[Frame],
    fps: float,
    max_people: int = 4,
    box: Sequence[float] | None = None,
    confidence: float = 0.5,
    times: list[float] | None = None,
    views: Sequence[View] = (),
    cuts: list[int] | None = None,
    background: Background | None = None,
    masks: bool = False,
) -> list[Track]:
    """Detects and tracks the people in a video.

    Args:
        frames: The video.
        fps: Its frame rate.
        max_people: Maximum number of people at once.
        box: The person's position, given by the user: left, top, width, height [px]. If the detector finds nobody
            there, the result is a track with that box and no landmarks.
        confidence: Detection threshold, 0 to 1.
        times: Filled with the frames' times [s].
        views: Additional views of detected people.
        cuts: Filled with the numbers of the frames that begin a new shot; nobody is tracked across a cut.
        background: Tracks the background.
        masks: Whether to keep the masks of the clearest frames.

    Returns:
        The tracks, the longest first, numbered in that order; none if nobody was found.
    """
    times = [] if times is None else times
    tracker = PeopleTracker(fps, max_people, box, confidence, views, masks=masks)
    tracks = follow(tracker, frames, times, cuts, background)
    if box is not None and not tracks:
        nothing = np.full((len(times), 33, 3), np.nan, np.float32)
        left, top, width, height = box
        square = np.array([left + width / 2, top + height / 2, max(width, height)])
        tracks = [Track(1, 0, nothing, nothing, np.tile(square, (len(times), 1)))]
    return tracks


def follow(
    tracker: PeopleTracker,
    frames: Iterable[Frame],
    times: list[float],
    cuts: list[int] | None = None,
    background: Background | None = None,
) -> list[Track]:
    """Runs a tracker over a video; for the arguments see :func:`track_people`."""
    # Cuts are looked for in one thread, the background is tracked in another, the people in this one.
    with ThreadPoolExecutor(1, "background") as aside:
        tracked = aside.submit(int)
        for frame, is_cut in ahead(with_cuts(frames)):
            times.append(frame.time)
            if is_cut:
                tracker.cut()
                if cuts is not None:
                    cuts.append(frame.number)
                if background is not None:
                    aside.submit(background.cut)
            seen = tracker.step(frame)
            tracked.result()
            if background is not None:
                tracked = aside.submit(background.step, frame.image, [pose.points for pose in seen.values()])
        tracked.result()
    tracks = tracker.finish()
    for number, track in enumerate(tracks, 1):
        track.number = number
    return tracks
