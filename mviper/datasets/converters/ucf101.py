"""UCF101 (Soomro et al., 2012): videos without body annotation."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mviper.datasets.converters.base import Converter, Summary
from mviper.errors import FileFormatError
from mviper.files import atomic_path, read_text
from mviper.registry import DATA_CONVERTERS


@DATA_CONVERTERS.register_module()
class UCF101Converter(Converter):
    """UCF101 as a list of videos: ``videos.json`` with ``video`` (path), ``action`` and ``group`` of each.

    The splits are the set's three, ``train01`` to ``test03``; clips of one group come from one film.
    """

    name = "ucf101"
    splits = tuple(f"{part}{number:02d}" for part in ("train", "test") for number in (1, 2, 3))
    licence = "research; videos from YouTube"
    source = "https://www.crcv.ucf.edu/data/UCF101.php (UCF101.rar, UCF101TrainTestSplits-RecognitionTask.zip)"
    layout = """  ROOT/UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi ...
  ROOT/ucfTrainTestlist/trainlist01.txt ... testlist03.txt"""

    def sequences(self, split: str) -> list[str]:
        """The split's videos relative to the root."""
        path = self.require(self.root / "ucfTrainTestlist" / f"{split[:-2]}list{split[-2:]}.txt")
        names = [f"UCF-101/{line.split()[0]}" for line in read_text(path).splitlines() if line.strip()]
        if not names:
            raise FileFormatError(path, "it lists no video")
        return list(itertools.compress(names, self.present(names, "videos")))

    def convert(self, out: str | Path, split: str, progress: Callable[[int, int, str], None] | None = None) -> Summary:
        """Writes ``videos.json``, see :meth:`Converter.convert`."""
        folder = self.folder(out, split)
        self.missing.clear()
        videos = [
            {
                "video": str((self.root / name).resolve()),
                "action": Path(name).parent.name,
                "group": Path(name).stem.rpartition("_")[0],
            }
            for name in self.sequences(split)
        ]
        with atomic_path(folder / "videos.json") as temporary:
            temporary.write_text(json.dumps(videos, indent=1) + "\n")
        if progress is not None:
            progress(len(videos), len(videos), "")
        return Summary(folder, len(videos), 0, Counter(), self.what_is_missing())
