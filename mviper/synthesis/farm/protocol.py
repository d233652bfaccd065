"""Hands out jobs to workers, any of which may die at any time, and reports events."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mviper.errors import MviperError
from mviper.synthesis.farm.folder import RejectionLog
from mviper.synthesis.farm.worker import manifest_figures
from mviper.synthesis.jobs import Job

#: Number of attempts for a job whose worker dies.
_TRIES = 3


@dataclass
class Summary:
    """Summary of a run.

    Attributes:
        made: Names of finished sequences.
        existing: Number of sequences that existed before.
        rejected: Reason by name, of this run and of earlier ones.
        failed: Error by name: unreadable clips, program errors, workers that died.
        retried: Number of jobs handed to another worker because the first one died.
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
        """Number of rejected sequences by reason, without its figures; a sequence may have several reasons."""
        counts: Counter = Counter()
        for reason in self.rejected.values():
            counts.update({re.sub(r"-?\d+(\.\d+)?", "#", part.strip()) for part in reason.split(";")})
        return counts


@dataclass
class Event:
    """An event of a run, for a progress display.

    Attributes:
        kind: ``'stage'``, ``'made'``, ``'rejected'``, ``'failed'`` or ``'retry'``.
        worker: Number of the worker.
        job: The worker's job.
        text: Stage, or error.
        done: Share of the stage that is done, in [0, 1].
    """

    kind: str
    worker: int
    job: Job
    text: str = ""
    done: float = 0.0


class WorkerPool(Protocol):
    """A pool of numbered workers, each with one job at a time."""

    size: int

    def assign(self, worker: int, job: Job) -> None:
        """Assigns a job to an idle worker."""

    def events(self) -> Iterator[tuple[int, str, object]]:
        """Waits for an event: worker, kind, content.

        Kinds and contents are those of :func:`mviper.synthesis.farm.worker.work`; ``'stage'`` with a stage and the
        share of it that is done; or ``'died'`` with the known cause, in which case the worker has been replaced.
        """

    def release(self, worker: int) -> None:
        """Ends a worker for which there are no more jobs, freeing its resources for others."""

    def close(self) -> None:
        """Ends all workers at once."""


def run_jobs(
    pool: WorkerPool, seed: int, out: Path, jobs: list[Job], log: RejectionLog, summary: Summary,
    on_event: Callable[[Event], None],
) -> None:  # fmt: skip
    """Runs all jobs in a pool of workers.

    Args:
        pool: The worker pool.
        seed: The config's seed.
        out: The data set's folder.
        jobs: The jobs to do.
        log: Records rejections.
        summary: Records all results.
        on_event: Called with each event.

    Raises:
        MviperError: An error that would stop every other job too.
    """
    waiting, tries, busy = deque(jobs), Counter(), {}

    def next_job(worker: int) -> None:
        if waiting:
            busy[worker] = waiting.popleft()
            pool.assign(worker, busy[worker])
        else:
            pool.release(worker)

    for worker in range(pool.size):
        next_job(worker)
    while busy:
        for worker, kind, content in pool.events():
            job = busy[worker]
            if kind == "stage":
                on_event(Event("stage", worker, job, *content))
                continue
            if kind == "fatal":
                raise MviperError(content)
            if kind == "died" and job.folder(out).is_dir():  # died after finishing its work
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
            next_job(worker)
