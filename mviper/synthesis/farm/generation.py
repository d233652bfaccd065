"""Generates all missing sequences of a config."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from mviper.errors import ConfigError, MviperError
from mviper.synthesis.farm.cluster import RayPool
from mviper.synthesis.farm.folder import RejectionLog, check_resumed, run_lock, sweep
from mviper.synthesis.farm.local import LocalPool
from mviper.synthesis.farm.protocol import Event, Summary, WorkerPool, run_jobs
from mviper.synthesis.jobs import Job, list_jobs
from mviper.synthesis.schema import complete_config


def generate(
    config: dict, out: str | Path, workers: int | None = None, limit: int | None = None, retry_rejected: bool = False,
    resume: bool = True, launcher: str = "none", address: str | None = None,
    on_plan: Callable[[list[Job], int], None] = lambda jobs, existing: None,
    on_event: Callable[[Event], None] = lambda event: None,
    splits: Collection[str] | None = None,
) -> Summary:  # fmt: skip
    """Makes all sequences of a config that do not exist yet.

    Each worker is a fresh process with its own Blender and a fixed share of the cores. A sequence is written under a
    hidden name and renamed when complete, so existing sequences are always complete and a rerun continues.

    Args:
        config: A synthesis config as plain data.
        out: The data set's folder; with Ray, under the same path on all machines.
        workers: Number of workers; None: 1, with Ray the cluster's number of cores.
        limit: Only the config's first sequences, this many.
        retry_rejected: Retry sequences rejected before.
        resume: Whether the folder may already hold some of the sequences.
        launcher: ``'none'``: processes on this machine; ``'ray'``: actors of a Ray cluster.
        address: The cluster's address, as ``ray.init`` takes it.
        on_plan: Called once with the remaining jobs and the number done before.
        on_event: Called with each event.
        splits: Only sequences of these splits; None: of all.

    Returns:
        A summary.

    Raises:
        ConfigError: The folder holds some of the sequences, made with another seed or config; names what differs.
        MviperError: Nothing can be made: the config, the data or the output folder is at fault, another run is using
            the folder, or the cluster cannot be reached.
        MissingDependencyError: Ray is requested but not installed.
    """
    start = time.monotonic()
    out = Path(out).absolute()
    config = complete_config(config)
    if launcher not in ("none", "ray"):
        raise ConfigError(f"expected launcher 'none' or 'ray', got {launcher!r}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MviperError(f"{out}: cannot be written: {error.strerror or error}") from error
    with run_lock(out) as alone:
        sweep(out, alone)
        log = RejectionLog(out)
        if retry_rejected:
            log.entries = {}
        jobs = list_jobs(config, limit, splits)
        existing = [job for job in jobs if job.folder(out).is_dir()]
        summary = Summary(existing=len(existing))
        if existing and not resume:
            raise MviperError(f"{out} holds {summary.existing} of these sequences already; give another --out")
        for job in existing:
            check_resumed(job.folder(out), config)
        log.forget({job.name for job in jobs}, config["seed"])
        summary.rejected = {job.name: log.entries[job.name]["reason"] for job in jobs if job.name in log.entries}
        left = [job for job in jobs if not job.folder(out).is_dir() and job.name not in log.entries]
        on_plan(left, summary.existing)
        if left:
            pool = _pool(launcher, address, config, out, workers, len(left))
            try:
                run_jobs(pool, config["seed"], out, left, log, summary, on_event)
            finally:
                pool.close()
                sweep(out, alone)  # unfinished sequences, also of other machines
    summary.seconds = time.monotonic() - start
    return summary


def _pool(launcher: str, address: str | None, config: dict, out: Path, workers: int | None, jobs: int) -> WorkerPool:
    if launcher == "none":
        return LocalPool(config, out, min(workers or 1, jobs))
    return RayPool(config, out, workers, jobs, address)
