"""People found by another program: boxes, masks, 2D keypoints and tracks in COCO's or MMPose's JSON.

MediaPipe, run on the file's boxes, adds what the file lacks: all landmarks if it has no keypoints, otherwise feet,
hands and the 3D pose from which a fit starts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mviper.body import LANDMARKS
from mviper.errors import FileFormatError
from mviper.files import read_text
from mviper.inference.camera_motion import Background
from mviper.inference.frames import Frame
from mviper.inference.people import OpenTrack, PeopleTracker, Pose, PoseDetector, Region, Track, follow, mask_cells
from mviper.inference.views import View

#: COCO's 17 keypoints.
_BODY = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
#: Keypoint names by the number of keypoints, for files without names: COCO, Halpe (Fang et al., "AlphaPose", PAMI 2022)
#: and COCO-WholeBody (Jin et al., ECCV 2020), whose face and hands are not used.
_NAMES = {
    17: _BODY,
    26: (*_BODY, "head", "neck", "hip", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe",
         "left_heel", "right_heel"),
    133: (*_BODY, "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
          *["face or hand"] * 110),
}  # fmt: skip
#: Side of the square on which MediaPipe is run, relative to the box.
_ROOM = 1.3
#: Substitutes for the position of a landmark that neither the file nor MediaPipe has; its confidence is 0.
_NEAR = {"mouth": "nose", "pinky": "wrist", "index": "wrist", "thumb": "wrist", "heel": "ankle", "foot": "ankle"}


@dataclass(frozen=True, eq=False)
class FoundPerson:
    """One person in one frame of a file.

    Attributes:
        box: Left, top, right, bottom [px], shape (4,).
        points: x, y [px] and confidence in the order of :data:`mviper.body.LANDMARKS`, shape (33, 3);
            NaN with confidence 0 for landmarks that the file lacks; None without keypoints.
        segmentation: The mask in COCO's format (polygons or run lengths), or None.
        track: The person's identity in the video, or None.
    """

    box: np.ndarray
    points: np.ndarray | None = None
    segmentation: object = None
    track: int | None = None

    @property
    def region(self) -> Region:
        """The square round the box on which MediaPipe is run."""
        middle, side = (self.box[:2] + self.box[2:]) / 2, _ROOM * max(*(self.box[2:] - self.box[:2]), 2.0)
        return tuple(np.round([*(middle - side / 2), *(middle + side / 2)]).astype(int).tolist())


@dataclass(frozen=True, eq=False)
class Detections:
    """The people in a video.

    Attributes:
        path: The file.
        frames: The people of each frame, by frame number from 0.
    """

    path: Path
    frames: Mapping[int, Sequence[FoundPerson]]

    @classmethod
    def load(cls, path: str | Path, confidence: float = 0.0) -> Detections:
        """Reads a COCO annotation, a list of COCO results, or the output of MMPose's demos and inferencer.

        A list of ``images`` gives the video's frames, ordered by ``frame_id`` or the numbers in the file names.
        MMPose's ``frame_id`` is relative to the first one in the file. In a list of results ``image_id`` is the frame
        number from 0, or a name that contains it.

        Args:
            path: The file.
            confidence: Minimum score of a person, 0 to 1.

        Raises:
            MissingDataError: No such file.
            FileFormatError: Another format.
        """
        path = Path(path)
        try:
            content = json.loads(read_text(path))
            people = list(_people(content, path))
        except json.JSONDecodeError as error:
            raise FileFormatError(path, f"not JSON: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise FileFormatError(path, f"neither COCO's nor MMPose's people: {error!r}") from error
        kept = [(number, person) for number, score, person in people if score >= confidence]
        if not kept:
            raise FileFormatError(path, f"{len(people)} people in it, none of confidence {confidence:g} or more")
        if len({number for number, *_ in people}) == 1:  # a picture
            kept = [(0, person) for _, person in kept]
        frames: dict[int, list[FoundPerson]] = {}
        for number, person in kept:
            frames.setdefault(number, []).append(person)
        return cls(path, frames)

    @property
    def has_points(self) -> bool:
        """Whether anybody has keypoints."""
        return any(person.points is not None for people in self.frames.values() for person in people)

    def check_length(self, count: int) -> None:
        """Checks that the file fits a video.

        Args:
            count: Number of frames of the video.

        Raises:
            FileFormatError: People beyond the video's last frame.
        """
        last = max(self.frames)
        if last >= count:
            raise FileFormatError(
                self.path, f"has people in frame {last}, but the video's {count} frames are 0 to {count - 1}"
            )

    def mask(self, person: FoundPerson, height: int, width: int) -> np.ndarray | None:
        """Decodes a person's mask, shape (height, width) uint8, 1 on the person; None without a mask.

        Raises:
            FileFormatError: Not a mask of this size.
        """
        if not person.segmentation:
            return None
        try:
            return _decoded(person.segmentation, height, width)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise FileFormatError(self.path, f"a mask that cannot be read: {error}") from error


class GuidedTracker(PeopleTracker):
    """Tracks the people given by a file instead of searching for people.

    Identities are the file's; without them people are assigned to tracks like MediaPipe's detections. There is no
    test-time augmentation if the file has keypoints, which it would overrule.

    Args:
        detections: The file's people.
        fps: Frames per second of the video.
        confidence: MediaPipe's minimum confidence, 0 to 1.
        views: See :class:`~mviper.inference.people.PeopleTracker`.
        masks: Whether to keep masks: the file's, otherwise MediaPipe's.
    """

    def __init__(
        self,
        detections: Detections,
        fps: float,
        confidence: float = 0.5,
        views: Sequence[View] = (),
        masks: bool = False,
    ) -> None:
        most = max(map(len, detections.frames.values()))
        super().__init__(fps, most, None, confidence, () if detections.has_points else views, masks=masks)
        self.detections = detections
        self._detector: PoseDetector | None = None
        self._numbered: dict[int, OpenTrack] = {}

    def step(self, frame: Frame) -> dict[int, Pose]:
        """Takes the next frame's people from the file; see the base class."""
        poses, tracks = [], []
        for person in self.detections.frames.get(frame.number, ()):
            pose = self._pose(frame.image, person)
            if pose is not None:
                poses.append(pose)
                tracks.append(person.track)
        if None in tracks or not tracks:
            seen = self._assign(frame.number, poses, frame.image)
        else:
            seen = self._joined(frame.number, poses, tracks)
        if seen and self.views:
            self._add_views(frame, seen)
        return seen

    def cut(self) -> None:
        """See the base class."""
        super().cut()
        self._numbered = {}

    def finish(self) -> list[Track]:
        """See the base class."""
        if self._detector is not None:
            self._detector.close()
        return super().finish()

    def _joined(self, number: int, poses: Sequence[Pose], tracks: Sequence[int]) -> dict[int, Pose]:
        """Assigns poses to tracks by the file's identities."""
        if len(set(tracks)) < len(tracks):
            raise FileFormatError(self.detections.path, f"a track has two people in frame {number}")
        seen = {}
        for pose, name in zip(poses, tracks):
            track = self._numbered.get(name)
            if track is None:
                track = self._numbered[name] = self._begun(number, pose)
            else:
                track.add(number, pose)
            seen[track.number] = pose
        self._alive = list(self._numbered.values())
        return seen

    def _pose(self, image: np.ndarray, person: FoundPerson) -> Pose | None:
        """A person's pose from file and MediaPipe; None if neither has landmarks."""
        mask = self.detections.mask(person, *image.shape[:2]) if self.masks else None
        if self._detector is None:
            self._detector = PoseDetector(4, follow=False, confidence=self.confidence, masks=self.masks)
        found = self._detector(image, person.region)
        pose = min(found, key=lambda each: _apart(each, person.box), default=None)
        if pose is not None and _apart(pose, person.box) > 0.5:
            pose = None
        if person.points is not None:
            pose = _completed(person.points, pose)
        if pose is not None and mask is not None:
            pose.square, pose.mask = mask_cells(255 * mask, *pose.box)
        return pose


def track_given(
    frames: Iterable[Frame],
    fps: float,
    detections: Detections,
    confidence: float = 0.5,
    times: list[float] | None = None,
    views: Sequence[View] = (),
    cuts: list[int] | None = None,
    background: Background | None = None,
    masks: bool = False,
) -> list[Track]:
    """Tracks the people given by a file; for the arguments see :func:`mviper.inference.people.track_people`.

    Raises:
        FileFormatError: The file does not fit the video.
    """
    times = [] if times is None else times
    tracks = follow(GuidedTracker(detections, fps, confidence, views, masks), frames, times, cuts, background)
    detections.check_length(len(times))
    return tracks


def _apart(pose: Pose, box: np.ndarray) -> float:
    """Mean distance between the sides of a pose's box and another box, relative to the latter's size."""
    low, high = pose.points[:, :2].min(0), pose.points[:, :2].max(0)
    return float(np.abs(np.concatenate([low, high]) - box).mean() / max(*(box[2:] - box[:2]), 2.0))


def _completed(given: np.ndarray, pose: Pose | None) -> Pose | None:
    """The file's keypoints (33, 3), completed by MediaPipe's."""
    known = given[:, 2] > 0
    if not known.any():
        return pose
    if pose is None:
        points, world = np.full((33, 3), np.nan, np.float32), np.full((33, 3), np.nan, np.float32)
        points[:, :2], points[:, 2] = given[known, :2].mean(0), 0
        for at, name in enumerate(LANDMARKS):
            side = "right" if "right" in name else "left"
            near = next((other for part, other in _NEAR.items() if part in name), None)
            if near is not None:
                place = LANDMARKS.index(near if near == "nose" else f"{side}_{near}")
                points[at, :2] = given[place, :2] if known[place] else points[at, :2]
        pose = Pose(points, world)
    points = np.where(known[:, None], given, pose.points).astype(np.float32)
    return Pose(points, pose.world, pose.mask, pose.square)


def _people(content: object, path: Path) -> Iterable[tuple[int, float, FoundPerson]]:
    """Frame, score and person of each entry of a file."""
    if isinstance(content, dict) and "instance_info" in content:
        names = content.get("meta_info", {}).get("keypoint_id2name")
        names = None if names is None else [names[key] for key in sorted(names, key=int)]
        return _mmpose(content["instance_info"], names, path)
    if isinstance(content, dict):
        return _coco(content, path)
    if content and all("instances" in entry for entry in content):
        return _mmpose(content, None, path)
    if content and all("image_id" in entry for entry in content):
        return _coco({"annotations": content}, path)
    return _mmpose([{"frame_id": 0, "instances": content}], None, path)


def _mmpose(entries: list[dict], names: Sequence[str] | None, path: Path) -> Iterable[tuple[int, float, FoundPerson]]:
    first = min((int(entry["frame_id"]) for entry in entries), default=0)
    for entry in entries:
        for person in entry["instances"]:
            points = None
            if person.get("keypoints"):
                places = np.asarray(person["keypoints"], float)[:, :2]
                scores = np.asarray(person.get("keypoint_scores", np.ones(len(places))), float)
                points = _landmarks(np.concatenate([places, scores[:, None]], 1), names, path)
            box = person.get("bbox")
            box = None if box is None else np.asarray(box, float).ravel()[:4]
            number = int(entry["frame_id"]) - first
            score = float(np.ravel(person.get("bbox_score", 1.0))[0])
            yield number, score, _person(box, points, person.get("segmentation"), person.get("track_id"), path)


def _coco(content: dict, path: Path) -> Iterable[tuple[int, float, FoundPerson]]:
    categories = {each["id"]: each for each in content.get("categories", [])}
    order: dict[object, int] | None = None
    if "images" in content:
        images = sorted(content["images"], key=lambda each: (each.get("frame_id", 0), _natural(each["file_name"])))
        order = {each["id"]: number for number, each in enumerate(images)}
    entries = [each for each in content["annotations"] if not each.get("iscrowd")]
    written = {float(value) for each in entries for value in (each.get("keypoints") or [])[2::3]}
    labelled = written <= {0.0, 1.0, 2.0} and 2.0 in written  # COCO's 1 is hidden, 2 visible
    for each in entries:
        category = categories.get(each.get("category_id"))
        if (each.get("category_id", 1) != 1) if category is None else category.get("name", "person") != "person":
            continue
        points = None
        if each.get("keypoints"):
            points = np.asarray(each["keypoints"], float).reshape(-1, 3).copy()
            points[:, 2] /= 2 if labelled else 1
            points = _landmarks(points, (category or {}).get("keypoints"), path)
        box = each.get("bbox") or each.get("box")
        box = None if box is None else np.asarray(box, float)[:4]
        box = None if box is None else np.concatenate([box[:2], box[:2] + box[2:]])
        name = each["image_id"]
        number = _number(name, path) if order is None else order[name]
        track = next((each[key] for key in ("track_id", "instance_id", "idx") if each.get(key) is not None), None)
        yield number, float(each.get("score", 1.0)), _person(box, points, each.get("segmentation"), track, path)


def _person(
    box: np.ndarray | None, points: np.ndarray | None, segmentation: object, track: object, path: Path
) -> FoundPerson:
    if box is None and points is not None and (points[:, 2] > 0).any():
        shown = points[points[:, 2] > 0, :2]
        box = np.concatenate([shown.min(0), shown.max(0)])
    if box is None or box.shape != (4,) or not np.isfinite(box).all() or not (box[2:] > box[:2]).all():
        raise FileFormatError(path, f"a person without a box: expected bbox, four numbers, or keypoints; got {box}")
    return FoundPerson(box, points, segmentation, None if track is None else int(track))


def _landmarks(points: np.ndarray, names: Sequence[str] | None, path: Path) -> np.ndarray:
    """Keypoints (K, 3) in the order of the landmarks, NaN with confidence 0 if missing."""
    names = _NAMES.get(len(points)) if not names else names
    if names is None or len(names) != len(points):
        raise FileFormatError(
            path, f"a person of {len(points)} keypoints without names; expected 17, 26 or 133, or names"
        )
    result = np.full((len(LANDMARKS), 3), np.nan, np.float32)
    result[:, 2] = 0
    for name, point in zip(names, points):
        name = str(name).strip().lower().replace(" ", "_").replace("big_toe", "foot_index")
        if name in LANDMARKS and np.isfinite(point).all() and point[2] > 0:
            result[LANDMARKS.index(name)] = *point[:2], min(point[2], 1.0)
    return result


def _natural(name: object) -> list[object]:
    """Sort key by which names are ordered by the numbers in them."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(name))]


def _number(name: object, path: Path) -> int:
    found = re.findall(r"\d+", Path(str(name)).stem)
    if not found:
        raise FileFormatError(path, f"image_id {name!r} contains no frame number")
    return int(found[-1])


def _decoded(segmentation: object, height: int, width: int) -> np.ndarray:
    """Decodes COCO's polygons or run lengths, plain or compressed (maskApi.c), to a mask (height, width) uint8."""
    if isinstance(segmentation, list):
        mask = np.zeros((height, width), np.uint8)
        outlines = [np.round(np.asarray(each, float).reshape(-1, 2)).astype(np.int32) for each in segmentation]
        return cv2.fillPoly(mask, outlines, 1)
    size, counts = tuple(segmentation["size"]), segmentation["counts"]
    if size != (height, width):
        raise ValueError(f"of {size[1]} x {size[0]} pixels in a picture of {width} x {height}")
    counts = _decompressed(counts) if isinstance(counts, str) else counts
    if sum(counts) != height * width or min(counts) < 0:
        raise ValueError(f"run lengths sum to {sum(counts)} pixels, expected {height * width}")
    values = np.arange(len(counts), dtype=np.uint8) % 2
    return np.repeat(values, counts).reshape(width, height).T.copy()


def _decompressed(text: str) -> list[int]:
    """Decodes run lengths: five bits per character, lowest first; from the fourth on relative to the last but one."""
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            value -= (1 << shift) if code & 0x10 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    return counts
