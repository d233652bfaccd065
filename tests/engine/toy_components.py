"""A model with dropout and batch norm, random augmentation, a metric: all that resuming must reproduce."""

from __future__ import annotations

import random
import time

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from mviper.registry import DATASETS, METRICS, MODELS


@DATASETS.register_module(force=True)
class ToyData(Dataset):
    def __init__(self, length=11, poison=None, delay=0.0):
        self.length, self.poison, self.delay = length, poison, delay

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        time.sleep(self.delay)
        x = torch.full((4,), float(index)) + random.random() + float(np.random.rand()) + torch.rand(4)
        if index == self.poison:
            x = x * float("nan")
        source = dict(sequence=f"train/toy_{index}/east", video_path=f"toy_{index}.mp4", frame_indices=np.arange(3))
        sample = BaseDataElement(metainfo=source)
        return dict(inputs=x, data_sample=sample, target=x.sum())


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    def __init__(self, width=8):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Dropout(0.3), nn.Linear(width, 1))

    def forward(self, inputs, data_sample=None, target=None, mode="loss"):
        out = self.net(torch.stack(list(inputs)))[:, 0]
        if mode == "loss":
            return dict(loss_fit=(out - torch.stack(list(target))).square().mean())
        return [BaseDataElement(metainfo=dict(out=float(o))) for o in out]


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    default_prefix = "toy"

    def process(self, data_batch, data_samples):
        self.results += [sample["out"] for sample in data_samples]

    def compute_metrics(self, results):
        return dict(mean=float(np.mean(results)), size=np.float64(len(results)))
