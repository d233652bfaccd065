"""Many sequences by several processes, of which any may die at any moment.

The loop here hands out jobs and takes in news; where the workers live is a crew's matter: processes of this machine
(:class:`LocalCrew`) or actors of a Ray cluster (:class:`mviper.synthesis.ray_crew.RayCrew`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import multiprocessing
import os
import re
import reprlib
import shutil
import socket
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol

from mviper.errors import ConfigError, FileFormatError, MissingDependencyError, MviperError, SequenceRejected
from mviper.extras import import_extra
from mviper.files import atomic_path
from mviper.synthesis.factory import Factory, Report
from mviper.synthesis.jobs import Job, list_jobs
from mviper.synthesis.schema import complete_config, decisive_settings

#: A job whose worker dies is tried so often in all.
_TRIES = 3

#: Held by the run that writes to a data set.
_LOCK_NAME = ".lock"


@dataclass
class Summary:
    """What a run did.

    Attributes:
        made: Names of finished sequences.
        existing: How many were there before.
        rejected: Reason by name, of this run and of earlier ones.
        failed: What went wrong by name: unreadable clips, faults of the program, workers that died.
        retried: How often a job was given to another worker because the first one had died.
        frames: Frames of the sequences made, all views.
        cpu_seconds: By stage, over the sequences made.
        seconds: Wall clock.
    """

    made: list[str] = field(default_factory=list)
    existing: int = 0
    rejected: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    retried: int = 0
    frames: int = 0
    cpu_seconds: Counter = field(default_factory=Counter)
    seconds: float = 0.0

    def reasons(self) -> Counter:
        """How many sequences were rejected, by reason without its figures; one may have several reasons."""
        counts: Counter = Counter()
        for reason in self.rejected.values():
            counts.update({re.sub(r"-?\d+(\.\d+)?", "#", part.strip()) for part in reason.split(";")})
        return counts


@dataclass
class Event:
    """News of a run, for a progress display.

    Attributes:
        kind: ``'stage'``, ``'made'``, ``'rejected'``, ``'failed'`` or ``'retry'``.
        worker: Number of the worker.
        job: Whose sequence.
        text: Stage, or what went wrong.
        done: Share of the stage that is done, in [0, 1].
    """

    kind: str
    worker: int
    job: Job
    text: str = ""
    done: float = 0.0


class Crew(Protocol):
    """Workers by number, each with one job at a time."""

    size: int

    def give(self, worker: int, job: Job) -> None:
        """Hands a job to a worker that has none."""

    def news(self) -> Iterator[tuple[int, str, object]]:
        """Waits for some news: worker, kind, content.

        Kinds and contents are those of :func:`work`, or ``'died'`` with what is known about it; then the worker has
        been replaced.
        """

    def release(self, worker: int) -> None:
        """There are no more jobs for a worker: it ends, and what it held is free for others."""

    def close(self) -> None:
        """Ends all workers at once."""


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

    def forget(self, names: Collection[str], seed: int) -> None:
        """Drops entries of sequences of these names that were drawn with another seed."""
        self.entries = {
            name: entry for name, entry in self.entries.items() if name not in names or entry["seed"] == seed
        }

    def add(self, job: Job, seed: int, reason: str, quality: dict) -> None:
        """Adds an entry and writes the file."""
        self.entries[job.name] = dict(split=job.split, seed=seed, reason=reason, quality=quality)
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(self.entries, indent=1, sort_keys=True) + "\n")


def generate(
    config: dict, out: str | Path, workers: int | None = None, limit: int | None = None, retry_rejected: bool = False,
    resume: bool = True, launcher: str = "none", address: str | None = None,
    on_plan: Callable[[list[Job], int], None] = lambda jobs, existing: None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Summary:  # fmt: skip
    """Makes all sequences that a config asks for and that are not there yet.

    Each worker is a fresh process with its own Blender and a fixed share of the cores. A sequence is written under a
    hidden name and renamed when whole, so whatever dies, what exists is complete and a rerun continues.

    Args:
        config: A synthesis config as plain data.
        out: The data set's folder; with Ray, all machines see it under this name.
        workers: How many; None is 1, with Ray as many as the cluster has cores.
        limit: Only the first so many sequences of the config.
        retry_rejected: Try again what was rejected before.
        resume: Whether the folder may hold some of the sequences already.
        launcher: ``'none'``: processes of this machine; ``'ray'``: actors of a Ray cluster.
        address: The cluster's address, as ``ray.init`` takes it.
        on_plan: Called once with the jobs left and the number of those done before.
        on_event: Called as the work goes on.

    Returns:
        What was done.

    Raises:
        ConfigError: The folder holds some of the sequences, made with another seed or config; names what differs.
        MviperError: Nothing can be made: the config, the data or the output folder is at fault, another run is at work
            in it, or the cluster cannot be reached.
        MissingDependencyError: Ray is asked for and not installed.
    """
    start = time.monotonic()
    out = Path(out).absolute()
    config = complete_config(config)
    if launcher not in ("none", "ray"):
        raise ConfigError(f"launcher is 'none' or 'ray', got {launcher!r}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MviperError(f"{out}: cannot be written: {error.strerror or error}") from error
    with _sole_run(out) as alone:
        _sweep(out, alone)
        log = RejectionLog(out)
        if retry_rejected:
            log.entries = {}
        jobs = list_jobs(config, limit)
        existing = [job for job in jobs if job.folder(out).is_dir()]
        summary = Summary(existing=len(existing))
        if existing and not resume:
            raise MviperError(f"{out} holds {summary.existing} of the sequences already; give another --out")
        for job in existing:
            _check_resumed(job.folder(out), config)
        log.forget({job.name for job in jobs}, config["seed"])
        summary.rejected = {job.name: log.entries[job.name]["reason"] for job in jobs if job.name in log.entries}
        left = [job for job in jobs if not job.folder(out).is_dir() and job.name not in log.entries]
        on_plan(left, summary.existing)
        if left:
            crew = _crew(launcher, address, config, out, workers, len(left))
            try:
                _run(crew, config["seed"], out, left, log, summary, on_event)
            finally:
                crew.close()
                _sweep(out, alone)  # what died halfway, also on other machines
    summary.seconds = time.monotonic() - start
    return summary


def _check_resumed(folder: Path, config: dict) -> None:
    """Refuses a finished sequence that a run with this config would have made otherwise."""
    path = folder / "manifest.json"
    try:
        made = decisive_settings(json.loads(path.read_text())["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileFormatError(path, f"cannot be read: {error!r}", hint=f"delete {folder} to make it anew") from error
    asked = decisive_settings(config)
    differ = [
        f"{key} = {reprlib.repr(made.get(key))}, now {reprlib.repr(asked.get(key))}"
        for key in dict.fromkeys([*asked, *made])
        if made.get(key) != asked.get(key)
    ]
    if differ:
        raise ConfigError(
            f"{folder} was made with another config: {'; '.join(differ)}; give another --out, delete what is "
            "there, or go on with that config"
        )


def _crew(launcher: str, address: str | None, config: dict, out: Path, workers: int | None, jobs: int) -> Crew:
    if launcher == "none":
        return LocalCrew(config, out, min(workers or 1, jobs))
    from mviper.synthesis.ray_crew import RayCrew

    return RayCrew(config, out, workers, jobs, address)


@contextlib.contextmanager
def _sole_run(out: Path) -> Iterator[bool]:
    """Keeps other runs out of a folder while the block lasts; the kernel lets go when this process dies.

    Yields:
        False where the file system cannot lock.

    Raises:
        MviperError: Another run has it, or it cannot be written.
    """
    try:
        file = open(out / _LOCK_NAME, "w")
    except OSError as error:
        raise MviperError(f"{out}: cannot be written: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MviperError(
                f"{out}: another run of tools/generate.py is at work there; wait for it, give another --out, or have "
                "one run with more workers (--workers, --launcher ray)"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise MviperError(f"{out}: cannot be locked: {error.strerror or error}") from error
            yield False
            return
        yield True


def _sweep(out: Path, alone: bool) -> None:
    """Removes what dead processes left under hidden names: of any machine, or (not alone here) of this one."""
    pattern = re.compile(rf"\..+\.{re.escape(socket.gethostname())}\.(\d+)\.tmp")
    for folder in out.glob("*/.*.tmp"):
        match = pattern.fullmatch(folder.name)
        if alone or (match and not Path("/proc", match[1]).exists()):
            # An orphan that is about to finish must not publish a folder that is half removed.
            doomed = folder.with_name(f"{folder.name}.{os.getpid()}.gone")
            try:
                os.replace(folder, doomed)
            except OSError:
                continue
    for folder in out.glob("*/.*.gone"):
        shutil.rmtree(folder, ignore_errors=True)


def _run(
    crew: Crew, seed: int, out: Path, jobs: list[Job], log: RejectionLog, summary: Summary,
    on_event: Callable[[Event], None],
) -> None:  # fmt: skip
    waiting, tries, busy = deque(jobs), Counter(), {}

    def give(worker: int) -> None:
        if waiting:
            busy[worker] = waiting.popleft()
            crew.give(worker, busy[worker])
        else:
            crew.release(worker)

    for worker in range(crew.size):
        give(worker)
    while busy:
        for worker, kind, content in crew.news():
            job = busy[worker]
            if kind == "stage":
                on_event(Event("stage", worker, job, *content))
                continue
            if kind == "fatal":
                raise MviperError(content)
            if kind == "died" and job.folder(out).is_dir():  # after its work was done
                kind, content = "made", manifest_figures(job, out)
            if kind == "died":
                tries[job.name] += 1
                if tries[job.name] < _TRIES:
                    waiting.append(job)
                    summary.retried += 1
                    on_event(Event("retry", worker, job, f"its worker died ({content})"))
                else:
                    kind, content = "failed", f"its worker died {_TRIES} times ({content})"
            if kind == "made":
                summary.made.append(job.name)
                summary.frames += content["frames"]
                summary.cpu_seconds.update(content["timings"])
                on_event(Event("made", worker, job))
            elif kind == "rejected":
                log.add(job, seed, *content)
                summary.rejected[job.name] = content[0]
                on_event(Event("rejected", worker, job, content[0]))
            elif kind == "failed":
                summary.failed[job.name] = content
                on_event(Event("failed", worker, job, content))
            del busy[worker]
            give(worker)


class LocalCrew:
    """Processes of this machine.

    Args:
        config: A completed config.
        out: The data set's folder.
        size: How many.
    """

    def __init__(self, config: dict, out: Path, size: int) -> None:
        self.size = size
        self._arguments = (config, str(out), max(1, len(os.sched_getaffinity(0)) // size))
        self._workers = [self._start() for _ in range(size)]
        self._busy: set[int] = set()

    def _start(self) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        pipe, other = context.Pipe()
        process = context.Process(target=_live, args=(other, *self._arguments), daemon=True)
        process.start()
        other.close()
        return process, pipe

    def give(self, worker: int, job: Job) -> None:
        """See :class:`Crew`."""
        self._busy.add(worker)
        try:
            self._workers[worker][1].send(job)
        except OSError:  # it has died since; reading from it says so
            return

    def news(self) -> Iterator[tuple[int, str, object]]:
        """See :class:`Crew`."""
        pipes = {self._workers[worker][1]: worker for worker in self._busy}
        for pipe in wait(list(pipes)):
            worker = pipes[pipe]
            try:
                kind, content = pipe.recv()
            except (EOFError, OSError):
                process = self._workers[worker][0]
                process.join()
                pipe.close()
                self._workers[worker] = self._start()
                kind, content = "died", f"exit code {process.exitcode}"
            if kind != "stage":
                self._busy.discard(worker)
            yield worker, kind, content

    def release(self, worker: int) -> None:
        """See :class:`Crew`."""
        process, pipe = self._workers[worker]
        process.kill()  # there is nothing that it would have to tidy up
        process.join()
        pipe.close()

    def close(self) -> None:
        """See :class:`Crew`."""
        for worker in range(self.size):
            self.release(worker)


def _live(pipe: Connection, config: dict, out: str, threads: int) -> None:
    """A process's life: build everything once, then make what comes."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    factory = None
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            factory = factory or build_factory(config, threads)
        except Exception as error:
            pipe.send(("fatal", why_not_built(error)))
            return
        pipe.send(work(factory, job, Path(out), lambda stage, done, total: pipe.send(("stage", (stage, done / total)))))


def build_factory(config: dict, threads: int) -> Factory:
    """A worker's factory.

    Args:
        config: A completed config.
        threads: The worker's share of the machine.

    Raises:
        MviperError: The config, its data or its packages are at fault.
    """
    import torch
    from mmengine.utils import import_modules_from_strings

    torch.set_num_threads(1)  # one thread whatever the machine: the same bytes everywhere
    _import_blender(threads)
    if config.get("custom_imports"):
        import_modules_from_strings(**config["custom_imports"])
    factory = Factory(config)
    if getattr(factory.renderer, "threads", None) == 0:  # "all" would be more than this worker's share
        factory.renderer.threads = threads
    return factory


def why_not_built(error: Exception) -> str:
    """What :func:`build_factory` failed with, for the one who started the run."""
    if isinstance(error, MviperError):
        return str(error)
    return "the config's components cannot be built:\n" + "".join(traceback.format_exception(error)).rstrip()


def _import_blender(threads: int) -> None:
    """Imports Blender with so many threads.

    Its task scheduler (TBB) takes as many as there are cores that the process may use when it is loaded; those that
    find nothing to do spin, at half as much again as the work costs.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:threads])
    try:
        with contextlib.suppress(MissingDependencyError):  # a config without cloth and Cycles does without it
            import_extra("bpy")
    finally:
        os.sched_setaffinity(0, cores)


def work(factory: Factory, job: Job, out: Path, report: Report) -> tuple[str, object]:
    """Makes one sequence, whatever comes of it.

    Args:
        factory: The worker's.
        job: Which sequence.
        out: The data set's folder.
        report: Called as the work goes on.

    Returns:
        ``('made', figures)`` as in :func:`manifest_figures`, ``('rejected', (reason, quality))``,
        ``('failed', text)``, or ``('fatal', text)`` where what is wrong is wrong for every other sequence, too.
    """
    try:
        factory.make(job, out, report)
        return "made", manifest_figures(job, out)
    except SequenceRejected as error:
        return "rejected", (error.reason, json.loads(json.dumps(error.quality, default=float)))
    except FileFormatError as error:
        return "failed", str(error)
    except MviperError as error:
        return "fatal", str(error)
    except Exception:
        return "failed", traceback.format_exc()


def manifest_figures(job: Job, out: Path) -> dict:
    """``frames`` of all views and CPU seconds by stage (``timings``) of a finished sequence."""
    manifest = json.loads((job.folder(out) / "manifest.json").read_text())
    return {"frames": manifest["frames"] * len(manifest["views"]), "timings": manifest["timings"]}


def _die_with_parent() -> None:
    """Ends this process when the one that started it is gone: nobody would collect its work."""
    multiprocessing.parent_process().join()
    os._exit(1)
