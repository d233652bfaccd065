"""Cost of a sequence, stage by stage, compared with bare Cycles for the same pictures."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import Result
from mviper.config import load_config
from mviper.errors import MviperError, SequenceRejected
from mviper.extras import import_extra, quiet
from mviper.synthesis import build_factory, complete_config, list_jobs

#: A walk and a dance of 120 frames, with new bodies and scenes, until the time is up.
OPTIONS = {"source.names": ["walk", "dance_b"], "source.min_seconds": 4.0, "variants": 100}

#: A data set of the paper's size: this many sequences of 120 frames from four views are 2.4 million pictures.
SEQUENCES = 5000

#: Rounds through all cameras that bare Cycles renders after a warm-up round.
BARE_ROUNDS = 10

#: Script of a fresh process on the saved scene: only Cycles and Blender's writing of the picture. As in the factory,
#: every mesh is marked as moved before each round through the cameras, and Blender runs with one thread.
_BARE = """
import os, sys, time
cores = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(cores)})
import bpy
os.sched_setaffinity(0, cores)
path, rounds = sys.argv[1], int(sys.argv[2])
bpy.ops.wm.open_mainfile(filepath=path)
scene = bpy.context.scene
scene.render.filepath = path + ".bmp"
eyes = [thing for thing in scene.objects if thing.type == "CAMERA"]
for turn in range(rounds + 1):
    if turn == 1:
        start = time.process_time()
    for mesh in bpy.data.meshes:
        mesh.update()
    for scene.camera in eyes:
        bpy.ops.render.render(write_still=True)
print("bare", (time.process_time() - start) / (rounds * len(eyes)))
"""


def measure(arguments: argparse.Namespace) -> Result:
    """Generates sequences from mocap to files until the time is up; renders their scenes with bare Cycles."""
    options = OPTIONS | {"seed": arguments.seed}
    config = complete_config(load_config("configs/synthesis/deepmimic.py", options).to_dict())
    shop = build_factory(config, threads=1)
    deadline = time.monotonic() + 60 * arguments.minutes
    seconds: dict[str, float] = {}
    frames = rendered = simulated = sequences = rejected = size = 0
    bare = []
    out = Path(tempfile.mkdtemp(prefix="mviper-benchmark-"))
    try:
        for job in list_jobs(config):
            if sequences and time.monotonic() > deadline:
                break
            try:
                folder = shop.make(job, out)
            except SequenceRejected as error:
                rejected += 1
                print(f"rejected {job.name}: {error}")
                continue
            manifest = json.loads((folder / "manifest.json").read_text())
            size += sum(path.stat().st_size for path in folder.iterdir())
            sequences += 1
            frames += manifest["frames"]
            simulated += manifest["frames"] + config["lead_in"]["frames"] + shop.simulator.drape_frames
            rendered += manifest["frames"] * len(manifest["views"])
            for stage, cost in manifest["timings"].items():
                seconds[stage] = seconds.get(stage, 0.0) + cost
            bare.append(bare_cycles(out / "scene.blend"))
            print(f"{job.name}: {manifest['quality']['solver_steps']} solver steps, bare Cycles {bare[-1]:.3f} CPU-s")
    finally:
        shutil.rmtree(out)
    stages = [stage for stage in seconds if not stage.startswith("cloth_")]
    total = sum(seconds[stage] for stage in stages)
    sewing = sum(seconds.get(f"cloth_{step}", 0.0) for step in ("baste", "sew"))
    bare_mean = sum(bare) / len(bare)
    whole = rendered / sequences * SEQUENCES
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
        "bare_cycles_cpu_s_per_frame": bare_mean,
        "times_bare_cycles": total / rendered / bare_mean,
        "mb_per_sequence": size / sequences / 1e6,
        "core_hours_of_5000_sequences": total / rendered * whole / 3600,
        "gb_of_5000_sequences": size / sequences * SEQUENCES / 1e9,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    rows = [("stage", "CPU-s per rendered frame", "share")]
    for stage in stages:
        rows.append((stage, f"{seconds[stage] / rendered:.4f}", f"{seconds[stage] / total:.1%}"))
        if stage == "simulate":
            parts = [part for part in seconds if part.startswith("cloth_")]
            rows += [(f"- {part[6:]}", f"{seconds[part] / rendered:.4f}", "") for part in parts]
    rows += [("all", f"{total / rendered:.4f}", "100 %"), ("bare Cycles", f"{bare_mean:.4f}", "")]
    print("\n".join(f"{name} = {value:.4g}" for name, value in figures.items()))
    targets = {
        "all_cpu_s_per_rendered_frame": ["<=", 0.80],
        "times_bare_cycles": ["<=", 2.1],
        "memory_mb": ["<=", 1200],
    }
    return rows, figures, targets


def bare_cycles(path: Path) -> float:
    """CPU seconds of Cycles per picture of the scene open in Blender, in a separate process.

    Args:
        path: Where to save the scene for it.
    """
    with quiet():
        import_extra("bpy").ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _BARE, str(path), str(BARE_ROUNDS)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = [line for line in run.stdout.splitlines() if line.startswith("bare ")]
    if run.returncode or not lines:
        raise MviperError(f"bare Cycles failed:\n{run.stderr}")
    return float(lines[-1].split()[1])
