"""Clips and stills of public sets, from HumanData written by ``tools/convert_dataset.py`` or MMHuman3D."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mviper.config import command
from mviper.datasets.clips import MediaClipDataset, View, ViewAnnotation, read_annotation
from mviper.datasets.index import INDEX_NAME, read_index
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.registry import DATASETS
from mviper.structures import HumanData


@DATASETS.register_module()
class HumanDataset(MediaClipDataset):
    """A public set: videos as clips or whole sequences, stills repeated to clips.

    Missing annotation becomes zeros with a flag: ``has_keypoints3d``, ``has_smpl`` and ``has_betas`` are set per
    sample. Frames left out by the conversion split a video into several views of one sequence; a clip never spans a
    gap.

    Args:
        data_root: Folder of the annotation, e.g. ``tools/convert_dataset.py --out``.
        ann_file: Relative to it: the folder of a converted split (``'mpii/train'``), or one HumanData ``.npz`` of
            stills.
        data_prefix: Folder of the pictures and videos; None: where the conversion found them (for a ``.npz``: its own
            folder).
        include: Shell patterns of sequences to use; all by default. ``'*.60457274'`` is Human3.6M's frontal camera.
        as_stills: Use videos frame by frame too, each repeated to a clip (the paper's frame-based protocols).
        chi: ``'visible'``: hidden joints have chi = 0, as in eq. 7; ``'labelled'``: all labelled joints count.
        cache_frames: Frames of annotation kept in memory by each process (2 kB each).
        **options: Of :class:`mviper.datasets.MediaClipDataset` and :class:`mviper.datasets.ClipDataset`.
            ``clip_length=None`` uses each still once.

    Raises:
        MissingDataError: There is no finished conversion; the message gives the command.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        data_prefix: str | None = None,
        include: Sequence[str] | None = None,
        as_stills: bool = False,
        chi: str = "visible",
        cache_frames: int = 200_000,
        **options: Any,
    ) -> None:
        if chi not in ("visible", "labelled"):
            raise ConfigError(f"HumanDataset: chi={chi!r}, expected 'visible' or 'labelled'")
        self.data_root, self.ann_file = Path(data_root).expanduser(), str(ann_file)
        self.include, self.as_stills, self.chi = include, as_stills, chi
        self.media_root = None if data_prefix is None else Path(data_prefix).expanduser()
        super().__init__(cache_frames=cache_frames, **options)

    @property
    def name(self) -> str:
        """``<set>/<split>``."""
        return self.ann_file.removesuffix(".npz")

    @property
    def place(self) -> Path:
        """The split's folder or file."""
        return self.data_root / self.ann_file

    def how_to_make(self) -> str:
        """The conversion's command."""
        data_set, _, split = self.ann_file.partition("/")
        return (
            f"{self.place} is not a finished conversion with sequences that match {list(self.include or ['*'])}; make "
            "it with\n  "
            + command(
                "convert_dataset",
                data_set,
                "FOLDER_OF_THE_SET",
                "--out",
                self.data_root,
                *(["--splits", split] if split else []),
            )
        )

    def find_views(self) -> list[View]:
        """A view for each continuous run of each sequence, or one for each collection of stills."""
        if self.place.suffix == ".npz" and self.place.is_file():
            self.media_root = self.media_root or self.place.parent
            frames = len(HumanData.load(self.place))
            return [View(self.name, self.place, None, frames, stills=True)] if frames else []
        index = read_index(self.place)
        if index is None or not index.complete:
            return []
        self.media_root = self.media_root or Path(index.header["root"])
        if not self.media_root.is_dir():
            raise MissingDataError(
                f"{self.media_root}, where {self.place / INDEX_NAME} found the set's pictures and videos, is no "
                "folder; say with data_prefix where they are now"
            )
        stills = self.as_stills or index.header["stills"]
        views = []
        for sequence, runs in index.runs.items():
            if self.include is not None and not any(fnmatch.fnmatch(sequence, pattern) for pattern in self.include):
                continue
            name = self.name if index.header["stills"] else f"{self.name}/{sequence}"
            path = self.place / f"{sequence}.npz"
            views += [View(name, path, None, length, first, stills) for first, length in runs]
        return views

    def load_annotation(self, view: View) -> ViewAnnotation:
        """Reads a HumanData file.

        Raises:
            FileFormatError: Damaged, or shorter than the index says.
        """
        data = HumanData.load(view.annotation)
        if len(data) < view.first_row + view.frames:
            raise FileFormatError(view.annotation, f"it has {len(data)} rows, the index says more")
        if not data.video_path and not data.image_path:
            raise FileFormatError(view.annotation, "it names neither images nor a video")
        return read_annotation(data, view.annotation, self.chi)

    def media_path(self, view: View, name: str) -> Path:
        """A picture or video of the set."""
        assert self.media_root is not None  # find_views has set it
        return self.media_root / name
