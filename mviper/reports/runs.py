"""Trained models in a report: their metrics and predictions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import nn

from mviper.config import Options, command, load_config
from mviper.datasets import ClipDataset
from mviper.engine import MODEL, load_state_dict, read_checkpoint
from mviper.errors import ConfigError, FileFormatError, MissingDataError
from mviper.registry import DATASETS, MODELS


@dataclass
class Run:
    """A trained model.

    Attributes:
        name: Heading of its rows and columns.
        config: Its config.
        checkpoint: Its checkpoint or work_dir, where logs and ``metrics.json`` (from ``tools/test.py``) are expected.
        options: Changes to the config.
    """

    name: str
    config: Path
    checkpoint: Path
    options: Options | None = None

    @property
    def folder(self) -> Path:
        """The work_dir."""
        return self.checkpoint if self.checkpoint.is_dir() else self.checkpoint.parent


def read_metrics(run: Run) -> dict[str, dict[str, float]]:
    """Rows of the ``metrics.json`` that ``tools/test.py`` wrote next to a checkpoint: model, mean pose, ground truth.

    Raises:
        MissingDataError: It does not exist; the message gives the command that makes it.
        FileFormatError: It has another format.
    """
    return _read_test(run)["rows"]


def trained_on(run: Run) -> str:
    """The training data that the same file names, or ""; see :func:`read_metrics`."""
    return str(_read_test(run).get("trained_on") or "")


def _read_test(run: Run) -> dict:
    path = run.folder / "metrics.json"
    if not path.is_file():
        raise MissingDataError(f"{path}: no such file; make it with: {command('test', run.config, run.checkpoint)}")
    try:
        content = json.loads(path.read_text())
        if not all(isinstance(value, (int, float)) for value in content["rows"][MODEL].values()):
            raise TypeError("a figure is not a number")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(path, f"not written by tools/test.py: {error!r}") from error
    return content


class LoadedModel:
    """A run's model with its weights, and its test split."""

    def __init__(self, run: Run) -> None:
        self.run = run
        config = load_config(run.config, run.options)
        checkpoint = read_checkpoint(run.checkpoint)
        self.model: nn.Module = MODELS.build(config.model)
        load_state_dict(self.model, checkpoint["state_dict"], run.checkpoint, strict=True)
        self.model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.dataset = DATASETS.build(config.test_dataloader.dataset)
        if not isinstance(self.dataset, ClipDataset) or self.dataset.clip_length is not None:
            raise ConfigError(
                f"{run.config}: test_dataloader.dataset must be a SyntheticHumanVideo with clip_length=None"
            )

    @property
    def body(self) -> nn.Module:
        """The model's body."""
        return self.model.body_model

    def predict(self, sequence: str) -> dict:
        """A whole view's prediction (numpy): ``pred_rotmat``, ``pred_betas``, ``pred_camera``, ``crop``, ``frames``."""
        index = [view.name for view in self.dataset.views].index(sequence)
        with torch.no_grad():
            sample = self.model.test_step(pseudo_collate([self.dataset[index]]))[0]
        result = {name: sample.get(name).cpu() for name in ("pred_rotmat", "pred_betas", "pred_camera")}
        return result | {"crop": np.asarray(sample.crop), "frames": np.asarray(sample.frame_indices)}
