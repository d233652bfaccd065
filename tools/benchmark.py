#!/usr/bin/env python
"""Measures what MVIPER costs, part by part: the tables of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mviper.config import load_config, run_tool
from mviper.files import atomic_path

#: What a part returns: printed rows, figures by name, and bars (figure name -> [operator, limit]).
Result = tuple[list[tuple[str, ...]], dict[str, float], dict[str, list]]


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="CPU seconds (user + system) are steadier than wall time on a busy machine; ratios are of one run.",
    )
    parser.add_argument("part", choices=sorted(PARTS), help="what to measure")
    parser.add_argument("--minutes", type=float, default=5.0, help="about how long it may take (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="for what is drawn at random (default: 0)")
    parser.add_argument(
        "--data", type=Path, default=Path("data/demo"), help="generated data, for data (default: data/demo)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write figures and bars as JSON")
    return parser.parse_args()


def factory(arguments: argparse.Namespace) -> Result:
    """One sequence of a walk after the other, from mocap to files, until the time is up."""
    from mviper.synthesis.pipeline import Factory, complete_config, list_jobs

    config = complete_config(
        load_config(
            "configs/synthesis/deepmimic.py",
            {"source.names": ["*walk"], "source.min_seconds": 4.0, "variants": 100, "seed": arguments.seed},
        ).to_dict()
    )
    shop = Factory(config)
    deadline = time.monotonic() + 60 * arguments.minutes
    seconds: dict[str, float] = {}
    frames = rendered = simulated = sequences = rejected = 0
    out = Path(tempfile.mkdtemp(prefix="mviper-benchmark-"))
    try:
        for job in list_jobs(config):
            if sequences and time.monotonic() > deadline:
                break
            from mviper.errors import SequenceRejected

            try:
                manifest = json.loads((shop.make(job, out) / "manifest.json").read_text())
            except SequenceRejected as error:
                rejected += 1
                print(f"rejected {job.name}: {error}")
                continue
            sequences += 1
            frames += manifest["frames"]
            simulated += manifest["frames"] + config["lead_in"]["frames"]
            rendered += manifest["frames"] * len(manifest["views"])
            for stage, cost in manifest["timings"].items():
                seconds[stage] = seconds.get(stage, 0.0) + cost
    finally:
        shutil.rmtree(out)
    stages = [stage for stage in seconds if not stage.startswith("cloth_")]
    total = sum(seconds[stage] for stage in stages)
    sewing = sum(seconds.get(f"cloth_{step}", 0.0) for step in ("baste", "sew", "drape"))
    figures = {
        "sequences": sequences,
        "rejected": rejected,
        "rendered_frames": rendered,
        "retarget_cpu_s_per_frame": seconds["retarget"] / frames,
        "sew_drape_cpu_s_per_sequence": sewing / sequences,
        "simulate_cpu_s_per_simulated_frame": seconds.get("cloth_simulate", 0.0) / simulated,
        "render_cpu_s_per_rendered_frame": seconds["render"] / rendered,
        "annotate_cpu_s_per_rendered_frame": seconds["annotate"] / rendered,
        "write_cpu_s_per_rendered_frame": seconds["write"] / rendered,
        "all_cpu_s_per_rendered_frame": total / rendered,
    }
    rows = [("stage", "CPU-s per rendered frame", "share")]
    rows += [(stage, f"{seconds[stage] / rendered:.4f}", f"{seconds[stage] / total:.1%}") for stage in stages]
    rows += [("all", f"{total / rendered:.4f}", "100 %")]
    return rows, figures, {"all_cpu_s_per_rendered_frame": ["<=", 0.80]}


def data(arguments: argparse.Namespace) -> Result:
    """Random clips of T = 4 through the data set, beside bare PyAV decoding of the same windows."""
    import av
    import numpy as np

    from mviper.datasets import SyntheticHumanVideo

    rng = np.random.default_rng(arguments.seed)
    crop = [dict(type="CropClip", size=224), dict(type="PackBodySample")]
    augment = [dict(type="AugmentClip"), crop[0], dict(type="JitterClip"), crop[1]]
    datasets = {
        "data set, crop": SyntheticHumanVideo(arguments.data, pipeline=crop),
        "data set, crop + augmentation": SyntheticHumanVideo(arguments.data, pipeline=augment),
    }
    some = datasets["data set, crop"]
    clips = rng.integers(len(some), size=100)
    open_videos: dict[str, object] = {}

    def bare(index: int) -> None:
        number, start = some.locate(index)
        view = some.views[number]
        if view.name not in open_videos:
            open_videos[view.name] = av.open(str(view.video))
            open_videos[view.name].streams.video[0].thread_count = 1
        container = open_videos[view.name]
        stream = container.streams.video[0]
        rate = float(stream.average_rate)
        container.seek(round(start / rate / stream.time_base), stream=stream)
        found = 0
        for frame in container.decode(stream):
            if round(float(frame.pts * stream.time_base) * rate) >= start:
                frame.to_ndarray(format="rgb24")
                found += 1
                if found == some.clip_length:
                    return

    readers: dict[str, Callable] = {"bare PyAV": bare}
    readers |= {name: dataset.__getitem__ for name, dataset in datasets.items()}
    for read in readers.values():  # opens files, reads annotation
        for index in clips[:20]:
            read(int(index))
    spent = dict.fromkeys(readers, 0.0)
    count = 0
    deadline = time.monotonic() + 60 * min(arguments.minutes, 1.0)
    while not count or time.monotonic() < deadline:
        for name, read in readers.items():  # side by side, so that noise hits all alike
            start = time.process_time()
            for index in clips:
                read(int(index))
            spent[name] += time.process_time() - start
        count += len(clips) * some.clip_length
    rates = {name: count / cost for name, cost in spent.items()}
    rows = [("reader", "frames per CPU-s", "ratio to bare PyAV")]
    rows += [(name, f"{rate:.0f}", f"{rate / rates['bare PyAV']:.2f}") for name, rate in rates.items()]
    figures = {
        "bare_pyav_frames_per_cpu_s": rates["bare PyAV"],
        "dataset_crop_frames_per_cpu_s": rates["data set, crop"],
        "dataset_augmented_frames_per_cpu_s": rates["data set, crop + augmentation"],
        "dataset_augmented_ratio": rates["data set, crop + augmentation"] / rates["bare PyAV"],
    }
    return rows, figures, {"dataset_augmented_ratio": [">=", 0.70]}


def training(arguments: argparse.Namespace) -> Result:
    """Steps of configs/mviper_r50.py on a made-up batch, beside its bare encoder on the same pictures."""
    import torch
    from mmengine.optim import OptimWrapper

    from mviper.body.joints import KEYPOINTS
    from mviper.registry import MODELS
    from mviper.structures.sample import BodySample

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


PARTS: dict[str, Callable[[argparse.Namespace], Result]] = {"factory": factory, "data": data, "training": training}


def main() -> None:
    """Measures one part, prints its table, writes the JSON."""
    arguments = parse_arguments()
    started = time.monotonic()
    rows, figures, bars = PARTS[arguments.part](arguments)
    print("\n" + "\n".join(["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
                           + ["| " + " | ".join(row) + " |" for row in rows[1:]]))  # fmt: skip
    for name, (operator, limit) in bars.items():
        met = figures[name] <= limit if operator == "<=" else figures[name] >= limit
        print(f"{name} = {figures[name]:.3f}, bar {operator} {limit}: {'met' if met else 'MISSED'}")
    print(f"{time.monotonic() - started:.0f} s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if arguments.json:
        with atomic_path(arguments.json) as temporary:
            temporary.write_text(json.dumps({"figures": figures, "bars": bars}, indent=1) + "\n")
        print(f"Wrote {arguments.json}")


if __name__ == "__main__":
    run_tool(main)
