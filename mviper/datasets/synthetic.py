"""Clips of T frames out of the sequence folders that ``tools/generate.py`` writes."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from torch.utils.data import Dataset

from mviper.body.joints import KEYPOINTS
from mviper.body.rotations import axis_angle_to_matrix
from mviper.datasets.transforms import CropClip, PackBodySample
from mviper.datasets.video import VideoReader
from mviper.errors import FileFormatError, MissingDataError
from mviper.registry import DATASETS, MODELS, TRANSFORMS
from mviper.structures.human_data import HumanData
from mviper.structures.sample import BodySample


@dataclass
class View:
    """One camera's video of one sequence.

    Attributes:
        name: ``"<split>/<folder>/<view>"``.
        annotation: HumanData file.
        video: MP4 file.
        frames: How many.
    """

    name: str
    annotation: Path
    video: Path
    frames: int


@dataclass
class ViewAnnotation:
    """What is kept in memory of a view: about 2 kB a frame.

    Attributes:
        keypoints2d: x, y [px], chi, shape (N, J, 3) float32.
        keypoints2d_valid: Which joints are labelled, shape (J,) bool.
        keypoints3d: Camera axes, joint 0 subtracted [m], and valid, shape (N, J, 4) float32.
        smpl_rotmat: Shape (N, 24, 3, 3) float32.
        betas: Shape (N, B) float32.
        video_frames: The video's frame of each row, shape (N,).
        body_model: ``name:sha256`` of the body that the betas belong to.
    """

    keypoints2d: np.ndarray
    keypoints2d_valid: np.ndarray
    keypoints3d: np.ndarray
    smpl_rotmat: np.ndarray
    betas: np.ndarray
    video_frames: np.ndarray
    body_model: str


def load_annotation(view: View) -> ViewAnnotation:
    """Reads a view's HumanData file.

    Raises:
        FileFormatError: Damaged, or it lacks what the factory writes.
    """
    data = HumanData.load(view.annotation)
    if len(data) != view.frames:
        raise FileFormatError(view.annotation, f"it has {len(data)} frames, its manifest says {view.frames}")
    lacking = [name for name in ("keypoints3d", "smpl", "visibility", "frame_idx") if getattr(data, name) is None]
    if lacking:
        raise FileFormatError(view.annotation, f"it lacks {', '.join(lacking)}, which the factory writes")
    keypoints2d, keypoints3d = np.array(data.keypoints2d, np.float32), np.array(data.keypoints3d, np.float32)
    valid = (keypoints2d[..., 2] > 0).all(axis=0)
    keypoints2d[..., 2] = (data.visibility > 0) & valid
    keypoints3d[..., :3] -= keypoints3d[:, :1, :3]
    poses = np.concatenate([data.smpl["global_orient"][:, None], data.smpl["body_pose"]], axis=1)
    for name, values in (("keypoints2d", keypoints2d), ("keypoints3d", keypoints3d), ("smpl", poses)):
        if not np.isfinite(values).all():
            raise FileFormatError(view.annotation, f"{name} holds numbers that are not finite")
    return ViewAnnotation(
        keypoints2d=keypoints2d,
        keypoints2d_valid=valid,
        keypoints3d=keypoints3d,
        smpl_rotmat=axis_angle_to_matrix(torch.from_numpy(poses).double()).float().numpy(),
        betas=np.asarray(data.smpl["betas"], np.float32),
        video_frames=np.asarray(data.frame_idx),
        body_model=data.body_model,
    )


@DATASETS.register_module()
class SyntheticHumanVideo(Dataset):
    """The factory's videos, as clips for training or as whole sequences for testing.

    A view whose video or annotation is damaged is named in a warning, counted in :attr:`skipped`, and the next view's
    first clip stands in, so that a long training run survives; which clip stands in depends on the files alone.

    Args:
        data_root: What ``tools/generate.py --out`` was given.
        split: ``'train'``, ``'val'`` or ``'test'``.
        clip_length: T; None for each sequence whole as one item. A shorter sequence repeats its last frame.
        stride: Frames between the starts of successive clips; a clip's own span by default (no overlap).
        frame_step: Every how-manieth frame of the video a clip takes.
        views: Camera names to use; all by default.
        pipeline: Configs of transforms; ``CropClip`` and ``PackBodySample`` by default.
        body_model: The body that training uses, as its config or its ``name:sha256``. Sequences with betas of another
            body get ``has_betas = 0`` and one warning. None takes the first sequence's.
        synthesis_config: The config that makes such data, for the message when there are none.
        cache_frames: Annotation of at most so many frames stays in memory in each process (2 kB each).
        open_videos: Video files that each process keeps open.
        cache_images: Decoded frames that each process keeps in memory (0.2 MB each at 250 x 250): for data that fit,
            and are read many times.

    Raises:
        MissingDataError: There is no complete sequence; the message is the command that makes them.
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        clip_length: int | None = 4,
        stride: int | None = None,
        frame_step: int = 1,
        views: Sequence[str] | None = None,
        pipeline: Sequence[dict] | None = None,
        body_model: dict | str | None = None,
        synthesis_config: str = "configs/synthesis/cmu_asf_amc.py",
        cache_frames: int = 100_000,
        open_videos: int = 16,
        cache_images: int = 0,
    ) -> None:
        self.data_root, self.split = Path(data_root), split
        self.clip_length, self.frame_step = clip_length, frame_step
        self.stride = stride or (clip_length or 1) * frame_step
        self.pipeline = (
            [CropClip(), PackBodySample()] if pipeline is None else [TRANSFORMS.build(step) for step in pipeline]
        )
        self.cache_frames = cache_frames
        #: Why a view is not used, by file.
        self.skipped: dict[str, str] = {}
        self._reader = VideoReader(open_videos, cache_images)
        self._annotations: OrderedDict[str, ViewAnnotation] = OrderedDict()
        self._warned_betas = False

        self.views = self._find_views(views)
        if not self.views:
            if self.skipped:
                raise self._nothing_left()
            raise MissingDataError(
                f"no complete sequence in {self.data_root / split}; make some with:\n"
                f"  python tools/generate.py {synthesis_config} --out {self.data_root}"
            )
        self.body_model = self._body_model_id(body_model)
        self._first_clip = np.concatenate([[0], np.cumsum([self._clips_of(view) for view in self.views])])

    @property
    def metainfo(self) -> dict:
        """Name of the data set, its keypoints and the body that its betas belong to."""
        return {
            "dataset": f"synthetic/{self.split}",
            "keypoints": KEYPOINTS,
            "body_model": self.body_model,
            "views": len(self.views),
            "frames": sum(view.frames for view in self.views),
        }

    def __len__(self) -> int:
        return int(self._first_clip[-1])

    def locate(self, index: int) -> tuple[int, int]:
        """Which of :attr:`views` a clip is of, and its first frame."""
        view_index = int(np.searchsorted(self._first_clip, index, side="right")) - 1
        return view_index, (index - int(self._first_clip[view_index])) * self.stride

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        view_index, start = self.locate(index)
        # Of numpy's global generator, which loaders seed (mviper.engine.SeededItems: by the place in training alone).
        rng = np.random.default_rng(np.random.randint(0, 2**32, 4, np.uint32))
        for attempt in range(len(self.views) + 1):
            view = self.views[(view_index + attempt) % len(self.views)]
            try:
                return self._item(view, start if attempt == 0 else 0, rng)
            except FileFormatError as error:
                self._skip(error.path, error.problem)
        raise self._nothing_left()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_annotations": OrderedDict()}  # a spawned worker reads its own

    def annotation_samples(self, frame_step: int = 1) -> Iterator[BodySample]:
        """Yields each view's annotation as one sample, without decoding its video (crops as the pipeline makes them).

        Args:
            frame_step: Every how-manieth frame.
        """
        crop = next((step for step in self.pipeline if isinstance(step, CropClip)), CropClip())
        for view in self.views:
            try:
                annotation = self._annotation(view)
            except FileFormatError as error:
                self._skip(error.path, error.problem)
                continue
            rows = np.arange(0, view.frames, frame_step)
            yield PackBodySample()(crop(self._results(view, annotation, rows)))["data_sample"]

    def annotations(self, frame_step: int = 1) -> dict[str, np.ndarray]:
        """All views' annotation as arrays over all frames, e.g. for the mean phi.

        Args:
            frame_step: Every how-manieth frame.

        Returns:
            ``keypoints2d`` (N, J, 3) in crop units with chi, ``keypoints3d`` (N, J, 4), ``smpl_rotmat``
            (N, 24, 3, 3), ``betas`` (N, B), ``has_betas`` (N,).
        """
        fields = {name: [] for name in ("keypoints2d", "keypoints3d", "smpl_rotmat", "betas", "has_betas")}
        for sample in self.annotation_samples(frame_step):
            for name, values in fields.items():
                value = getattr(sample, name).numpy()
                values.append(value if value.ndim else np.repeat(value, len(sample.frame_indices)))
        if not fields["betas"]:
            raise self._nothing_left()
        return {name: np.concatenate(values) for name, values in fields.items()}

    def _find_views(self, wanted: Sequence[str] | None) -> list[View]:
        views = []
        for manifest_path in sorted((self.data_root / self.split).glob("*/manifest.json")):
            folder = manifest_path.parent
            if folder.name.startswith("."):  # being written
                continue
            try:
                manifest = json.loads(manifest_path.read_text())
                names, frames = list(manifest["views"]), int(manifest["frames"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._skip(manifest_path, f"not a manifest that the factory wrote: {error!r}")
                continue
            for name in names:
                if wanted is not None and name not in wanted:
                    continue
                view = View(
                    f"{self.split}/{folder.name}/{name}", folder / f"{name}.npz", folder / f"{name}.mp4", frames
                )
                missing = [path for path in (view.annotation, view.video) if not path.is_file()]
                if missing:
                    self._skip(missing[0], "no such file, though the manifest names it")
                else:
                    views.append(view)
        return views

    def _clips_of(self, view: View) -> int:
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
                self._skip(error.path, error.problem)
        raise self._nothing_left()

    def _item(self, view: View, start: int, rng: np.random.Generator) -> dict:
        annotation = self._annotation(view)
        length = self.clip_length or -(-view.frames // self.frame_step)
        rows = np.minimum(start + np.arange(length) * self.frame_step, view.frames - 1)
        results = self._results(view, annotation, rows)
        results["rng"] = rng
        results["frames"] = self._reader.read(view.video, annotation.video_frames[rows].tolist())
        for transform in self.pipeline:
            results = transform(results)
        return results

    def _results(self, view: View, annotation: ViewAnnotation, rows: np.ndarray) -> dict:
        return {
            "sequence": view.name,
            "frame_indices": rows,
            "video_path": str(view.video),
            "keypoints2d": annotation.keypoints2d[rows],
            "keypoints2d_valid": annotation.keypoints2d_valid,
            "keypoints3d": annotation.keypoints3d[rows],
            "smpl_rotmat": annotation.smpl_rotmat[rows],
            "betas": annotation.betas[rows],
            "has_keypoints3d": 1.0,
            "has_smpl": 1.0,
            "has_betas": float(self._betas_belong(view, annotation)),
        }

    def _betas_belong(self, view: View, annotation: ViewAnnotation) -> bool:
        if annotation.body_model == self.body_model:
            return True
        if not self._warned_betas:
            self._warned_betas = True
            print_log(
                f"{view.annotation}: its betas belong to body {annotation.body_model}, not to {self.body_model}: they "
                "are not used (has_betas = 0); the same holds for other such files",
                "current",
                logging.WARNING,
            )
        return False

    def _annotation(self, view: View) -> ViewAnnotation:
        annotation = self._annotations.get(view.name)
        if annotation is None:
            annotation = self._annotations[view.name] = load_annotation(view)
            while (
                len(self._annotations) > 1 and sum(len(a.betas) for a in self._annotations.values()) > self.cache_frames
            ):
                self._annotations.popitem(last=False)
        self._annotations.move_to_end(view.name)
        return annotation

    def _nothing_left(self) -> MissingDataError:
        reasons = "".join(f"\n  {path}: {reason}" for path, reason in self.skipped.items())
        return MissingDataError(f"{self.data_root / self.split}: not one readable view is left:{reasons}")

    def _skip(self, path: Path, reason: str) -> None:
        if str(path) not in self.skipped:
            self.skipped[str(path)] = reason
            print_log(f"{path}: {reason}; skipped ({len(self.skipped)} so far)", "current", logging.WARNING)
