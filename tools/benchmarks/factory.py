"""What a sequence costs, stage by stage."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks import Result
from mviper.config import load_config
from mviper.errors import SequenceRejected
from mviper.synthesis.pipeline import Factory, complete_config, list_jobs


def measure(arguments: argparse.Namespace) -> Result:
    """One sequence of a walk after the other, from mocap to files, until the time is up."""
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
