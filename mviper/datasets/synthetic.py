"""Clips of T frames from the sequence folders of ``tools/generate.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mviper.config import command
from mviper.datasets.clips import MediaClipDataset, View, ViewAnnotation, read_annotation
from mviper.datasets.sequences import read_manifest
from mviper.errors import FileFormatError
from mviper.registry import DATASETS
from mviper.structures import HumanData, person_views


@DATASETS.register_module()
class SyntheticHumanVideo(MediaClipDataset):
    """The factory's videos, as clips for training or as whole sequences for testing.

    A view with a damaged video or annotation is named in a warning, counted in :attr:`skipped` and replaced by the next
    view's first clip, so that a long training run survives; the replacement depends only on the files.

    Args:
        data_root: What ``tools/generate.py --out`` was given.
        split: ``'train'``, ``'val'`` or ``'test'``.
        views: Names of views to use; all by default.
        synthesis_config: The config that makes such data, for error messages.
        **options: Of :class:`mviper.datasets.MediaClipDataset` and :class:`mviper.datasets.ClipDataset`.

    Raises:
        MissingDataError: There is no complete sequence; the message gives the command that makes them.
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        views: Sequence[str] | None = None,
        synthesis_config: str = "configs/synthesis/cmu_asf_amc.py",
        **options: Any,
    ) -> None:
        self.data_root, self.split = Path(data_root).expanduser(), split
        self.wanted_views, self.synthesis_config = views, synthesis_config
        super().__init__(**options)

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
        others = (self.data_root / split for split in ("train", "val", "test") if split != self.split)
        present = [str(place) for place in others if next(place.glob("*/manifest.json"), None)]
        only = f", only in {' and '.join(present)}" if present else ""
        return (
            f"no complete sequence in {self.place}{only}; make some with:\n"
            f"  {command('generate', self.synthesis_config, '--out', self.data_root)}"
        )

    def find_views(self) -> list[View]:
        """The views that the sequences' manifests name; of several people each is a view of its own."""
        views = []
        for manifest_path in sorted(self.place.glob("*/manifest.json")):
            folder = manifest_path.parent
            if folder.name.startswith("."):  # being written
                continue
            try:
                manifest = read_manifest(manifest_path)
            except FileFormatError as error:
                self.skip(manifest_path, error.problem)
                continue
            for shown in person_views(manifest):
                if self.wanted_views is not None and shown.view not in self.wanted_views:
                    continue
                annotation, video = folder / f"{shown.name}.npz", folder / f"{shown.view}.mp4"
                missing = [path for path in (annotation, video) if not path.is_file()]
                if missing:
                    self.skip(missing[0], "no such file, though the manifest names it")
                else:
                    views.append(
                        View(f"{self.split}/{folder.name}/{shown.name}", annotation, video, manifest["frames"])
                    )
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
    """Checks that annotation is complete.

    Raises:
        FileFormatError: It lacks frames, or kinds of annotation that the factory writes.
    """
    if len(data) != view.frames:
        raise FileFormatError(view.annotation, f"it has {len(data)} frames, its manifest says {view.frames}")
    lacking = [name for name in ("keypoints3d", "smpl", "visibility", "frame_idx") if getattr(data, name) is None]
    if lacking:
        raise FileFormatError(view.annotation, f"it lacks {', '.join(lacking)}, which the factory writes")
