"""Cost of a training step relative to its bare encoder, gain of reduced precision, and time waiting for data."""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from torch import nn

from benchmarks import Result
from mviper.config import load_config
from mviper.datasets import StoredSequence, StoreWriter, Widths, crop_id
from mviper.engine import Runner, use_mixed_precision
from mviper.registry import DATASETS, MODELS
from mviper.sample import BodySample
from mviper.structures import KEYPOINTS

CONFIG = "configs/mviper_r50.py"
#: Trains on stored features, 256 frames per step.
STORED = "configs/frame_blazepose.py"
#: Generates a few sequences if there are none, in about a minute.
SYNTHESIS, SEQUENCES = "configs/demo/painted.py", 4
#: Steps in which waiting is measured, after the batches that the loader has prefetched.
WAITING_STEPS = 5


def measure(arguments: argparse.Namespace) -> Result:
    """Times steps of the paper's video model and of its bare encoder on a batch, and a short training on real clips."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    flags = Path("/proc/cpuinfo").read_text() if device == "cpu" and Path("/proc/cpuinfo").exists() else ""
    units = next((name for name in ("amx_bf16", "avx512_bf16") if name in flags), "")
    print(f"device {device}, {torch.get_num_threads()} threads, bf16 units of the CPU: {units or 'none'}")
    torch.manual_seed(arguments.seed)
    best, repeats = _times(device, 60 * arguments.minutes)
    waiting, taken = _waiting(arguments.data[0] if arguments.data else None)
    stored = _stored_step(device)

    columns = ("f32, channels first", "f32", "bf16")
    second = "CPU-s" if device == "cpu" else "s"
    rows = [("what", *(f"{name} [{second}]" for name in columns))]
    for what in ("step", "encoder"):
        rows.append((what, *(f"{best[what, name]:.2f}" if (what, name) in best else "" for name in columns)))
    rows.append(("tools/train.py --amp, wall", "", "", f"{taken:.2f} s a step, {waiting:.2%} of it waiting for data"))
    rows.append(("256 frames of stored features, reading included", "", f"{stored:.2f}", ""))
    figures = {f"{what}_{name.replace(', ', '_').replace(' ', '_')}_s": value for (what, name), value in best.items()}
    for name in ("f32", "bf16"):
        figures[f"step_over_encoder_{name}"] = best["step", name] / best["encoder", name]
    figures |= {"run_step_s": taken, "waiting_for_data_share": waiting, "repeats": repeats}
    targets = {
        "step_over_encoder_f32": ["<=", 1.15], "step_over_encoder_bf16": ["<=", 1.15],
        "waiting_for_data_share": ["<=", 0.02],
    }  # fmt: skip
    figures["stored_features_256_frames_s"] = stored
    if device == "cpu":
        targets["stored_features_256_frames_s"] = ["<=", 0.3]
        for what in ("step", "encoder"):
            plain = best[what, "f32, channels first"]
            figures[f"{what}_times_faster_in_bf16_channels_last"] = plain / best[what, "bf16"]
        if units:
            targets["step_times_faster_in_bf16_channels_last"] = [">=", 4.0]
    return rows, figures, targets


def _times(device: str, seconds: float) -> tuple[dict[tuple[str, str], float], int]:
    """Minimum seconds by task and precision, and the number of runs; interleaved, so that noise affects all equally.

    On the CPU these are the process's CPU seconds, which other load does not change.
    """
    config = load_config(CONFIG)
    frames, size = config.clip_length, config.image_size
    model = MODELS.build(config.model).to(device).train()
    samples = [
        BodySample(
            keypoints2d=torch.rand(frames, len(KEYPOINTS), 3), keypoints3d=torch.rand(frames, len(KEYPOINTS), 4),
            smpl_rotmat=torch.eye(3).expand(frames, 24, 3, 3), betas=torch.zeros(frames, 10),
            has_keypoints3d=torch.ones(()), has_smpl=torch.ones(()), has_betas=torch.ones(()),
        )
        for _ in range(config.train_dataloader.batch_size)
    ]  # fmt: skip
    pictures = [torch.randint(0, 255, (frames, 3, size, size), dtype=torch.uint8) for _ in samples]
    batch = {"inputs": pictures, "data_sample": samples}

    runs: dict[tuple[str, str], Callable[[], object]] = {}
    models = {"f32": model, "bf16": model}
    if device == "cpu":  # torch's default: channels before height and width
        plain = models["f32, channels first"] = copy.deepcopy(model)
        plain.data_preprocessor.channels_last = False
        plain.backbone.to(memory_format=torch.contiguous_format)
    for precision, one in models.items():
        options = copy.deepcopy(config.optim_wrapper)
        if precision == "bf16":
            use_mixed_precision(options)
        runs["step", precision] = _training_step(one, batch, build_optim_wrapper(one, options))
        runs["encoder", precision] = _encoder_step(one, batch, device, precision == "bf16")
    clock = time.process_time if device == "cpu" else time.perf_counter
    times = {key: [] for key in runs}
    for (what, _), run in runs.items():
        if what == "step":  # warm-up: optimiser state, convolution plans
            run()
    deadline = time.monotonic() + seconds
    while not times["step", "f32"] or time.monotonic() < deadline:
        for key, run in runs.items():
            start = clock()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            times[key].append(clock() - start)
    return {key: min(values) for key, values in times.items()}, len(times["step", "f32"])


def _training_step(model: nn.Module, batch: dict, wrapper: object) -> Callable[[], object]:
    return lambda: model.train_step(batch, wrapper)


def _encoder_step(model: nn.Module, batch: dict, device: str, bf16: bool) -> Callable[[], object]:
    """The encoder alone, forward and backward, on the same images."""

    def run() -> None:
        images = model.data_preprocessor(batch, True)["inputs"].flatten(0, 1)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            features, maps = model.backbone(images)
        (features.float().sum() + maps.float().sum()).backward()
        model.zero_grad()

    return run


def _stored_step(device: str, steps: int = 6) -> float:
    """Minimum seconds of a step from stored (random) features, including reading."""
    config, rng = load_config(STORED), np.random.default_rng(0)
    model = MODELS.build(config.model).to(device).train()
    dataset, width = config.train_dataloader.dataset, model.backbone
    batch = config.train_dataloader.batch_size
    with tempfile.TemporaryDirectory(prefix="mviper-benchmark-") as folder:
        dataset.data_root, dataset.copies = folder, 1
        header = {
            "encoder": model.encoder_id, "crop": crop_id(dataset.pictures), "copies": 1, "seed": 0,
            "body_model": model.body_model.body_model_id, "dataset": "random",
        }  # fmt: skip
        widths = Widths(width.feature_dim, width.map_size**2, width.map_dim, model.body_model.num_betas)
        with StoreWriter(Path(folder), header, widths) as writer:
            records = np.zeros(steps * batch, writer.record)
            for name in ("features", "maps", "keypoints2d", "keypoints3d"):
                records[name] = rng.uniform(0, 1, records[name].shape)
            records["smpl_rotmat"] = np.eye(3)
            writer.add(StoredSequence("random", 0, 0, len(records), (1.0, 1.0, 1.0), False, ""), records)
            writer.finish()
        clips = DATASETS.build(dataset)
        wrapper, times = build_optim_wrapper(model, config.optim_wrapper), []
        clock = time.process_time if device == "cpu" else time.perf_counter
        for indices in rng.permutation(len(clips)).reshape(steps, batch).tolist():
            start = clock()
            model.train_step(pseudo_collate([clips[index] for index in indices]), wrapper)
            if device == "cuda":
                torch.cuda.synchronize()
            times.append(clock() - start)
    return min(times)


def _waiting(root: Path | None) -> tuple[float, float]:
    """Trains briefly as ``tools/train.py --amp`` does; returns the share of waiting and seconds per step."""
    with tempfile.TemporaryDirectory(prefix="mviper-benchmark-") as folder:
        if root is None:
            root = Path("data/demo")
            if not any(root.glob("train/*/manifest.json")):
                root = _made_data(Path(folder, "data"))
        scratch = {"load_from": None, "model.backbone.init_cfg": None}
        config = load_config(CONFIG, scratch)
        mix = config.train_dataloader.dataset
        # Only generated data, even if public sets are present.
        config.train_dataloader.dataset = {**mix.shared, **mix.datasets[0], "data_root": str(root)}
        workers = config.train_dataloader.num_workers
        ahead = workers * 2  # torch's prefetch_factor
        _shorten(config, Path(folder), ahead + WAITING_STEPS)
        use_mixed_precision(config.optim_wrapper)
        runner = Runner.from_cfg(config)
        runner.train()
        history = runner.message_hub.log_scalars
        waited, taken = (history[f"train/{name}"].data[0][ahead:] for name in ("data_time", "time"))
    return float(waited.sum() / taken.sum()), float(taken.mean())


def _shorten(config: Config, folder: Path, steps: int) -> None:
    """Limits a training to some steps, without validation or checkpoints."""
    config.work_dir, config.log_level = str(folder / "run"), "WARNING"
    config.train_cfg.max_iters = steps
    config.default_hooks.checkpoint = None
    for name in ("val_dataloader", "val_cfg", "val_evaluator", "test_dataloader", "test_cfg", "test_evaluator"):
        config[name] = None


def _made_data(folder: Path) -> Path:
    """Generates a few sequences with painted clothes."""
    from mviper.synthesis import generate

    print(f"No data given: generating {SEQUENCES} sequences of {SYNTHESIS}")
    generate(load_config(SYNTHESIS).to_dict(), folder, limit=SEQUENCES)
    return folder
