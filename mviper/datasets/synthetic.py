"""Clips of T frames out of the sequence folders that ``tools/generate.py`` writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mviper.datasets.clips import ClipDataset, View, ViewAnnotation, read_annotation
from mviper.errors import FileFormatError
from mviper.registry import DATASETS
from mviper.structures.human_data import HumanData


@DATASETS.register_module()
class SyntheticHumanVideo(ClipDataset):
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
        self.wanted_views, self.synthesis_config = views, synthesis_config
        super().__init__(
            clip_length, stride, frame_step, pipeline, body_model, cache_frames, open_videos, cache_images
        )  # fmt: skip

    @property
    def name(self) -> str:
        """``synthetic/<split>``."""
        return f"synthetic/{self.split}"

    @property
    def place(self) -> Path:
        """The split's folder."""
        return self.data_root / self.split

    def how_to_make(self) -> str:
        """The factory's command."""
        return (
            f"no complete sequence in {self.place}; make some with:\n"
            f"  python tools/generate.py {self.synthesis_config} --out {self.data_root}"
        )

    def find_views(self) -> list[View]:
        """The views that the sequences' manifests name."""
        views = []
        for manifest_path in sorted(self.place.glob("*/manifest.json")):
            folder = manifest_path.parent
            if folder.name.startswith("."):  # being written
                continue
            try:
                manifest = json.loads(manifest_path.read_text())
                names, frames = list(manifest["views"]), int(manifest["frames"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                self.skip(manifest_path, f"not a manifest that the factory wrote: {error!r}")
                continue
            for name in names:
                if self.wanted_views is not None and name not in self.wanted_views:
                    continue
                view = View(
                    f"{self.split}/{folder.name}/{name}", folder / f"{name}.npz", folder / f"{name}.mp4", frames
                )
                missing = [path for path in (view.annotation, view.video) if not path.is_file()]
                if missing:
                    self.skip(missing[0], "no such file, though the manifest names it")
                else:
                    views.append(view)
        return views

    def load_annotation(self, view: View) -> ViewAnnotation:
        """Reads a view's HumanData file.

        Raises:
            FileFormatError: Damaged, or it lacks what the factory writes.
        """
        data = HumanData.load(view.annotation)
        require_factory_annotation(data, view)
        return read_annotation(data, view.annotation)


def require_factory_annotation(data: HumanData, view: View) -> None:
    """Checks that annotation is whole.

    Raises:
        FileFormatError: It lacks frames, or kinds of annotation that the factory writes.
    """
    if len(data) != view.frames:
        raise FileFormatError(view.annotation, f"it has {len(data)} frames, its manifest says {view.frames}")
    lacking = [name for name in ("keypoints3d", "smpl", "visibility", "frame_idx") if getattr(data, name) is None]
    if lacking:
        raise FileFormatError(view.annotation, f"it lacks {', '.join(lacking)}, which the factory writes")
