"""Whether two workers double the throughput, and whether a worker's speed and memory stay constant."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import Result
from mviper.config import load_config
from mviper.errors import MviperError
from mviper.shipped import SHIPPED
from mviper.synthesis import build_factory, complete_config, list_jobs

#: The same short walk repeatedly, so that the work is constant. Coarse cloth keeps it short.
OPTIONS = {
    "source.names": ["walk"], "max_frames": 4, "min_seconds": 0.1, "lead_in.frames": 10, "lead_in.still": 3,
    "outfit.0.edge_length": 0.035, "outfit.1.edge_length": 0.035,
}  # fmt: skip

#: Sequences in one process, warm-up sequences at its start, sequences for one worker and for two.
SEQUENCES, WARM, SHARED = 30, 5, 12


def measure(arguments: argparse.Namespace) -> Result:
    """Generates thirty sequences in one process, then equally many by one worker on one core and by two on two."""
    config = complete_config(load_config("configs/synthesis/deepmimic.py", OPTIONS).to_dict())
    costs, memory = _drift(config)
    rise = np.median(costs[-5:]) / np.median(costs[WARM : WARM + 5]) - 1
    figures = {
        "sequences": SEQUENCES,
        "cpu_s_per_sequence": float(np.median(costs[WARM:])),
        "cost_rise_percent": 100 * float(rise),
        "memory_mb_after_fifth": memory[WARM - 1],
        "memory_growth_mb": memory[-1] - memory[WARM - 1],
    }
    rows = [("what", "measured")]
    for first in range(0, SEQUENCES, 5):
        part = slice(first, first + 5)
        name = f"sequences from {first + 1} on: CPU-s each; memory [MB]"
        rows.append((name, f"{np.median(costs[part]):.2f}; {memory[part][-1]:.0f}"))
    targets = {"cost_rise_percent": ["<=", 3], "memory_growth_mb": ["<=", 30]}
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) >= 2:
        alone, both = _wall(cores[:1], 1), _wall(cores[:2], 2)
        figures |= {"one_worker_s": alone, "two_workers_s": both, "two_workers_times_one": alone / both}
        rows.append((f"{SHARED} sequences, one worker on one core [s]", f"{alone:.1f}"))
        rows.append((f"{SHARED} sequences, two workers on two cores [s]", f"{both:.1f}"))
        targets["two_workers_times_one"] = [">=", 1.7]
    return rows, figures, targets


def _drift(config: dict) -> tuple[np.ndarray, list[float]]:
    """CPU seconds of each sequence, and the memory in use afterwards [MB]."""
    shop = build_factory(config, threads=1)
    job = list_jobs(config, 1)[0]
    costs, memory = [], []
    out = Path(tempfile.mkdtemp(prefix="mviper-benchmark-"))
    try:
        for _ in range(SEQUENCES):
            start = time.process_time()
            shutil.rmtree(shop.make(job, out))
            costs.append(time.process_time() - start)
            memory.append(_resident())
    finally:
        shutil.rmtree(out)
    return np.array(costs), memory


def _resident() -> float:
    """This process's memory in use [MB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _wall(cores: list[int], workers: int) -> float:
    """Wall time of ``tools/generate.py`` for ``SHARED`` sequences on given cores, including Python's start [s]."""
    out = tempfile.mkdtemp(prefix="mviper-benchmark-")
    options = [f"{key}={value}" for key, value in (OPTIONS | {"variants": SHARED, "source.names": "[walk]"}).items()]
    command = [
        sys.executable, str(SHIPPED / "tools/generate.py"), "configs/synthesis/deepmimic.py", "--out", out,
        "--workers", str(workers),
        "--cfg-options", *options,
    ]  # fmt: skip
    try:
        start = time.monotonic()
        run = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cores))
        if run.returncode:
            raise MviperError(f"tools/generate.py failed:\n{run.stderr}")
        return time.monotonic() - start
    finally:
        shutil.rmtree(out)
