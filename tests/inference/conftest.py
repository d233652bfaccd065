"""Videos for the tests of inference, cut from the shared ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mviper.body import SMPL
from mviper.config import load_config
from mviper.engine import write_checkpoint
from mviper.graphics.video import read_video, write_video
from mviper.registry import MODELS


@pytest.fixture(scope="session")
def body() -> SMPL:
    return SMPL()


@pytest.fixture(scope="session")
def dancer(shared_data) -> np.ndarray:
    """The first frames of a real person, (24, 576, 576, 3)."""
    return read_video(shared_data / "videos" / "tfjs_pose_1.mp4", 24)


@pytest.fixture
def make_video(tmp_path):
    def make_video(frames: np.ndarray, name: str = "video.mp4", **options) -> Path:
        write_video(tmp_path / name, frames, options.pop("fps", 30), preset="veryfast", **options)
        return tmp_path / name

    return make_video


@pytest.fixture(scope="session")
def checkpoint(repository, tmp_path_factory) -> Path:
    """The demo's MVIPER with ImageNet's encoder and a regressor that rotates joints by a few degrees per frame."""
    torch.manual_seed(0)
    model = MODELS.build({**load_config(repository / "configs/demo/mviper.py").model, "losses": None})
    model.init_weights()
    nn.init.normal_(model.head.out.weight, std=0.01)
    path = tmp_path_factory.mktemp("checkpoint") / "mviper.pth"
    write_checkpoint({"state_dict": model.state_dict()}, path)
    return path
