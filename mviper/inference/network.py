"""Trained networks: loaded by config and checkpoint, and walked over the crops of several people."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mviper.config import load_config
from mviper.datasets import crop_frame
from mviper.datasets.transforms import CropClip
from mviper.engine import load_state_dict, read_checkpoint
from mviper.errors import ConfigError
from mviper.export import NETWORK_SUFFIXES
from mviper.inference.exported import ExportedModel
from mviper.inference.fast import accelerate
from mviper.inference.frames import Frame
from mviper.inference.people import Track
from mviper.models.estimators import Walker, map_tensors
from mviper.registry import MODELS, TRANSFORMS


def load_model(config: str | Path, checkpoint: str | Path, precision: str | None = None) -> tuple[Walker, CropClip]:
    """Builds a config's model with a checkpoint's weights, for prediction.

    Args:
        config: The config that the checkpoint was trained with.
        checkpoint: The weights, or an exported model.
        precision: Makes it fast, see :func:`mviper.inference.fast.accelerate`; None leaves it as it is trained.

    Returns:
        The estimator in evaluation mode, and how the crops that it takes are cut: the config's test pipeline's.

    Raises:
        ConfigError: The config has no model of ours, or the checkpoint is of another; unknown precision.
        MissingDataError: No such checkpoint.
    """
    config_path, config = config, load_config(config)
    try:
        pipeline = config.test_dataloader.dataset.pipeline
        crop = TRANSFORMS.build(next(step for step in pipeline if step["type"] == "CropClip"))
        description = {**config.model, "losses": None}
    except (AttributeError, KeyError, StopIteration) as error:
        raise ConfigError(f"{config_path}: not a model's config: it has no model or no test crop size") from error
    if Path(checkpoint).suffix in NETWORK_SUFFIXES:
        model = ExportedModel(checkpoint, MODELS.build(description), precision or "float32")
        if model.image_size != crop.size:
            raise ConfigError(f"{checkpoint}: takes crops of {model.image_size} px, {config_path} cuts {crop.size}")
        return model, crop
    state = read_checkpoint(checkpoint)["state_dict"]
    # Losses are not built; HMR's has weights, its discriminator's.
    state = {name: weights for name, weights in state.items() if not name.startswith("losses.")}
    model = MODELS.build(description)
    load_state_dict(model, state, checkpoint, strict=True)
    return model.eval() if precision is None else accelerate(model.eval(), precision), crop


class ClipRunner:
    """Walks a network over people's crops clip by clip, the memory of each person carried along.

    Args:
        model: What :func:`load_model` gives.
    """

    def __init__(self, model: Walker) -> None:
        self.model = model
        self._memories: dict[int, Any] = {}

    @torch.no_grad()
    def __call__(self, clips: dict[int, Tensor]) -> dict[int, Tensor]:
        """Goes on with everybody's next frames; those with clips of one length walk together.

        Args:
            clips: Crops (T, 3, S, S) uint8 by person; T may differ.

        Returns:
            Phi (T, 157) by person.

        Raises:
            ConfigError: The network's memory does not have the people first.
        """
        groups: dict[tuple[int, bool], list[int]] = {}
        for person, clip in clips.items():
            groups.setdefault((len(clip), person in self._memories), []).append(person)
        result = {}
        for (_, known), people in groups.items():
            memory = map_tensors(_joined, *(self._memories[person] for person in people)) if known else None
            phi, memory = self.model.walk(torch.stack([clips[person] for person in people]), memory)
            for row, person in enumerate(people):
                result[person] = phi[row].cpu()
                if memory is not None:
                    self._memories[person] = map_tensors(partial(_row, row, len(people)), memory)
        return result

    def forget(self, person: int) -> None:
        """Drops a person's memory."""
        self._memories.pop(person, None)


def _joined(*rows: Tensor) -> Tensor:
    return torch.cat(rows)


def _row(row: int, people: int, rows: Tensor) -> Tensor:
    if rows.shape[:1] != (people,):
        raise ConfigError(
            f"the network's memory of {people} people has a tensor of shape {tuple(rows.shape)}; the state of a neck "
            "must have the people first, (B, ...) (docs/models.md)"
        )
    return rows[row : row + 1]


def walk_tracks(
    model: Walker,
    image_size: int,
    frames: Iterable[Frame],
    tracks: list[Track],
    squares: dict[int, tuple[np.ndarray, np.ndarray]],
    clip_length: int,
) -> dict[int, Tensor]:
    """Walks a network over everybody's crops of a video.

    Args:
        model: What :func:`load_model` gives.
        image_size: Side of the crops [px].
        frames: The video.
        tracks: The people.
        squares: Their crops by number: centre x, centre y, side [px], shape (T, 3), and turn [rad], shape (T,).
        clip_length: Frames of each person that are taken at once.

    Returns:
        Phi (T, 157) by number.
    """
    runner, waiting, done = ClipRunner(model), {}, {track.number: [] for track in tracks}

    def flush() -> None:
        clips = {number: torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) for number, crops in waiting.items()}
        for number, phi in runner(clips).items():
            done[number].append(phi)
        waiting.clear()

    for frame in frames:
        for track in tracks:
            place = frame.number - track.first
            if 0 <= place < len(track):
                boxes, turns = squares[track.number]
                crop = crop_frame(frame.image, boxes[place], image_size, turns[place])
                waiting.setdefault(track.number, []).append(crop)
        if any(len(crops) >= clip_length for crops in waiting.values()):
            flush()
    flush()
    return {number: torch.cat(parts) for number, parts in done.items()}
