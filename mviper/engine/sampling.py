"""Data order and augmentation that depend only on the position in training, so that a resumed run repeats them.

Sample number ``n`` of a run is drawn from permutation ``n // len(dataset)`` and augmented with random generators
seeded by ``(seed, n)``. Nothing depends on which worker made it, on the number of workers, or on earlier random draws.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from mviper.registry import DATA_SAMPLERS, DATASETS


def seed_everything(*entropy: int, accelerators: bool = True) -> None:
    """Seeds ``random``, numpy's and torch's global generators.

    Args:
        *entropy: Non-negative integers that the seeds are made from.
        accelerators: Also the generators of GPUs. Without a GPU this takes several times as long, since torch records
            the call stack for each kind of GPU.
    """
    words = np.random.SeedSequence(entropy).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    seed = int(words[2]) << 32 | int(words[3])
    if accelerators:
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Endless stream of ``(index, n)`` pairs for :class:`SeededItems`, from any start.

    Args:
        dataset: Anything with a length.
        shuffle: A new permutation for each pass over the data; ``False``: in order.
        seed: The run's seed, equal on all ranks (mmengine passes it).

    Attributes:
        start: Number of samples this rank has already used; set before iteration.
    """

    def __init__(self, dataset: Dataset, shuffle: bool = True, seed: int | None = None) -> None:
        self.size = len(dataset)
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()
        self.start = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        current, order = -1, None
        for used in itertools.count(self.start):
            n = used * self.world_size + self.rank
            epoch, place = divmod(n, self.size)
            if epoch != current:
                current, order = epoch, self._order(epoch)
            yield int(order[place]), n

    def _order(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.size)
        return np.random.default_rng((self.seed, epoch)).permutation(self.size)

    def __len__(self) -> int:
        """This rank's samples of one pass (used by mmengine's schedulers)."""
        return -(-self.size // self.world_size)


def is_resumable(sampler: object) -> bool:
    """Whether a sampler, built or its config, is a :class:`ResumableSampler`."""
    if isinstance(sampler, dict):
        kind = sampler.get("type")
        kind = DATA_SAMPLERS.get(kind) if isinstance(kind, str) else kind
        return isinstance(kind, type) and issubclass(kind, ResumableSampler)
    return isinstance(sampler, ResumableSampler)


@DATASETS.register_module()
class SeededItems(Dataset):
    """A data set whose item ``(index, n)`` is item ``index``, with generators seeded by ``(seed, n)``.

    The global generators of ``random``, numpy and torch (on the CPU) are seeded; a data set with its own generator must
    seed it from one of them.

    Args:
        dataset: Config of the data set.
        seed: The run's seed.
    """

    def __init__(self, dataset: dict, seed: int) -> None:
        self.dataset = DATASETS.build(dataset)
        self.seed = seed

    @property
    def metainfo(self) -> dict:
        """The wrapped data set's (mmengine shows and stores it)."""
        return getattr(self.dataset, "metainfo", {})

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, n = key
        seed_everything(self.seed, n, accelerators=False)
        return self.dataset[index]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[dict]:
        """A batch at once (loaders prefer this to single items), if the data set makes batches: seeded by its first."""
        if not hasattr(self.dataset, "__getitems__"):
            return [self[key] for key in keys]
        seed_everything(self.seed, keys[0][1], accelerators=False)
        return self.dataset.__getitems__([index for index, _ in keys])
