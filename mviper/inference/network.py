"""Trained networks: loading from config and checkpoint, and running over the crops of several people."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mviper.body import FITTED, LANDMARKS
from mviper.config import load_config
from mviper.datasets import crop_frame, to_crop_units
from mviper.datasets.transforms import CropClip
from mviper.engine import load_state_dict, read_checkpoint
from mviper.errors import ConfigError
from mviper.export import NETWORK_SUFFIXES
from mviper.inference.exported import ExportedModel
from mviper.inference.fast import accelerate
from mviper.inference.frames import Frame
from mviper.inference.people import Track
from mviper.models import mirrored_phi
from mviper.models.encoders import landmark_vectors
from mviper.models.estimators import BodyModelEstimator, ClipNetwork, map_tensors
from mviper.registry import MODELS, TRANSFORMS
from mviper.sample import EncodedClip
from mviper.structures import mirror_indices

#: Frames of landmarks walked at once, so that memory does not grow with the video.
_WALKED = 256


def load_model(
    config: str | Path, checkpoint: str | Path, precision: str | None = None
) -> tuple[ClipNetwork, CropClip]:
    """Builds a config's model with a checkpoint's weights for prediction.

    Args:
        config: The config that the checkpoint was trained with.
        checkpoint: The weights, or an exported model.
        precision: Optimises the model, see :func:`mviper.inference.fast.accelerate`; None leaves it unchanged.

    Returns:
        The estimator in evaluation mode, and how its crops are cut, from the config's test pipeline.

    Raises:
        ConfigError: The config has no MVIPER model, the checkpoint belongs to another model, or the precision is
            unknown.
        MissingDataError: No such checkpoint.
    """
    config_path, config = config, load_config(config)
    try:
        pipeline = config.test_dataloader.dataset.pipeline
        crop = TRANSFORMS.build(next(step for step in pipeline if step["type"] == "CropClip"))
        description = {**config.model, "losses": None}
    except (AttributeError, KeyError, StopIteration) as error:
        raise ConfigError(f"{config_path}: not a config of a model: it has no model or no test crop size") from error
    if Path(checkpoint).suffix in NETWORK_SUFFIXES:
        model = ExportedModel(checkpoint, MODELS.build(description), precision or "float32")
        if model.image_size != crop.size:
            raise ConfigError(
                f"{checkpoint}: expects crops of {model.image_size} px, but {config_path} cuts {crop.size}"
            )
        return model, crop
    state = read_checkpoint(checkpoint)["state_dict"]
    # Losses are not built; HMR's has weights of its own, those of the discriminator.
    state = {name: weights for name, weights in state.items() if not name.startswith("losses.")}
    model = MODELS.build(description)
    load_state_dict(model, state, checkpoint, strict=True)
    return model.eval() if precision is None else accelerate(model.eval(), precision), crop


class ClipRunner:
    """Runs a network over people's crops clip by clip, carrying each person's state along.

    Args:
        model: From :func:`load_model`.
    """

    def __init__(self, model: ClipNetwork) -> None:
        self.model = model
        self._memories: dict[int, Any] = {}

    @torch.no_grad()
    def __call__(self, clips: dict[int, Tensor] | dict[int, EncodedClip]) -> dict[int, Tensor]:
        """Processes each person's next frames; clips of the same length form a batch.

        Args:
            clips: Crops (T, 3, S, S) uint8 by person, or the encoder's output for them; T may differ.

        Returns:
            Phi (T, 157) by person.

        Raises:
            ConfigError: The people are not the first dimension of the network's state.
        """
        groups: dict[tuple[int, bool], list[int]] = {}
        for person, clip in clips.items():
            frames = len(clip.maps if isinstance(clip, EncodedClip) else clip)
            groups.setdefault((frames, person in self._memories), []).append(person)
        result = {}
        for (_, known), people in groups.items():
            memory = map_tensors(_joined, *(self._memories[person] for person in people)) if known else None
            phi, memory = self.model.walk(_batch([clips[person] for person in people]), memory)
            for row, person in enumerate(people):
                result[person] = phi[row].cpu()
                if memory is not None:
                    self._memories[person] = map_tensors(partial(_row, row, len(people)), memory)
        return result

    def forget(self, person: int) -> None:
        """Drops a person's state."""
        self._memories.pop(person, None)


def _batch(clips: list[Tensor] | list[EncodedClip]) -> Tensor | EncodedClip:
    if isinstance(clips[0], Tensor):
        return torch.stack(clips)
    features, maps, encoders = zip(*clips)
    return EncodedClip(torch.stack(features), torch.stack(maps), encoders[0])


def _joined(*rows: Tensor) -> Tensor:
    return torch.cat(rows)


def _row(row: int, people: int, rows: Tensor) -> Tensor:
    if rows.shape[:1] != (people,):
        raise ConfigError(
            f"the network's state for {people} people has a tensor of shape {tuple(rows.shape)}; a neck's state must "
            "have the people first, (B, ...) (docs/models.md)"
        )
    return rows[row : row + 1]


def reads_landmarks(model: ClipNetwork) -> bool:
    """Whether a network's encoder only finds BlazePose's landmarks, which the tracker has found already."""
    return getattr(getattr(model, "backbone", None), "identity", None) is not None


def landmarks_as_clip(
    model: BodyModelEstimator, landmarks: np.ndarray, boxes: np.ndarray, turns: np.ndarray
) -> EncodedClip:
    """What a network that :func:`reads_landmarks` would see in crops where the tracker has found these landmarks.

    Args:
        model: The network.
        landmarks: x, y [px], visibility of the 33 landmarks; NaN in frames without, (T, 33, 3).
        boxes: The crops' centre x, centre y, side [px], (T, 3).
        turns: The picture's rotation in each crop [rad], (T,).
    """
    vectors = _vectors_in_crops(landmarks, boxes, turns)
    return EncodedClip(vectors.flatten(1), vectors, model.encoder_id)


@torch.no_grad()
def walk_landmarks(
    model: BodyModelEstimator, tracks: list[Track], squares: dict[int, tuple[np.ndarray, np.ndarray]]
) -> dict[int, Tensor]:
    """Runs a network over the tracker's landmarks instead of pictures: forwards and backwards in time, also mirrored.

    It reads the detector's two views that every frame has, the picture and its mirror image, one by one: the network
    corrects swapped legs better than the choice among views does, which it guides afterwards. A track without views,
    such as a reconciled one, is read as it is.

    Args:
        model: One that :func:`reads_landmarks`.
        tracks: The people.
        squares: Their crops, as for :func:`walk_tracks`.

    Returns:
        Phi (T, 157) by number, the mean of all.
    """
    partner = mirror_indices([LANDMARKS[landmark] for landmark in FITTED])
    result, layout = {}, model.head.rotation_layout
    for track in tracks:
        mirrored_view = [np.where(np.isfinite(view), view, track.landmarks) for view in track.views[:1]]
        views = [track.landmarks, *mirrored_view]
        vectors = torch.stack([_vectors_in_crops(view, *squares[track.number]) for view in views])
        mirrored = vectors[:, :, partner] * torch.tensor([-1.0, 1.0, 1.0])
        both = torch.cat([vectors, mirrored])
        clips = torch.cat([both, both.flip(1)])
        phi = _walked(model, clips).cpu()
        there, back = phi.chunk(2)
        plain, flipped = (there + back.flip(1)).chunk(2)
        result[track.number] = (plain + mirrored_phi(flipped, layout)).mean(0) / 4
    return result


def _walked(model: BodyModelEstimator, vectors: Tensor) -> Tensor:
    """Phi (B, T, 157) of landmark vectors (B, T, K, 3): some frames at a time, each with those around it."""
    reach, count = 0 if model.context is None else model.context.reach, vectors.shape[1]
    parts, memory = [], None
    for frames in torch.arange(count).split(_WALKED):
        around = torch.arange(frames[0] - reach, frames[-1] + reach + 1).clamp(0, count - 1)
        clip = EncodedClip(vectors[:, around].flatten(2), vectors[:, frames], model.encoder_id)
        phi, memory = model.walk(clip, memory)
        parts.append(phi)
    return torch.cat(parts, 1)


def _vectors_in_crops(landmarks: np.ndarray, boxes: np.ndarray, turns: np.ndarray) -> Tensor:
    """The encoder's output (T, K, 3) for landmarks (T, 33, 3); undetected ones are interpolated and invisible."""
    landmarks = landmarks[:, FITTED].astype(float)
    known = np.isfinite(landmarks).all((1, 2))
    frames = np.arange(len(landmarks))
    flat = landmarks[..., :2].reshape(len(landmarks), -1)
    places = np.stack([np.interp(frames, frames[known], column[known]) for column in flat.T], -1)
    places = to_crop_units(places.reshape(len(landmarks), -1, 2), boxes, turns)
    visibility = np.where(known[:, None], landmarks[..., 2], 0)
    return landmark_vectors(torch.from_numpy(places).float(), torch.from_numpy(visibility).float())


def walk_tracks(
    model: ClipNetwork,
    image_size: int,
    frames: Iterable[Frame],
    tracks: list[Track],
    squares: dict[int, tuple[np.ndarray, np.ndarray]],
    clip_length: int,
) -> dict[int, Tensor]:
    """Runs a network over all people's crops in a video.

    Args:
        model: From :func:`load_model`.
        image_size: Side of the crops [px].
        frames: The video.
        tracks: The people.
        squares: Their crops by number: centre x, centre y, side [px], shape (T, 3), and turn [rad], shape (T,).
        clip_length: Frames per person and batch.

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
