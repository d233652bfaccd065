"""What the network alone costs in each way of running it, beside the plain model in the same run."""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import Result
from mviper.config import load_config
from mviper.inference import ClipRunner
from mviper.inference.exported import ExportedModel, export_model
from mviper.inference.fast import accelerate
from mviper.registry import MODELS

#: The networks by the name of their figures.
CONFIGS = {"small": "configs/demo/mviper.py", "resnet50": "configs/mviper_r50.py"}
#: Frames of one person that go through at once.
CLIP = 16


def measure(arguments: argparse.Namespace) -> Result:
    """Clips of 16 frames of one person through each network; the median of the rounds, all ways in each round."""
    print(f"{torch.get_num_threads()} threads")
    rows: list[tuple[str, ...]] = [
        ("network", "way", "encode [ms]", "recurrent part [ms]", "all [ms a frame]", "frames/s", "times plain")
    ]
    figures: dict[str, float] = {}
    for name, path in CONFIGS.items():
        torch.manual_seed(arguments.seed)
        config = load_config(path)
        clip = torch.randint(0, 256, (CLIP, 3, config.image_size, config.image_size), dtype=torch.uint8)
        with tempfile.TemporaryDirectory() as folder:
            ways = _ways(config, Path(folder))
            typical = _timed(ways, clip, 60 * arguments.minutes / len(CONFIGS))
        plain = typical["plain torch, float32"]["all"]
        for way, seconds in typical.items():
            parts = [f"{1e3 * seconds[part]:.2f}" if part in seconds else "" for part in ("encode", "recurrent")]
            rows.append((name, way, *parts, f"{1e3 * seconds['all']:.2f}", f"{1 / seconds['all']:.0f}",
                         f"{plain / seconds['all']:.2f}"))  # fmt: skip
            figures[f"{name}_{way.replace(',', '').replace(' ', '_')}_frames_per_second"] = 1 / seconds["all"]
        fastest = min(typical, key=lambda way: typical[way]["all"])
        figures[f"{name}_fastest_over_plain"] = plain / typical[fastest]["all"]
    return rows, figures, {f"{name}_fastest_over_plain": [">=", 4.0] for name in CONFIGS}


def _ways(config: dict, folder: Path) -> dict[str, nn.Module | ExportedModel]:
    """The same weights run in all ways; plain is torch as it comes, channels first."""
    trained = MODELS.build({**config.model, "losses": None}).eval()
    plain = copy.deepcopy(trained)
    plain.data_preprocessor.channels_last = False
    plain.backbone.to(memory_format=torch.contiguous_format)
    ways = {"plain torch, float32": plain, "torch, channels last, float32": trained}
    for precision in ("float32", "bfloat16"):
        ways[f"accelerated, {precision}"] = accelerate(copy.deepcopy(trained), precision)
    for runtime, ending, precisions in (
        ("onnxruntime", ".onnx", ("float32",)),
        ("OpenVINO", ".xml", ("float32", "bfloat16")),
    ):
        path = export_model(trained, folder / f"model{ending}", config.image_size)
        for precision in precisions:
            ways[f"{runtime}, {precision}"] = ExportedModel(path, trained, precision)
    return ways


@torch.no_grad()
def _timed(ways: dict[str, nn.Module | ExportedModel], clip: Tensor, seconds: float) -> dict[str, dict[str, float]]:
    """Seconds a frame by way and part: the median of as many rounds as fit into the time, at least three."""
    times: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    runners = {way: ClipRunner(model) for way, model in ways.items()}
    ends, rounds = time.monotonic() + seconds, 0
    while rounds < 3 or time.monotonic() < ends:
        for way, model in ways.items():
            parts: dict[str, Callable[[], object]] = {"all": lambda way=way: runners[way]({1: clip})}
            if not isinstance(model, ExportedModel):
                features, maps = model.encode(clip[None])
                parts["encode"] = lambda model=model: model.encode(clip[None])
                parts["recurrent"] = lambda model=model, items=(features, maps): model.unroll(*items)
            for part, run in parts.items():
                start = time.perf_counter()
                run()
                spent = (time.perf_counter() - start) / len(clip)
                if rounds:  # the first warms up
                    times[way].setdefault(part, []).append(spent)
        rounds += 1
    return {way: {part: float(np.median(spent)) for part, spent in parts.items()} for way, parts in times.items()}
