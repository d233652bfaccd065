"""What a training step costs beside its bare encoder."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.optim import OptimWrapper

from benchmarks import Result
from mviper.body.joints import KEYPOINTS
from mviper.config import load_config
from mviper.registry import MODELS
from mviper.structures.sample import BodySample


def measure(arguments: argparse.Namespace) -> Result:
    """Steps of configs/mviper_r50.py on a made-up batch, beside its bare encoder on the same pictures."""
    config = load_config("configs/mviper_r50.py")
    batch, frames, size = config.train_dataloader.batch_size, config.clip_length, config.image_size
    device = "cuda" if torch.cuda.is_available() else "cpu"
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    units = next((name for name in ("amx_bf16", "avx512_bf16") if name in flags), "no bf16 units")
    print(f"device {device}, {torch.get_num_threads()} threads, {units}")
    torch.manual_seed(arguments.seed)
    model = MODELS.build(config.model).to(device).train()
    samples = [
        BodySample(
            keypoints2d=torch.rand(frames, len(KEYPOINTS), 3), keypoints3d=torch.rand(frames, len(KEYPOINTS), 4),
            smpl_rotmat=torch.eye(3).expand(frames, 24, 3, 3), betas=torch.zeros(frames, 10),
            has_keypoints3d=torch.ones(()), has_smpl=torch.ones(()), has_betas=torch.ones(()),
        )
        for _ in range(batch)
    ]  # fmt: skip
    pictures = [torch.randint(0, 255, (frames, 3, size, size), dtype=torch.uint8) for _ in range(batch)]
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), lr=1e-5))

    def step() -> None:
        model.train_step({"inputs": pictures, "data_sample": samples}, wrapper)

    def encoder() -> None:
        images = model.data_preprocessor({"inputs": pictures, "data_sample": samples}, True)["inputs"].flatten(0, 1)
        features, maps = model.backbone(images)
        (features.sum() + maps.sum()).backward()
        model.zero_grad()

    def wall(run: Callable[[], None], bf16: bool) -> float:
        start = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            run()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    times: dict[tuple[str, bool], list[float]] = {}
    deadline = time.monotonic() + 60 * arguments.minutes
    wall(step, True), wall(encoder, True)
    while not times or time.monotonic() < deadline:
        for name, run in (("step", step), ("encoder", encoder)):
            for bf16 in (True, False):
                times.setdefault((name, bf16), []).append(wall(run, bf16))
    best = {key: min(value) for key, value in times.items()}
    rows = [("what", "f32 [s]", "bf16 [s]")]
    rows += [(name, f"{best[name, False]:.2f}", f"{best[name, True]:.2f}") for name in ("step", "encoder")]
    rows += [("encoder's share", *(f"{best['encoder', bf16] / best['step', bf16]:.0%}" for bf16 in (False, True)))]
    figures = {
        "step_f32_s": best["step", False],
        "step_bf16_s": best["step", True],
        "encoder_share_f32": best["encoder", False] / best["step", False],
        "encoder_share_bf16": best["encoder", True] / best["step", True],
        "step_over_encoder_f32": best["step", False] / best["encoder", False],
        "step_over_encoder_bf16": best["step", True] / best["encoder", True],
        "repeats": len(times["step", False]),
    }
    return rows, figures, {"step_over_encoder_f32": ["<=", 1.15]}
