"""Base of clip data sets: views, windows of T frames, pictures, the deltas, skipping of damaged files."""

from __future__ import annotations

import abc
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from torch.utils.data import Dataset

from mviper.body import axis_angle_to_matrix, same_body
from mviper.datasets.transforms import CropClip, PackBodySample
from mviper.datasets.video import VideoReader
from mviper.errors import FileFormatError, MissingDataError
from mviper.graphics import decode_picture
from mviper.registry import MODELS, TRANSFORMS
from mviper.sample import BodySample
from mviper.structures import KEYPOINTS, HumanData

#: Bound on pixels and on metres from the root.
_LARGEST = 1e6
#: Least share of the annotated frames that a video must have; public sets lack some at the end.
_WHOLE = 0.95
_PELVIS = KEYPOINTS.index("pelvis")
_HIPS = [KEYPOINTS.index("left_hip_extra"), KEYPOINTS.index("right_hip_extra")]


@dataclass
class View:
    """One camera's continuous video of one person, or a collection of stills.

    Attributes:
        name: Name of its samples, e.g. ``"<split>/<folder>/<view>"``.
        annotation: HumanData file.
        video: Its video; None if the annotation names it, or names a picture for each row.
        frames: Number of rows.
        first_row: First row in the annotation.
        stills: Whether each row is a separate picture; a clip is then that picture T times.
    """

    name: str
    annotation: Path
    video: Path | None
    frames: int
    first_row: int = 0
    stills: bool = False


@dataclass
class ViewAnnotation:
    """Cached content of an annotation file: about 2 kB a frame.

    Attributes:
        keypoints2d: x, y [px], chi, shape (N, J, 3) float32.
        keypoints2d_valid: Which joints are labelled, shape (N, J) bool.
        keypoints3d: Camera axes, root subtracted [m], and valid, shape (N, J, 4) float32. The root is SMPL's joint 0
            or, if unlabelled, the middle of the surface hips.
        smpl_rotmat: Shape (N, 24, 3, 3) float32.
        betas: Shape (N, B) float32.
        has_smpl: Shape () bool.
        video_frames: Frame number in the video of each row, shape (N,).
        body_model: ``name:sha256`` of the body that the betas belong to.
        pictures: A picture's path for each row; empty for videos.
        video: The video's path; "" for pictures.
        sizes: Expected width and height of the pictures [px], shape (N, 2); None if the file does not state them.
    """

    keypoints2d: np.ndarray
    keypoints2d_valid: np.ndarray
    keypoints3d: np.ndarray
    smpl_rotmat: np.ndarray
    betas: np.ndarray
    has_smpl: bool
    video_frames: np.ndarray
    body_model: str
    pictures: list[str]
    video: str
    sizes: np.ndarray | None = None


def read_annotation(data: HumanData, path: Path, chi: str = "visible") -> ViewAnnotation:
    """Arrays of a training sample from HumanData; missing kinds of annotation become zeros with a flag.

    Args:
        data: The annotation.
        path: Its file, for error messages.
        chi: ``'visible'``: joints marked as hidden have chi = 0, as in eq. 7. ``'labelled'``: all labelled joints count
            as visible.

    Raises:
        FileFormatError: Labelled values are not finite or out of range, or picture sizes are invalid.
    """
    frames = len(data)
    try:
        sizes = data.picture_sizes
    except (ValueError, TypeError) as error:
        raise FileFormatError(path, f"does not give a usable image size: {error}") from error
    keypoints2d = np.array(data.keypoints2d, np.float32)
    valid = keypoints2d[..., 2] > 0
    shown = data.visibility > 0 if chi == "visible" and data.visibility is not None else True
    keypoints2d[..., 2] = valid & shown
    # Missing arrays take no memory.
    keypoints3d = np.broadcast_to(np.zeros((len(KEYPOINTS), 4), np.float32), (frames, len(KEYPOINTS), 4))
    smpl_rotmat = np.broadcast_to(np.eye(3, dtype=np.float32), (frames, 24, 3, 3))
    betas = np.broadcast_to(np.zeros(10, np.float32), (frames, 10))
    if data.keypoints3d is not None:
        keypoints3d = root_relative(np.array(data.keypoints3d, np.float32))
    if data.smpl is not None:
        poses = np.concatenate([data.smpl["global_orient"][:, None], data.smpl["body_pose"]], axis=1)
        smpl_rotmat = axis_angle_to_matrix(torch.from_numpy(poses).double()).float().numpy()
        betas = np.asarray(data.smpl["betas"], np.float32) if "betas" in data.smpl else betas
    labelled = [
        ("keypoints2d", keypoints2d[valid]),
        ("keypoints3d", keypoints3d[keypoints3d[..., 3] > 0]),
        ("betas", betas),
    ]
    if data.smpl is not None:
        labelled.append(("smpl", smpl_rotmat))
    for name, values in labelled:
        if not np.isfinite(values).all():
            raise FileFormatError(path, f"{name} contains NaN or infinite values")
        if np.abs(values).max(initial=0) > _LARGEST:
            raise FileFormatError(path, f"{name} holds {np.abs(values).max():g}, which no person's annotation does")
    keypoints2d[~valid] = 0
    if data.keypoints3d is not None:
        keypoints3d[keypoints3d[..., 3] == 0] = 0
    return ViewAnnotation(
        keypoints2d=keypoints2d,
        keypoints2d_valid=valid,
        keypoints3d=keypoints3d,
        smpl_rotmat=smpl_rotmat,
        betas=betas,
        has_smpl=data.smpl is not None,
        video_frames=np.arange(frames) if data.frame_idx is None else np.asarray(data.frame_idx),
        body_model=data.body_model if data.smpl is not None and "betas" in data.smpl else "",
        pictures=[] if data.video_path else data.image_path,
        video=data.video_path,
        sizes=sizes,
    )


def root_relative(keypoints3d: np.ndarray) -> np.ndarray:
    """Subtracts the root from 3D keypoints and makes their validity 0 or 1.

    Args:
        keypoints3d: x, y, z [m] and confidence, in the order of ``KEYPOINTS``, shape (N, J, 4); changed in place.

    Returns:
        The same array. The root is the pelvis (SMPL's joint 0) if labelled, else the middle of the surface hips; a
        frame with neither has no valid joint.
    """
    valid = keypoints3d[..., 3] > 0
    hips = valid[:, _HIPS].all(axis=1)
    root = np.where(
        valid[:, _PELVIS, None], keypoints3d[:, _PELVIS, :3], keypoints3d[:, _HIPS, :3].mean(axis=1)
    )  # fmt: skip
    keypoints3d[..., :3] -= root[:, None]
    keypoints3d[..., 3] = valid & (valid[:, _PELVIS] | hips)[:, None]
    return keypoints3d


def read_picture(path: str | Path) -> np.ndarray:
    """Reads a picture in its stored orientation, as annotated: EXIF orientation tags are ignored.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        FileFormatError: Missing or not a picture.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise FileFormatError(path, f"cannot be read: {error.strerror}") from error
    picture = decode_picture(content, path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


class ClipDataset(Dataset, abc.ABC):
    """Base of the data sets: clips for training, or whole sequences for testing.

    A view with a damaged video or annotation is named in a warning, counted in :attr:`skipped` and replaced by the next
    view's first clip (of stills: the next still), so that a long training run survives; the replacement depends only on
    the files.

    Args:
        clip_length: T; None: each whole sequence is one item. A shorter sequence repeats its last frame, a still is
            repeated T times.
        stride: Frames between the starts of successive clips; a clip's length by default (no overlap).
        frame_step: A clip takes every n-th frame of the video.
        pipeline: Configs of transforms; ``CropClip`` and ``PackBodySample`` by default.
        body_model: The body used in training, as its config or its ``name:sha256``. Sequences with betas of another
            body get ``has_betas = 0`` and one warning. None: the first sequence's.
        cache_frames: Frames of annotation kept in memory by each process (2 kB each).

    Raises:
        MissingDataError: There is no view; the message gives the command that makes some.
    """

    def __init__(
        self,
        clip_length: int | None = 4,
        stride: int | None = None,
        frame_step: int = 1,
        pipeline: Sequence[dict] | None = None,
        body_model: dict | str | None = None,
        cache_frames: int = 100_000,
    ) -> None:
        self.clip_length, self.frame_step = clip_length, frame_step
        self.stride = stride or (clip_length or 1) * frame_step
        self.pipeline: list[Callable[[dict], dict]] = (
            [CropClip(), PackBodySample()] if pipeline is None else [TRANSFORMS.build(step) for step in pipeline]
        )
        self.cache_frames = cache_frames
        #: Reasons for skipped views, by file.
        self.skipped: dict[str, str] = {}
        self._annotations: OrderedDict[Path, ViewAnnotation] = OrderedDict()
        self._warned_betas = False

        self.views = self.find_views()
        if not self.views:
            raise self._nothing_left() if self.skipped else MissingDataError(self.how_to_make())
        self.body_model = self._body_model_id(body_model)
        self._first_clip = np.concatenate([[0], np.cumsum([self._clips_of(view) for view in self.views])])

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Name of the data set in reports."""

    @property
    @abc.abstractmethod
    def place(self) -> Path:
        """Its location, for messages."""

    @abc.abstractmethod
    def find_views(self) -> list[View]:
        """All views, in a fixed order; unusable ones are passed to :meth:`skip`."""

    @abc.abstractmethod
    def how_to_make(self) -> str:
        """The message when there is none: the command that makes them."""

    @abc.abstractmethod
    def load_annotation(self, view: View) -> ViewAnnotation:
        """Reads a view's file.

        Raises:
            FileFormatError: It cannot be used.
        """

    @abc.abstractmethod
    def read_frames(self, view: View, annotation: ViewAnnotation, rows: np.ndarray) -> list[np.ndarray]:
        """Decodes the frames of rows of a view's annotation, (H, W, 3) uint8 RGB each.

        Raises:
            FileFormatError: One cannot be read.
        """

    def media_path(self, view: View, name: str) -> Path:
        """Path of a picture or video that an annotation names."""
        return view.annotation.parent / name

    @property
    def metainfo(self) -> dict:
        """Name of the data set, its keypoints and the body that its betas belong to."""
        return {
            "dataset": self.name,
            "keypoints": KEYPOINTS,
            "body_model": self.body_model,
            "views": len(self.views),
            "frames": sum(view.frames for view in self.views),
        }

    def __len__(self) -> int:
        return int(self._first_clip[-1])

    def locate(self, index: int) -> tuple[int, int]:
        """A clip's view (index into :attr:`views`) and first frame."""
        view_index = int(np.searchsorted(self._first_clip, index, side="right")) - 1
        step = 1 if self.views[view_index].stills else self.stride
        return view_index, (index - int(self._first_clip[view_index])) * step

    def sequence_of(self, index: int) -> str:
        """Name of a clip's sequence; each still is one."""
        view_index, start = self.locate(index)
        return self._sequence_name(self.views[view_index], self.views[view_index].first_row + start)

    @staticmethod
    def _sequence_name(view: View, row: int) -> str:
        return f"{view.name}/{row:06d}" if view.stills else view.name

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        # From numpy's global generator, which loaders seed (mviper.engine.SeededItems: by position in training only).
        rng = np.random.default_rng(np.random.randint(0, 2**32, 4, np.uint32))
        for stand_in in self._stand_ins(index):
            view_index, start = self.locate(stand_in)
            try:
                return self._item(self.views[view_index], start, rng)
            except FileFormatError as error:
                self.skip(error.path, error.problem)
        raise self._nothing_left()

    def _stand_ins(self, index: int) -> Iterator[int]:
        """The clip itself, then its replacements in order."""
        view_index, start = self.locate(index)
        yield index
        first, last = self._first_clip[view_index : view_index + 2]
        if self.views[view_index].stills:
            yield from (int(first) + (start + step) % int(last - first) for step in range(1, int(last - first)))
        for step in range(1, len(self.views) + 1):
            yield int(self._first_clip[(view_index + step) % len(self.views)])

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_annotations": OrderedDict()}  # a spawned worker reads its own

    def annotation_samples(self, frame_step: int = 1) -> Iterator[BodySample]:
        """Yields each view's annotation as one sample, cropped by the pipeline, without decoding its video.

        Args:
            frame_step: Takes every n-th frame.

        Raises:
            MissingDataError: Nothing can be read.
        """
        crop = next((step for step in self.pipeline if isinstance(step, CropClip)), CropClip())
        empty = True
        for view in self.views:
            try:
                annotation = self._annotation(view)
            except FileFormatError as error:
                self.skip(error.path, error.problem)
                continue
            rows = view.first_row + np.arange(0, view.frames, frame_step)
            # The crops of stills are independent of each other.
            for part in [rows] if not view.stills else rows[:, None]:
                try:
                    results = crop(self._results(view, annotation, part))
                except FileFormatError as error:
                    self.skip(error.path, error.problem)
                else:
                    empty = False
                    yield PackBodySample()(results)["data_sample"]
        if empty:
            raise self._nothing_left()

    def skip(self, path: str | Path, reason: str) -> None:
        """Records that a file is skipped, and warns once."""
        if str(path) not in self.skipped:
            self.skipped[str(path)] = reason
            print_log(f"{path}: {reason}; skipped ({len(self.skipped)} so far)", "current", logging.WARNING)

    def _clips_of(self, view: View) -> int:
        if view.stills:
            return view.frames
        if self.clip_length is None:
            return 1
        span = (self.clip_length - 1) * self.frame_step + 1
        return max(0, view.frames - span) // self.stride + 1

    def _body_model_id(self, body_model: dict | str | None) -> str:
        if isinstance(body_model, str):
            return body_model
        if body_model is not None:
            return MODELS.build(body_model).body_model_id
        for view in self.views:
            try:
                return self._annotation(view).body_model
            except FileFormatError as error:
                self.skip(error.path, error.problem)
        raise self._nothing_left()

    def _item(self, view: View, start: int, rng: np.random.Generator) -> dict:
        annotation = self._annotation(view)
        if view.stills:
            rows = np.full(self.clip_length or 1, view.first_row + start)
        else:
            length = self.clip_length or -(-view.frames // self.frame_step)
            rows = view.first_row + np.minimum(start + np.arange(length) * self.frame_step, view.frames - 1)
        results = self._results(view, annotation, rows)
        results["rng"] = rng
        results["frames"] = self.read_frames(view, annotation, rows)
        self._check_sizes(view, annotation, rows, results["frames"])
        for transform in self.pipeline:
            results = transform(results)
        return results

    def _check_sizes(self, view: View, annotation: ViewAnnotation, rows: np.ndarray, frames: list[np.ndarray]) -> None:
        """Rejects pictures whose size differs from the annotation's: 2D joints would be misplaced."""
        if annotation.sizes is None:
            return
        for row, (width, height), frame in zip(rows, annotation.sizes[rows].tolist(), frames):
            even = height + height % 2, width + width % 2  # H.264's: the factory repeats the last row or column
            if frame.shape[:2] not in ((height, width), even):
                raise FileFormatError(
                    self.file_of(view, annotation, row),
                    f"it has {frame.shape[1]} x {frame.shape[0]} pixels, its annotation says {width} x {height}: was "
                    "it scaled, cropped or rotated? Restore the original, or convert the data set again",
                )

    def file_of(self, view: View, annotation: ViewAnnotation, row: int) -> Path:
        """Path of the video or of a row's picture."""
        name = annotation.pictures[row] if annotation.pictures else annotation.video
        return view.video or self.media_path(view, name)

    def _results(self, view: View, annotation: ViewAnnotation, rows: np.ndarray) -> dict:
        if not annotation.keypoints2d_valid[rows].any():
            raise FileFormatError(view.annotation, f"rows {rows[0]} to {rows[-1]} have no 2D joint to crop by")
        return {
            "sequence": self._sequence_name(view, rows[0]),
            "frame_indices": annotation.video_frames[rows],
            "video_path": str(self.file_of(view, annotation, rows[0])),
            "keypoints2d": annotation.keypoints2d[rows],
            "keypoints2d_valid": annotation.keypoints2d_valid[rows],
            "keypoints3d": annotation.keypoints3d[rows],
            "smpl_rotmat": annotation.smpl_rotmat[rows],
            "betas": annotation.betas[rows],
            "has_keypoints3d": float((annotation.keypoints3d[rows, :, 3] > 0).any()),
            "has_smpl": float(annotation.has_smpl),
            "has_betas": float(annotation.has_smpl and self._betas_belong(view, annotation)),
        }

    def _betas_belong(self, view: View, annotation: ViewAnnotation) -> bool:
        if annotation.body_model and same_body(annotation.body_model, self.body_model):
            return True
        if not self._warned_betas:
            self._warned_betas = True
            print_log(
                f"{view.annotation}: its betas belong to body {annotation.body_model or 'unknown'}, not to "
                f"{self.body_model}: they are not used (has_betas = 0); the same holds for other such files",
                "current",
                logging.WARNING,
            )
        return False

    def _annotation(self, view: View) -> ViewAnnotation:
        key = view.annotation
        annotation = self._annotations.get(key)
        if annotation is None:
            annotation = self._annotations[key] = self.load_annotation(view)
            while (
                len(self._annotations) > 1 and sum(len(a.betas) for a in self._annotations.values()) > self.cache_frames
            ):
                self._annotations.popitem(last=False)
        self._annotations.move_to_end(key)
        return annotation

    def _nothing_left(self) -> MissingDataError:
        reasons = "".join(f"\n  {path}: {reason}" for path, reason in self.skipped.items())
        return MissingDataError(f"{self.place}: no readable view is left:{reasons}")


class MediaClipDataset(ClipDataset):
    """Base of data sets whose frames are in video files and pictures.

    Args:
        open_videos: Video files that each process keeps open.
        cache_images: Decoded video frames kept in memory by each process (0.2 MB each at 250 x 250): for data that fit
            and are read many times.
        **options: Of :class:`ClipDataset`.
    """

    def __init__(self, open_videos: int = 16, cache_images: int = 0, **options: Any) -> None:
        self._reader = VideoReader(open_videos, cache_images)
        super().__init__(**options)

    def read_frames(self, view: View, annotation: ViewAnnotation, rows: np.ndarray) -> list[np.ndarray]:
        """See :class:`ClipDataset`."""
        if annotation.pictures:
            pictures = {row: read_picture(self.file_of(view, annotation, row)) for row in dict.fromkeys(rows.tolist())}
            return [pictures[row] for row in rows.tolist()]
        video, last = self.file_of(view, annotation, rows[0]), int(annotation.video_frames.max(initial=0))
        count = self._reader.count(video)
        if count < _WHOLE * (last + 1):  # at half the rate, frame numbers would mean other moments
            raise FileFormatError(
                video, f"it has {count} frames, its annotation goes up to number {last}: was it cut, or re-encoded "
                "at another frame rate?",
            )  # fmt: skip
        return self._reader.read(video, annotation.video_frames[rows].tolist())
