"""Several data sets in fixed ratios, as the paper trains on stills, videos and the factory's data together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from mviper.body import distinct_bodies
from mviper.errors import ConfigError, MissingDataError
from mviper.registry import DATASETS
from mviper.sample import BodySample


@DATASETS.register_module()
class MixedDataset(Dataset):
    """Samples data sets with given ratios, whatever their sizes.

    Items are divided among the data sets exactly by their ratios (to one item); the item within a data set is drawn
    with numpy's global generator, which loaders seed, so a resumed run repeats it. All clips must have the same length.

    Args:
        datasets: Configs of the data sets, or built; each an ``AnnotatedDataset``.
        ratios: Weight of each, not negative; normalised to sum 1. None: proportional to their lengths.
        length: Number of items in one pass; None for the sum of the data sets' lengths.
        shared: Default arguments of the data sets.
        leave_out_missing: Leave out missing data sets, keeping the relative ratios of the others; a warning and
            ``metainfo`` name them.

    Raises:
        MissingDataError: Data sets are missing (with ``leave_out_missing``: all); tells how to make each.
    """

    def __init__(
        self,
        datasets: Sequence[dict],
        ratios: Sequence[float] | None = None,
        length: int | None = None,
        shared: dict | None = None,
        leave_out_missing: bool = False,
    ) -> None:
        if not datasets:
            raise ConfigError("MixedDataset: datasets is empty")
        if ratios is not None and len(ratios) != len(datasets):
            raise ConfigError(
                f"MixedDataset: ratios={list(ratios)}, expected {len(datasets)} numbers, one per data set"
            )
        self.datasets = []
        missing: dict[int, MissingDataError] = {}
        for number, config in enumerate(datasets):
            try:
                self.datasets.append(
                    DATASETS.build({**(shared or {}), **config}) if isinstance(config, dict) else config
                )
            except MissingDataError as error:
                missing[number] = error
        if missing and not (leave_out_missing and self.datasets):
            raise MissingDataError("\n".join(map(str, missing.values())))
        self.left_out = [_called(datasets[number]) for number in missing]
        if missing:
            print_log(f"Left out because they are missing: {', '.join(self.left_out)}", "current", logging.WARNING)
            ratios = ratios and [ratio for number, ratio in enumerate(ratios) if number not in missing]
        sizes = [len(dataset) for dataset in self.datasets]
        shares = np.asarray(sizes if ratios is None else ratios, np.float64)
        if not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
            raise ConfigError(f"MixedDataset: ratios={list(ratios or [])}, expected numbers >= 0, not all 0")
        empty = [dataset.metainfo["dataset"] for dataset, n, p in zip(self.datasets, sizes, shares) if p > 0 and n == 0]
        if empty:
            raise ConfigError(f"MixedDataset: no clips of the requested length in {', '.join(empty)}")
        bodies = distinct_bodies(dataset.body_model for dataset in self.datasets)
        if len(bodies) > 1:
            raise ConfigError(
                f"MixedDataset: the data sets' body models differ: {', '.join(sorted(bodies))}; give each "
                "the same body_model, so that betas of other bodies are left out"
            )
        self.ratios = shares / shares.sum()
        self._length = sum(sizes) if length is None else length
        # The first item of each data set in a pass.
        self._bounds = np.round(np.concatenate([[0], np.cumsum(self.ratios)]) * self._length).astype(int)

    @property
    def body_model(self) -> str:
        """The body whose betas are used."""
        return self.datasets[0].body_model

    @property
    def metainfo(self) -> dict:
        """The data sets' merged metainfo, and what was left out."""
        parts = [dataset.metainfo for dataset in self.datasets]
        return {
            "dataset": " + ".join(f"{ratio:.2f} {part['dataset']}" for ratio, part in zip(self.ratios, parts)),
            "keypoints": parts[0]["keypoints"],
            "body_model": self.body_model,
            "views": sum(part["views"] for part in parts),
            "frames": sum(part["frames"] for part in parts),
            "left_out": self.left_out,
        }

    def __len__(self) -> int:
        return self._length

    def which(self, index: int) -> int:
        """The data set of an item."""
        if not 0 <= index < self._length:
            raise IndexError(f"item {index} of {self._length}")
        return int(np.searchsorted(self._bounds, index, side="right")) - 1

    def __getitem__(self, index: int) -> dict:
        dataset = self.datasets[self.which(index)]
        return dataset[np.random.randint(len(dataset))]

    def annotation_samples(self, frame_step: int = 1) -> Iterator[BodySample]:
        """Annotation of all data sets in use, each once, see ``AnnotatedDataset``."""
        for dataset, ratio in zip(self.datasets, self.ratios):
            if ratio > 0:
                yield from dataset.annotation_samples(frame_step)


def _called(config: dict) -> str:
    """Display name of a data set that cannot be built: ``coco/train2017``, ``data/mviper/train``."""
    return str(config.get("ann_file") or "/".join(str(config[key]) for key in ("data_root", "split") if key in config))
