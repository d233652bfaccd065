"""Computes a feature store: a frozen encoder's output for training or test pictures."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine import Config
from torch import Tensor, nn

from mviper.datasets import ClipDataset, StoredSequence, StoreWriter, Widths, crop_id
from mviper.engine.checkpoints import read_checkpoint, resolve_checkpoint
from mviper.engine.testing import use_test_set
from mviper.errors import ConfigError
from mviper.registry import DATASETS, MODELS

#: Crops encoded at once.
_BATCH = 16


def extract_features(
    config: Config,
    checkpoint: str | Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    test_set: Config | None = None,
) -> list[Path]:
    """Makes, or resumes, the feature stores that a config trains from, or those of a test set.

    Args:
        config: Its ``train_dataloader.dataset`` is a ``FeatureStore``, or a mix of several.
        checkpoint: Holds the encoder's tuned weights (``backbone.*``), or a run's folder; None: the encoder's initial
            weights.
        progress: Called with the number of sequence copies done, the total and the sequence's name.
        test_set: The config of a test set whose stores are made instead, in crops as in the model's own tests, e.g.
            ``configs/test_sets/volume_features.py``.

    Returns:
        The stores' folders.

    Raises:
        ConfigError: The config has no such data set, or its encoder is trainable.
        MissingDataError: There are no pictures; the message gives the command that makes some.
    """
    loader, named = "train_dataloader", config.filename
    if test_set is not None:
        config, loader, named = copy.deepcopy(config), "test_dataloader", test_set.filename
        use_test_set(config, test_set)
    stores = list(_stores(config[loader].dataset))
    if not stores:
        raise ConfigError(f"{named}: {loader}.dataset contains no FeatureStore")
    model = MODELS.build({**config.model, "losses": None})
    model.init_weights()
    if checkpoint is not None:
        state = read_checkpoint(resolve_checkpoint(checkpoint))["state_dict"]
        weights = {name.removeprefix("backbone."): v for name, v in state.items() if name.startswith("backbone.")}
        if not weights:
            raise ConfigError(f"{checkpoint}: it has no encoder (backbone.*)")
        model.backbone.load_state_dict(weights)
    encoder = model.encoder_id
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    for store in stores:
        _fill(store, _FastEncoder(model), encoder, progress or (lambda done, total, name: None))
    return [Path(store["data_root"]) for store in stores]


class _FastEncoder:
    """A model's frozen encoder, run by OpenVINO where it is installed and there is no GPU: half the time."""

    def __init__(self, model: nn.Module) -> None:
        self._normalise, self._encode = model.data_preprocessor.normalise, model.backbone
        self._device = next(model.backbone.parameters()).device
        self._openvino = self._device.type == "cpu" and importlib.util.find_spec("openvino") is not None

    @torch.no_grad()
    def __call__(self, crops: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Features and maps of crops (N, 3, S, S) in uint8."""
        images = self._normalise(crops.to(self._device))
        if self._openvino and isinstance(self._encode, nn.Module):
            self._encode = _compiled(self._encode, images)
        if isinstance(self._encode, nn.Module):
            features, maps = self._encode(images)
            return features.cpu().numpy(), maps.cpu().numpy()
        features, maps = self._encode(images.numpy()).values()
        return features, maps


def _compiled(encoder: nn.Module, images: Tensor) -> Callable:
    """The encoder for any number of pictures of this size, in float32 on as many threads as torch."""
    openvino = importlib.import_module("openvino")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # the encoder's checks of its input's size
        graph = openvino.convert_model(encoder, example_input=images, input=[(-1, *images.shape[1:])])
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    return openvino.compile_model(graph, "CPU", options)


def _stores(dataset: dict) -> Iterator[dict]:
    if dataset.get("type") == "FeatureStore":
        yield dataset
    for part in [*dataset.get("datasets", []), *([dataset["dataset"]] if "dataset" in dataset else [])]:
        yield from _stores(part)


def _fill(store: dict, encode: _FastEncoder, encoder: str, progress: Callable[[int, int, str], None]) -> None:
    source = DATASETS.build({**store["pictures"], "clip_length": None})
    copies, seed = store.get("copies", 4), store.get("seed", 0)
    header = {
        "encoder": encoder,
        "crop": crop_id(store["pictures"]),
        "copies": copies,
        "seed": seed,
        "body_model": source.body_model,
        "dataset": source.name,
    }
    with StoreWriter(Path(store["data_root"]), header, _widths(source, encode)) as writer:
        for copy in range(copies):
            for item in range(len(source)):
                if (source.sequence_of(item), copy) in writer.done:
                    continue
                entry, records = _sequence(source, item, copy, seed, encode, writer)
                writer.add(entry, records)
                progress(copy * len(source) + item + 1, copies * len(source), entry.sequence)
        writer.finish()


def picture_item(source: ClipDataset, item: int, copy: int, seed: int) -> dict:
    """A view's pictures for one copy in a store, with augmentation seeded by the view's name and the copy."""
    before = np.random.get_state()
    name = int.from_bytes(hashlib.sha256(source.sequence_of(item).encode()).digest()[:8], "little")
    np.random.seed(np.random.SeedSequence((seed, name, copy)).generate_state(4))
    try:
        return source[item]
    finally:
        np.random.set_state(before)


def _sequence(
    source: ClipDataset, item: int, copy: int, seed: int, encode: _FastEncoder, writer: StoreWriter
) -> tuple[StoredSequence, np.ndarray]:
    data = picture_item(source, item, copy, seed)
    sample, inputs = data["data_sample"], data["inputs"]
    flags = tuple(float(sample.get(name)) for name in ("has_keypoints3d", "has_smpl", "has_betas"))
    entry = StoredSequence(
        sample.sequence,
        copy,
        source.sequence_of(item),
        len(inputs),
        flags,
        bool(sample.crop_flip),
        str(sample.video_path),
    )
    if (sample.sequence, copy) in writer.sequences:  # it replaced an unreadable one
        return entry._replace(frames=0), np.empty(0, writer.record)
    records = np.empty(len(inputs), writer.record)
    for start in range(0, len(inputs), _BATCH):
        part = slice(start, start + _BATCH)
        records["features"][part], records["maps"][part] = encode(inputs[part])
    if not all(np.isfinite(records[name]).all() for name in ("features", "maps")):
        raise ConfigError(f"{sample.sequence}: the encoder's features do not fit into float16")
    for name in ("keypoints2d", "keypoints3d", "smpl_rotmat", "betas"):
        records[name] = sample.get(name).numpy()
    records["crop"], records["crop_rotation"] = sample.crop, sample.crop_rotation
    records["frame"] = sample.frame_indices
    return entry, records


def _widths(source: ClipDataset, encode: _FastEncoder) -> Widths:
    data = picture_item(source, 0, 0, 0)
    features, maps = encode(data["inputs"][:1])
    return Widths(features.shape[1], *maps.shape[1:], data["data_sample"].betas.shape[1])
