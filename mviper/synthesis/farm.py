"""Many sequences by several processes, of which any may die at any moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import socket
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from mviper.errors import FileFormatError, MviperError, SequenceRejected
from mviper.files import atomic_path
from mviper.synthesis.pipeline import Factory, Job, complete_config, list_jobs

#: A job whose worker dies is tried so often in all.
_TRIES = 2


@dataclass
class Summary:
    """What a run did.

    Attributes:
        made: Names of finished sequences.
        existing: How many were there before.
        rejected: Reason by name, of this run and of earlier ones.
        failed: What went wrong by name: unreadable clips, faults of the program, workers that died.
        frames: Frames of the sequences made, all views.
        cpu_seconds: By stage, over the sequences made.
        seconds: Wall clock.
    """

    made: list[str] = field(default_factory=list)
    existing: int = 0
    rejected: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    frames: int = 0
    cpu_seconds: Counter = field(default_factory=Counter)
    seconds: float = 0.0


@dataclass
class Event:
    """News of a run, for a progress display.

    Attributes:
        kind: ``'stage'``, ``'made'``, ``'rejected'``, ``'failed'`` or ``'retry'``.
        worker: Which process.
        job: Whose sequence.
        text: Stage, or what went wrong.
        done: Share of the stage that is done, in [0, 1].
    """

    kind: str
    worker: int
    job: Job
    text: str = ""
    done: float = 0.0


class RejectionLog:
    """``rejected.json`` of a data set: which sequences were made and not accepted, and why."""

    def __init__(self, out: Path) -> None:
        self.path = out / "rejected.json"
        self.entries: dict[str, dict] = {}
        if self.path.is_file():
            try:
                self.entries = json.loads(self.path.read_text())
            except ValueError as error:
                raise FileFormatError(self.path, f"not JSON: {error}", hint="delete it to try all again") from error

    def add(self, job: Job, seed: int, reason: str, quality: dict) -> None:
        """Adds an entry and writes the file."""
        self.entries[job.name] = dict(split=job.split, seed=seed, reason=reason, quality=quality)
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(self.entries, indent=1, sort_keys=True) + "\n")


def generate(
    config: dict, out: str | Path, workers: int = 1, limit: int | None = None, retry_rejected: bool = False,
    on_plan: Callable[[list[Job], int], None] = lambda jobs, existing: None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Summary:  # fmt: skip
    """Makes all sequences that a config asks for and that are not there yet.

    Each worker is a fresh process with its own Blender and a fixed share of the cores. A sequence is written under a
    hidden name and renamed when whole, so whatever dies, what exists is complete and a rerun continues.

    Args:
        config: A synthesis config as plain data.
        out: The data set's folder.
        workers: How many processes.
        limit: Only the first so many sequences of the config.
        retry_rejected: Try again what was rejected before.
        on_plan: Called once with the jobs left and the number of those done before.
        on_event: Called as the work goes on.

    Returns:
        What was done.

    Raises:
        MviperError: Nothing can be made: the config, the data or the output folder is at fault.
    """
    start = time.monotonic()
    out = Path(out)
    config = complete_config(config)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _sweep(out)
    except OSError as error:
        raise MviperError(f"{out}: cannot be written: {error.strerror or error}") from error
    log = RejectionLog(out)
    if retry_rejected:
        log.entries = {}
    jobs = list_jobs(config, limit)
    summary = Summary(existing=sum(job.folder(out).is_dir() for job in jobs))
    summary.rejected = {job.name: log.entries[job.name]["reason"] for job in jobs if job.name in log.entries}
    left = [job for job in jobs if not job.folder(out).is_dir() and job.name not in log.entries]
    on_plan(left, summary.existing)
    if left:
        _run(config, out, left, min(workers, len(left)), log, summary, on_event)
    summary.seconds = time.monotonic() - start
    return summary


def _sweep(out: Path) -> None:
    """Removes what dead processes of this machine left under hidden names."""
    pattern = re.compile(rf"\..+\.{re.escape(socket.gethostname())}\.(\d+)\.tmp")
    for folder in out.glob("*/.*.tmp"):
        match = pattern.fullmatch(folder.name)
        if match and not Path("/proc", match[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)


class _Worker:
    """One process and the job it is at."""

    def __init__(self, number: int, config: dict, out: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.number, self.job = number, None
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, config, str(out), threads, os.getpid()), daemon=True)
        self.process.start()
        other.close()

    def give(self, job: Job) -> None:
        self.job = job
        self.pipe.send(job)

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def _run(
    config: dict, out: Path, jobs: list[Job], count: int, log: RejectionLog, summary: Summary,
    on_event: Callable[[Event], None],
) -> None:  # fmt: skip
    threads = max(1, len(os.sched_getaffinity(0)) // count)
    waiting, tries = deque(jobs), Counter()
    workers = [_Worker(number, config, out, threads) for number in range(count)]
    try:
        for worker in workers:
            worker.give(waiting.popleft())
        while any(worker.job for worker in workers):
            busy = {worker.pipe: worker for worker in workers if worker.job}
            for pipe in wait(list(busy)):
                worker = busy[pipe]
                job = worker.job
                try:
                    kind, content = pipe.recv()
                except (EOFError, ConnectionResetError):  # it died
                    worker.process.join()
                    code = worker.process.exitcode
                    tries[job.name] += 1
                    if tries[job.name] < _TRIES:
                        waiting.append(job)
                        on_event(Event("retry", worker.number, job, f"its worker died (exit code {code})"))
                    else:
                        summary.failed[job.name] = f"its worker died {_TRIES} times (exit code {code})"
                        on_event(Event("failed", worker.number, job, summary.failed[job.name]))
                    workers[worker.number] = worker = _Worker(worker.number, config, out, threads)
                    kind = "died"
                if kind == "stage":
                    on_event(Event("stage", worker.number, job, content[0], content[1]))
                    continue
                if kind == "made":
                    manifest = json.loads((job.folder(out) / "manifest.json").read_text())
                    summary.made.append(job.name)
                    summary.frames += manifest["frames"] * len(manifest["views"])
                    summary.cpu_seconds.update(manifest["timings"])
                    on_event(Event("made", worker.number, job))
                elif kind == "rejected":
                    log.add(job, config["seed"], *content)
                    summary.rejected[job.name] = content[0]
                    on_event(Event("rejected", worker.number, job, content[0]))
                elif kind == "failed":
                    summary.failed[job.name] = content
                    on_event(Event("failed", worker.number, job, content))
                elif kind == "fatal":
                    raise MviperError(content)
                worker.job = None
                if waiting:
                    worker.give(waiting.popleft())
    finally:
        for worker in workers:
            worker.stop()


def _work(pipe: Connection, config: dict, out: str, threads: int, parent: int) -> None:
    """A worker's life: build everything once, then make what comes."""
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    import torch
    from mmengine.utils import import_modules_from_strings

    torch.set_num_threads(1)  # one thread whatever the machine: the same bytes everywhere
    try:
        if config.get("custom_imports"):
            import_modules_from_strings(**config["custom_imports"])
        factory = Factory(config)
        if getattr(factory.renderer, "threads", None) == 0:  # "all" would be more than this worker's share
            factory.renderer.threads = threads
    except MviperError as error:
        pipe.recv()
        pipe.send(("fatal", str(error)))
        return
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            factory.make(job, Path(out), lambda stage, done, total: pipe.send(("stage", (stage, done / total))))
            answer = ("made", None)
        except SequenceRejected as error:
            answer = ("rejected", (error.reason, json.loads(json.dumps(error.quality, default=float))))
        except FileFormatError as error:
            answer = ("failed", str(error))
        except MviperError as error:
            # What is wrong with the config, the packages or the disk is wrong for every other sequence too.
            answer = ("fatal", str(error))
        except Exception:
            answer = ("failed", traceback.format_exc())
        pipe.send(answer)


def _die_with(parent: int) -> None:
    """Ends this process when the one that started it is gone: nobody would collect its work."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
