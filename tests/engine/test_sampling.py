import itertools
import random

import numpy as np
import pytest
import torch

from mviper.engine.sampling import ResumableSampler, SeededItems, seed_everything


def take(sampler, count):
    return list(itertools.islice(sampler, count))


def test_each_pass_is_a_new_permutation():
    keys = take(ResumableSampler(range(10), seed=1), 20)
    first, second = [i for i, _ in keys[:10]], [i for i, _ in keys[10:]]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert [n for _, n in keys] == list(range(20))


@pytest.mark.parametrize("start", [0, 1, 9, 10, 37])
def test_starting_later_gives_the_same_stream(start):
    whole = take(ResumableSampler(range(10), seed=1), 60)
    sampler = ResumableSampler(range(10), seed=1)
    sampler.start = start
    assert take(sampler, 60 - start) == whole[start:]


def test_ranks_share_one_stream():
    whole = take(ResumableSampler(range(7), seed=5), 30)
    shares = []
    for rank in range(3):
        sampler = ResumableSampler(range(7), seed=5)
        sampler.rank, sampler.world_size = rank, 3
        shares.append(take(sampler, 10))
    assert [key for group in zip(*shares) for key in group] == whole


def test_order_without_shuffle():
    assert [i for i, _ in take(ResumableSampler(range(3), shuffle=False, seed=0), 5)] == [0, 1, 2, 0, 1]


def test_items_depend_on_seed_and_number_alone(toy_config):
    config = toy_config().train_dataloader.dataset
    a, b, c = SeededItems(config, seed=1), SeededItems(config, seed=1), SeededItems(config, seed=2)
    b[3, 0]
    torch.rand(5)
    assert torch.equal(a[3, 8]["inputs"], b[3, 8]["inputs"])
    assert not torch.equal(a[3, 8]["inputs"], a[3, 9]["inputs"])
    assert not torch.equal(a[3, 8]["inputs"], c[3, 8]["inputs"])


class Batches(torch.utils.data.Dataset):
    """Draws a whole batch at once."""

    def __len__(self):
        return 9

    def __getitem__(self, index):
        return self.__getitems__([index])[0]

    def __getitems__(self, indices):
        return [(index, draw) for index, draw in zip(indices, np.random.rand(len(indices)))]


def test_a_data_set_that_makes_batches_is_asked_for_batches():
    one, other = (SeededItems(dict(type=Batches), seed=1) for _ in range(2))
    np.random.rand()
    keys = [(4, 10), (2, 11), (7, 12)]
    batch = one.__getitems__(keys)
    assert [index for index, _ in batch] == [4, 2, 7] and len({draw for _, draw in batch}) == 3
    np.random.rand(3)
    assert other.__getitems__(keys) == batch != other.__getitems__([(4, 13), (2, 14), (7, 15)])
    loader = torch.utils.data.DataLoader(one, batch_sampler=[keys], collate_fn=list)
    assert next(iter(loader)) == batch


def test_seed_everything_covers_three_generators():
    draws = []
    for _ in range(2):
        seed_everything(1, 2, 3)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]
    seed_everything(1, 2, 4)
    assert all(a != b for a, b in zip(draws[0], (random.random(), np.random.rand(), torch.rand(1).item())))
