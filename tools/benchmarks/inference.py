"""Cost of the network in each way of running it, compared with the plain model in the same run."""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import Result
from mviper.config import load_config
from mviper.export import export_model
from mviper.inference import ClipRunner, ExportedModel, accelerate
from mviper.models.estimators import VideoBodyModelEstimator
from mviper.registry import MODELS

#: The networks by the names of their figures.
CONFIGS = {"small": "configs/demo/mviper.py", "resnet50": "configs/mviper_r50.py"}
#: Frames of one person per pass.
CLIP = 16


def measure(arguments: argparse.Namespace) -> Result:
    """Runs clips of 16 frames of one person through each network; median over rounds, each with all ways."""
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
            with torch.no_grad():
                parts = _parts(*_ways(config, Path(folder)), clip)
                typical = _timed(parts, 60 * arguments.minutes / len(CONFIGS))
        plain = typical["plain torch, float32"]["all"]
        for way, seconds in typical.items():
            parts = [f"{1e3 * seconds[part]:.2f}" if part in seconds else "" for part in ("encode", "recurrent")]
            rows.append((name, way, *parts, f"{1e3 * seconds['all']:.2f}", f"{1 / seconds['all']:.0f}",
                         f"{plain / seconds['all']:.2f}"))  # fmt: skip
            figures[f"{name}_{way.replace(',', '').replace(' ', '_')}_frames_per_second"] = 1 / seconds["all"]
        fastest = min(typical, key=lambda way: typical[way]["all"])
        figures[f"{name}_fastest_over_plain"] = plain / typical[fastest]["all"]
    return rows, figures, {f"{name}_fastest_over_plain": [">=", 4.0] for name in CONFIGS}


def _ways(config: dict, folder: Path) -> tuple[dict[str, VideoBodyModelEstimator], dict[str, ExportedModel]]:
    """The same weights in all ways, in torch and exported; plain is unmodified torch, channels first."""
    trained = MODELS.build({**config.model, "losses": None}).eval()
    plain = copy.deepcopy(trained)
    plain.data_preprocessor.channels_last = False
    plain.backbone.to(memory_format=torch.contiguous_format)
    torch_ways = {"plain torch, float32": plain, "torch, channels last, float32": trained}
    for precision in ("float32", "bfloat16"):
        torch_ways[f"accelerated, {precision}"] = accelerate(copy.deepcopy(trained), precision)
    exported_ways = {}
    for runtime, ending, precisions in (
        ("onnxruntime", ".onnx", ("float32",)),
        ("OpenVINO", ".xml", ("float32", "bfloat16")),
    ):
        path = export_model(trained, folder / f"model{ending}", config.image_size)
        for precision in precisions:
            exported_ways[f"{runtime}, {precision}"] = ExportedModel(path, trained, precision)
    return torch_ways, exported_ways


def _parts(
    torch_ways: dict[str, VideoBodyModelEstimator], exported_ways: dict[str, ExportedModel], clip: Tensor
) -> dict[str, dict[str, Callable[[], object]]]:
    """The functions to time, by way and part: each as a whole, and in torch also its two parts."""
    parts: dict[str, dict[str, Callable[[], object]]] = {}
    for way, model in {**torch_ways, **exported_ways}.items():
        runner = ClipRunner(model)
        parts[way] = {"all": lambda runner=runner: runner({1: clip})}
    for way, model in torch_ways.items():
        encoded = model.encode(clip[None])
        parts[way]["encode"] = lambda model=model: model.encode(clip[None])
        parts[way]["recurrent"] = lambda model=model, encoded=encoded: model.unroll(*encoded)
    return parts


def _timed(ways: dict[str, dict[str, Callable[[], object]]], seconds: float) -> dict[str, dict[str, float]]:
    """Seconds per frame by way and part: the median of as many rounds as fit into the time, at least three."""
    times: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    ends, rounds = time.monotonic() + seconds, 0
    while rounds < 3 or time.monotonic() < ends:
        for way, parts in ways.items():
            for part, run in parts.items():
                start = time.perf_counter()
                run()
                spent = (time.perf_counter() - start) / CLIP
                if rounds:  # the first is a warm-up
                    times[way].setdefault(part, []).append(spent)
        rounds += 1
    return {way: {part: float(np.median(spent)) for part, spent in parts.items()} for way, parts in times.items()}
