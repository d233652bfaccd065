from __future__ import annotations

import numpy as np
import pytest
import torch

from mviper.models.data_preprocessor import BodyDataPreprocessor


def test_training_batch_is_stacked_and_normalised(make_batch):
    batch = make_batch(clips=2, frames=3, size=32)
    preprocess = BodyDataPreprocessor(mean=[10, 20, 30], std=[2, 4, 8])
    data = preprocess(batch, training=True)
    assert set(data) == {"inputs", "data_samples"} and len(data["data_samples"]) == 2
    raw = np.stack([clip.numpy() for clip in batch["inputs"]]).astype(np.float32)
    expected = (raw - np.array([10, 20, 30])[:, None, None]) / np.array([2, 4, 8])[:, None, None]
    assert data["inputs"].shape == (2, 3, 3, 32, 32) and data["inputs"].dtype == torch.float32
    np.testing.assert_allclose(data["inputs"].numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("channels_last", [True, False])
def test_memory_format(make_batch, channels_last):
    preprocess = BodyDataPreprocessor(channels_last=channels_last)
    frames = preprocess(make_batch(), training=True)["inputs"].flatten(0, 1)
    assert frames.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert frames.is_contiguous() != channels_last


def test_test_batch_stays_uint8_and_may_be_uneven(make_batch):
    preprocess = BodyDataPreprocessor()
    batch = make_batch()
    assert preprocess(batch)["inputs"].dtype == torch.uint8
    batch["inputs"][1] = batch["inputs"][1][:2]
    uneven = preprocess(batch)["inputs"]
    assert [len(clip) for clip in uneven] == [4, 2]
    with pytest.raises(ValueError, match="one shape"):
        preprocess(batch, training=True)


def test_constants_stay_out_of_checkpoints():
    assert not BodyDataPreprocessor().state_dict()
